"""Sizes as fly.toml writes them: `512`, `"512mb"`, `"2GiB"`.

A bare number counts in the key's own unit. Memory multiples are binary (1gb is 1024 MiB), volume
multiples decimal, whatever the spelling: `gb`, `GB`, `GiB` and `g` are one unit each time.
Source: docs/reference/configuration; superfly/flyctl's reading of it.
"""

from __future__ import annotations

import re
from decimal import Decimal

from roost.errors import InvalidError

_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?(?:([kmgtp])i?b?|(b))?", re.IGNORECASE)
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}

PRESETS = {
    **{f"shared-cpu-{n}x": ("shared", n, 256 * n) for n in (1, 2, 4, 6, 8)},
    **{f"performance-{n}x": ("performance", n, 2048 * n) for n in (1, 2, 4, 6, 8, 10, 12, 14, 16)},
}
"""Size name → kind of CPU, CPUs, MiB."""


def memory_mb(value: str | int) -> int:
    """MiB of a memory size; bare numbers are MiB. Raises InvalidError."""
    return _read(value, base=1024, unit="m", hint='write it like "512mb" or "1gb"')


def volume_gb(value: str | int) -> int:
    """GB of a volume size, fractions cut off; bare numbers are GB. Raises InvalidError."""
    return _read(value, base=1000, unit="g", hint='write it like "1gb" or "20gb"')


def _read(value: str | int, *, base: int, unit: str, hint: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise InvalidError(f"{value!r} is not a size", hint=hint)
    match = _SIZE.fullmatch(str(value).strip())
    if match is None:
        raise InvalidError(f"{value!r} is not a size", hint=hint)
    number, letter, byte = match.groups()
    # Nothing but digits counts in the key's unit; "100b" really means bytes.
    power = _POWER[(letter or "").lower()] if letter or byte else _POWER[unit]
    return int(Decimal(number) * base**power / base ** _POWER[unit])
