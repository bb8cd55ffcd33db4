"""Signal names that a Machine can be stopped with, with or without `SIG`.

The documentation of fly.toml and that of the API list different sets; the union is accepted.
"""

from __future__ import annotations

from roost.errors import InvalidError

NUMBERS = {
    "SIGHUP": 1,
    "SIGINT": 2,
    "SIGQUIT": 3,
    "SIGKILL": 9,
    "SIGUSR1": 10,
    "SIGUSR2": 12,
    "SIGTERM": 15,
    "SIGSTOP": 19,
}
"""Name → number on Linux (the same on x86-64 and arm64)."""

DEFAULT = "SIGINT"


def name(text: str) -> str:
    """The full upper-case name of a signal (`term` → `SIGTERM`). Raises InvalidError."""
    upper = text.strip().upper()
    full = upper if upper.startswith("SIG") else f"SIG{upper}"
    if full not in NUMBERS:
        raise InvalidError(
            f"{text!r} is not a signal that can stop a Machine",
            hint=f"use one of {', '.join(NUMBERS)}",
        )
    return full


def number(text: str) -> int:
    """The Linux number of a signal name. Raises InvalidError."""
    return NUMBERS[name(text)]
