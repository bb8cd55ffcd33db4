"""The proxy's limits as `roost up --limit NAME=VALUE` sets them: one table of names, units, bounds.

Names are those of the control protocol's settings, times without their `_ms`. What each limits, and
what happens beyond it, is in docs/limits.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum

from roost.errors import InvalidError
from roost.spec import durations, sizes

MIB = 1 << 20


class Unit(StrEnum):
    """How a value is written."""

    TIME = "a time such as 30s"
    COUNT = "a number"
    SIZE = "a size such as 16mb"


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit: its unit, and the least and the most that make sense (milliseconds, bytes)."""

    unit: Unit
    least: int
    most: int


_SECONDS = Limit(Unit.TIME, 10, 86_400_000)
LIMITS: dict[str, Limit] = {
    "connect_timeout": _SECONDS,
    "idle_pool": Limit(Unit.TIME, 0, 60_000),
    "http_idle": _SECONDS,
    "head_timeout": _SECONDS,
    "udp_idle": _SECONDS,
    "tls_handshake_timeout": _SECONDS,
    "tls_handshakes_source": Limit(Unit.COUNT, 0, 1_000_000),
    "tls_handshakes_app": Limit(Unit.COUNT, 0, 1_000_000),
    "http2_max_streams": Limit(Unit.COUNT, 1, 10_000),
    "max_waiters_app": Limit(Unit.COUNT, 1, 1_000_000),
    "max_waiters": Limit(Unit.COUNT, 1, 1_000_000),
    "max_held_bytes_app": Limit(Unit.SIZE, MIB, 1 << 40),
    "max_held_bytes": Limit(Unit.SIZE, MIB, 1 << 40),
    "max_connections_source": Limit(Unit.COUNT, 0, 1_000_000),
    "max_large_heads": Limit(Unit.COUNT, 0, 1_000_000),
    "replay_body_bytes": Limit(Unit.SIZE, 0, 10 * MIB),
}


def parse(words: Iterable[str]) -> dict[str, int]:
    """Settings for the proxy's `hello`, the last word for a name counts. Raises InvalidError."""
    found: dict[str, int] = {}
    for word in words:
        name, equals, text = word.partition("=")
        limit = LIMITS.get(name)
        if limit is None or not equals:
            near = get_close_matches(name, LIMITS, n=1)
            raise InvalidError(
                f"--limit {word!r} is not NAME=VALUE with a name that is known",
                hint=f"did you mean {near[0]}?" if near else f"names are {', '.join(LIMITS)}",
            )
        value = _value(word, limit, text)
        found[f"{name}_ms" if limit.unit is Unit.TIME else name] = value
    return found


def _value(word: str, limit: Limit, text: str) -> int:
    try:
        value = _read(limit.unit, text)
    except (InvalidError, ValueError) as error:
        raise InvalidError(f"--limit {word!r} takes {limit.unit}") from error
    if not limit.least <= value <= limit.most:
        unit = {Unit.TIME: " milliseconds", Unit.COUNT: "", Unit.SIZE: " bytes"}[limit.unit]
        raise InvalidError(f"--limit {word!r} is not between {limit.least} and {limit.most}{unit}")
    return value


def _read(unit: Unit, text: str) -> int:
    match unit:
        case Unit.TIME:
            return round(durations.seconds(text) * 1000)
        case Unit.COUNT:
            return int(text)
        case Unit.SIZE:
            return sizes.memory_mb(text) * MIB
