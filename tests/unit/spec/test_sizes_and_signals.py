"""Sizes, signal names and near words."""

from __future__ import annotations

import pytest

from roost.errors import InvalidError
from roost.spec import signals, sizes
from roost.spec.suggest import nearest


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (512, 512),
        ("512", 512),
        ("512mb", 512),
        ("1gb", 1024),
        ("2GiB", 2048),
        ("1.5G", 1536),
        ("524288kb", 512),
        ("1048576b", 1),
    ],
)
def test_memory_is_binary_and_bare_numbers_are_megabytes(value: str | int, expected: int) -> None:
    """Every spelling of a memory size gives its MiB."""
    assert sizes.memory_mb(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(3, 3), ("10", 10), ("10gb", 10), ("1500mb", 1), ("2TB", 2000)]
)
def test_volumes_are_decimal_and_cut_off(value: str | int, expected: int) -> None:
    """Every spelling of a volume size gives whole GB."""
    assert sizes.volume_gb(value) == expected


@pytest.mark.parametrize("value", ["", "gb", "-1", "1 0gb", "1xb", "1e3", True])
def test_no_sizes(value: str | int) -> None:
    """Anything else is an error with a hint."""
    with pytest.raises(InvalidError) as caught:
        sizes.memory_mb(value)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["term", "TERM", "SIGTERM", " sigterm "])
def test_signals_with_and_without_prefix(text: str) -> None:
    """All spellings of a signal give its full name and number."""
    assert signals.name(text) == "SIGTERM"
    assert signals.number(text) == 15


@pytest.mark.parametrize("text", ["", "SIG", "SEGV", "15", "SIGWINCH"])
def test_signals_that_stop_nothing_are_refused(text: str) -> None:
    """The hint of an unknown signal lists the known ones."""
    with pytest.raises(InvalidError) as caught:
        signals.name(text)
    assert "SIGUSR2" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("internal_prt", "internal_port"),
        ("internal-port", "internal_port"),
        ("auto_stop", "auto_stop_machines"),
        ("SERVICES", "services"),
        ("xyz", None),
    ],
)
def test_nearest_word(word: str, expected: str | None) -> None:
    """Misspelt, dashed and shortened words find what was meant; strange ones find nothing."""
    known = {"internal_port", "auto_stop_machines", "services", "env"}
    assert nearest(word, known) == expected
