"""Which `tls_options` of a port can work: those that some handler of it speaks. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from roost.spec.services import TlsOptions

MOST_PROTOCOLS = 32
LONGEST_PROTOCOL = 255
"""Bytes of one ALPN name (RFC 7301, 3.1)."""
INSIDE = {"http": ("h2", "http/1.1"), "pg_tls": ("postgresql",)}
"""What a handler speaks inside TLS; without one of these the Machine speaks what it likes."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why options cannot work."""

    key: str
    """The key of `tls_options` that it is about; empty for the table itself."""
    message: str
    hint: str


def problem(options: TlsOptions, handlers: Collection[str]) -> Problem | None:
    """The first problem, None when there is none."""
    if not {"tls", "pg_tls"} & set(handlers):
        return Problem(
            "",
            "`tls_options` needs the `tls` or `pg_tls` handler on this port",
            'add handlers = ["tls"], or remove tls_options',
        )
    if len(options.alpn) > MOST_PROTOCOLS:
        hint = f"at most {MOST_PROTOCOLS} are possible"
        return Problem("alpn", f"`alpn` has {len(options.alpn)} protocols", hint)
    for name in options.alpn:
        if not 0 < len(name.encode()) <= LONGEST_PROTOCOL:
            hint = f"a name has 1 to {LONGEST_PROTOCOL} bytes"
            return Problem("alpn", f"`alpn` has {name!r}, which is no name of a protocol", hint)
        for handler, spoken in INSIDE.items():
            if handler in handlers and name not in spoken:
                return Problem(
                    "alpn",
                    f"`alpn` has {name!r}, which the `{handler}` handler does not speak",
                    f"use {' or '.join(spoken)}, or leave alpn out",
                )
    return None
