"""Times as flyctl shows them: `42s ago`, `3m5s ago`, `2h1m ago`, else `Jan 2 2006 15:04`."""

from __future__ import annotations

from datetime import UTC, datetime

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def parse_time(value: object) -> datetime | None:
    """Read RFC 3339 text or milliseconds since the epoch; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value / 1000, UTC)
    if not isinstance(value, str) or not value:
        return None
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def relative(value: object, now: datetime | None = None) -> str:
    """How long ago a time was; "" for no time, the date for a day or more ago or the future."""
    when = parse_time(value)
    if when is None:
        return ""
    seconds = ((now or datetime.now(UTC)) - when).total_seconds()
    if not 0 <= seconds < _DAY:
        return f"{when:%b} {when.day} {when:%Y %H:%M}"
    whole = int(seconds)
    if whole < 1:
        return "just now"
    if whole < _MINUTE:
        return f"{whole}s ago"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE}s ago"
    return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE}m ago"


def patience(text: str) -> float:
    """Seconds of a flag such as `5m`, `1m30s` or `300` (bare digits are seconds).

    Raises InvalidError.
    """
    from roost.spec import durations

    return durations.seconds(int(text) if text.isdigit() else text, durations.Unit.SECONDS)
