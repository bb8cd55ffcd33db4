"""Relative times and durations of flags."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from roost.cli.times import parse_time, patience, relative
from roost.errors import InvalidError

NOW = datetime(2026, 3, 2, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "just now"),
        (1, "1s ago"),
        (42.9, "42s ago"),
        (60, "1m0s ago"),
        (185, "3m5s ago"),
        (3600, "1h0m ago"),
        (7265, "2h1m ago"),
        (86399, "23h59m ago"),
        (86400, "Mar 1 2026 12:00"),
        (-5, "Mar 2 2026 12:00"),
    ],
)
def test_times_are_shown_as_fly_does(seconds: float, text: str) -> None:
    """Up to a day ago in the two largest units, else the date."""
    assert text == relative((NOW - timedelta(seconds=seconds)).isoformat(), NOW)


def test_milliseconds_and_text_are_the_same_time() -> None:
    """Event timestamps are numbers, other times RFC 3339 text."""
    assert parse_time(1772452800000) == parse_time("2026-03-02T12:00:00Z") == NOW


@pytest.mark.parametrize("value", [None, "", "soon", True, {}])
def test_what_is_no_time_is_shown_as_nothing(value: object) -> None:
    """A missing time leaves its cell empty."""
    assert "" == relative(value, NOW)


@pytest.mark.parametrize(("text", "seconds"), [("300", 300), ("5m", 300), ("1m30s", 90)])
def test_patience_reads_durations_and_bare_seconds(text: str, seconds: float) -> None:
    """Flags take Go durations; bare digits are seconds."""
    assert seconds == patience(text)


def test_patience_refuses_other_words() -> None:
    """A wrong duration is an error with a hint."""
    with pytest.raises(InvalidError, match="soon"):
        patience("soon")
