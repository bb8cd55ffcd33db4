"""Host names as certificates have them: lower case, ASCII, at most one `*.` in front. Pure."""

from __future__ import annotations

import re

from roost.errors import InvalidError

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
MAX_NAME = 253


def hostname(text: str) -> str:
    """The name in the form in which it is stored. Raises InvalidError.

    A wildcard stands for one label and only in front (RFC 6125, 6.4.3).
    """
    name = text.strip().removesuffix(".").lower()
    labels = name.removeprefix("*.").split(".")
    fine = len(labels) > 1 and all(_LABEL.fullmatch(label) for label in labels)
    if not fine or len(name) > MAX_NAME or labels[-1].isdigit():
        raise InvalidError(
            f"{text!r} is not a host name",
            hint="such as www.example.com or *.example.com; names of other alphabets are written "
            "as xn--…, and addresses cannot be added",
        )
    return name


def wildcard_over(name: str) -> str:
    """The wildcard that covers a name: `*.example.com` for `www.example.com`."""
    return "*." + name.partition(".")[2]


def covers(pattern: str, name: str) -> bool:
    """Whether a certificate's name is good for a host name (in stored form, maybe a wildcard)."""
    known = pattern.removesuffix(".").lower()
    if known == name:
        return True
    return known.startswith("*.") and not name.startswith("*.") and wildcard_over(name) == known
