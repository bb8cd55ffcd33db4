"""Durations: Go's syntax in and out, and the units of bare numbers."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.errors import InvalidError
from roost.spec import durations
from roost.spec.durations import Unit

MS = durations.MILLISECOND
S = durations.SECOND


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("5s", 5 * S),
        ("1m21s", 81 * S),
        ("500ms", 500 * MS),
        ("2h", 7200 * S),
        ("1.5h", 5400 * S),
        (".5s", 500 * MS),
        ("5.s", 5 * S),
        ("-1m", -60 * S),
        ("+3us", 3000),
        ("3µs", 3000),
        ("3μs", 3000),
        ("1h0m0s", 3600 * S),
        ("0.3ns", 0),
    ],
)
def test_reads_what_go_reads(text: str, expected: int) -> None:
    """Every form of Go's ParseDuration gives its nanoseconds."""
    assert durations.parse(text) == expected


@pytest.mark.parametrize(
    "text", ["", " 5s", "5", "5 s", "s", ".s", "5d", "1h-5m", "5S", "five", "1m 5s", "9" * 70 + "s"]
)
def test_refuses_what_go_refuses(text: str) -> None:
    """Anything else is an error with a hint about the syntax."""
    with pytest.raises(InvalidError) as caught:
        durations.parse(text)
    assert "1m30s" in str(caught.value.hint)


def test_refuses_more_than_64_bits() -> None:
    """A duration that Go's int64 cannot hold is an error."""
    with pytest.raises(InvalidError):
        durations.parse("9999999h")
    with pytest.raises(InvalidError):
        durations.read(1 << 62, Unit.SECONDS)


@pytest.mark.parametrize(
    ("nanoseconds", "expected"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1500, "1.5µs"),
        (500 * MS, "500ms"),
        (1500 * MS, "1.5s"),
        (60 * S, "1m0s"),
        (3600 * S, "1h0m0s"),
        (90 * S, "1m30s"),
        (-90 * S, "-1m30s"),
        (3661 * S + 1, "1h1m1.000000001s"),
    ],
)
def test_writes_what_go_writes(nanoseconds: int, expected: str) -> None:
    """The text is that of Go's Duration.String."""
    assert durations.write(nanoseconds) == expected


@given(st.integers(min_value=-durations.MAX, max_value=durations.MAX))
def test_written_durations_read_back(nanoseconds: int) -> None:
    """parse(write(n)) is n for every int64."""
    assert durations.parse(durations.write(nanoseconds)) == nanoseconds


@given(st.text(max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text raises anything but InvalidError."""
    with contextlib.suppress(InvalidError):
        durations.parse(text)


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (5, Unit.SECONDS, 5 * S),
        (1.5, Unit.SECONDS, 1500 * MS),
        (250, Unit.MILLISECONDS, 250 * MS),
        (10_000_000_000, Unit.NANOSECONDS, 10 * S),
        ("10s", Unit.MILLISECONDS, 10 * S),
    ],
)
def test_bare_numbers_have_the_unit_of_their_key(
    value: str | float, unit: Unit, expected: int
) -> None:
    """A number counts in the given unit, a string means the same everywhere."""
    assert durations.read(value, unit) == expected


def test_seconds_of_an_api_duration() -> None:
    """The API's nanoseconds and Go strings come out as seconds."""
    assert durations.seconds(1_500_000_000) == 1.5
    assert durations.seconds("2m") == 120.0


@pytest.mark.parametrize("value", [True, float("nan"), float("inf")])
def test_refuses_numbers_that_are_none(value: float) -> None:
    """Booleans, NaN and infinity are no durations."""
    with pytest.raises(InvalidError):
        durations.read(value)
