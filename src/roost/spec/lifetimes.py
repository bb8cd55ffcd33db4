"""How long something is good for: a Go duration that may also count days (`7d`, `1d12h`)."""

from __future__ import annotations

import re

from roost.errors import InvalidError
from roost.spec import durations

_DAYS = re.compile(r"([0-9]{1,6})d(.*)")
_HINT = 'write it like "7d", "36h" or "30m"'


def milliseconds(text: str) -> int:
    """Milliseconds of a lifetime, at least one second. Raises InvalidError."""
    days = _DAYS.fullmatch(text)
    rest = days[2] if days else text
    try:
        length = durations.parse(rest) if rest else 0
    except InvalidError:
        raise InvalidError(f"{text[:64]!r} is not a lifetime", hint=_HINT) from None
    total = (int(days[1]) if days else 0) * 24 * durations.HOUR + length
    if not durations.SECOND <= total <= durations.MAX:
        raise InvalidError(
            f"a lifetime of {text[:64]!r} is not possible", hint="use one second to 292 years"
        )
    return total // durations.MILLISECOND
