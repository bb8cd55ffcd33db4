"""Durations as Go writes them: `1m30s`, `500ms`, `2h`. Whole nanoseconds inside.

Two kinds of numbers occur. In fly.toml a bare number has a unit that depends on its key (`Unit`).
In the Machines API a bare number is nanoseconds. Strings mean the same everywhere.
Source: pkg.go.dev/time#ParseDuration; docs/reference/configuration.
"""

from __future__ import annotations

import re
from decimal import Decimal
from enum import IntEnum

from roost.errors import InvalidError

NANOSECOND = 1
MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
MAX = (1 << 63) - 1

_UNITS = {
    "ns": NANOSECOND,
    "us": MICROSECOND,
    "µs": MICROSECOND,
    "μs": MICROSECOND,
    "ms": MILLISECOND,
    "s": SECOND,
    "m": MINUTE,
    "h": HOUR,
}
_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_WHOLE = re.compile(rf"[+-]?(?:{_PART.pattern})+")
_HINT = 'write it like "5s", "500ms" or "1m30s"'
_LONGEST = 64


class Unit(IntEnum):
    """What a bare number counts, in nanoseconds."""

    NANOSECONDS = NANOSECOND
    MILLISECONDS = MILLISECOND
    SECONDS = SECOND


def parse(text: str) -> int:
    """Nanoseconds of a Go duration string; fractions of a nanosecond are cut off.

    Raises InvalidError for anything else, the empty string included.
    """
    if text in {"0", "+0", "-0"}:
        return 0
    if len(text) > _LONGEST or not _WHOLE.fullmatch(text):
        raise InvalidError(f"{text[:_LONGEST]!r} is not a duration", hint=_HINT)
    total = sum(int(Decimal(number) * _UNITS[unit]) for number, unit in _PART.findall(text))
    if total > MAX:
        raise InvalidError(f"{text!r} is longer than 292 years", hint=_HINT)
    return -total if text.startswith("-") else total


def read(value: str | float, unit: Unit = Unit.NANOSECONDS) -> int:
    """Nanoseconds of a duration string, or of a bare number counted in `unit`.

    The default unit is that of the Machines API. Raises InvalidError.
    """
    if isinstance(value, bool):
        raise InvalidError(f"{str(value).lower()} is not a duration", hint=_HINT)
    if isinstance(value, str):
        return parse(value)
    try:
        total = int(Decimal(str(value)) * int(unit))
    except (ArithmeticError, ValueError):
        raise InvalidError(f"{value} is not a duration", hint=_HINT) from None
    if abs(total) > MAX:
        raise InvalidError(f"{value} is longer than 292 years", hint=_HINT)
    return total


def seconds(value: str | float, unit: Unit = Unit.NANOSECONDS) -> float:
    """Like `read`, in seconds. Raises InvalidError."""
    return read(value, unit) / SECOND


def write(nanoseconds: int) -> str:
    """The string Go prints: `1h0m0s`, `1m30s`, `1.5s`, `500ms`, `0s`."""
    if nanoseconds == 0:
        return "0s"
    sign, left = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if left < SECOND:
        size, name = next(
            (size, name)
            for size, name in ((MILLISECOND, "ms"), (MICROSECOND, "µs"), (NANOSECOND, "ns"))
            if left >= size
        )
        return f"{sign}{_decimal(left, size)}{name}"
    hours, left = divmod(left, HOUR)
    minutes, left = divmod(left, MINUTE)
    text = f"{_decimal(left, SECOND)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{sign}{hours}h{text}" if hours else f"{sign}{text}"


def _decimal(number: int, size: int) -> str:
    whole, rest = divmod(number, size)
    if not rest:
        return str(whole)
    digits = len(str(size)) - 1
    return f"{whole}.{rest:0{digits}d}".rstrip("0")
