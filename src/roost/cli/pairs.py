"""`NAME=VALUE` flags and lines."""

from __future__ import annotations

import re
from collections.abc import Iterable

from roost.errors import InvalidError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


def pairs(texts: Iterable[str], what: str) -> dict[str, str]:
    """Read `NAME=VALUE` texts. Raises InvalidError that names the kind of thing (`what`)."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not _NAME.fullmatch(name):
            # The value may be secret, so only the name is ever repeated.
            raise InvalidError(f"{what} {name!r} is not of the form NAME=VALUE")
        found[name] = value
    return found


def import_lines(text: str) -> dict[str, str]:
    """Read lines `NAME=VALUE`; `#` comments, `export `, quotes and triple quotes are understood.

    Raises InvalidError with the number of the line.
    """
    found: dict[str, str] = {}
    lines = enumerate(text.splitlines(), start=1)
    for number, raw in lines:
        entry = raw.strip().removeprefix("export ").lstrip()
        if not entry or entry.startswith("#"):
            continue
        name, equals, value = entry.partition("=")
        name = name.strip()
        if not equals or not _NAME.fullmatch(name):
            raise InvalidError(f"line {number} is not of the form NAME=VALUE")
        found[name] = _value(value.strip(), number, lines)
    return found


def _value(value: str, number: int, lines: Iterable[tuple[int, str]]) -> str:
    if value.startswith('"""'):
        return _block(value[3:], number, lines)
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value


def _block(first: str, number: int, lines: Iterable[tuple[int, str]]) -> str:
    if first.endswith('"""'):
        return first[:-3]
    collected = [first] if first else []
    for _, raw in lines:
        if raw.rstrip().endswith('"""'):
            last = raw.rstrip()[:-3]
            return "\n".join([*collected, last] if last else collected)
        collected.append(raw)
    raise InvalidError(f'the text that begins at line {number} has no closing """')
