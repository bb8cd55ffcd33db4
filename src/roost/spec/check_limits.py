"""What a health check may be, in fly.toml and in the API. Pure.

The proxy runs checks on one thread and keeps what they say, so their number and sizes are bounded.
Times: docs/reference/health-checks; what is left out is as in fly-semantics 12.
"""

from __future__ import annotations

import re

from roost.errors import InvalidError
from roost.model.checks import SERVICE_PREFIX
from roost.spec import durations

MAX_CHECKS = 64
"""Of a Machine, those of its services included."""
MAX_HEADERS = 16
MAX_HEADER_BYTES = 4096
"""Names and values of one check together."""
MAX_PATH = 1024
MAX_NAME = 64
MAX_HOST_NAME = 253

DEFAULT_INTERVAL = 15 * durations.SECOND
DEFAULT_TCP_TIMEOUT = 2 * durations.SECOND
DEFAULT_HTTP_TIMEOUT = 5 * durations.SECOND
DEFAULT_GRACE = durations.SECOND
SHORTEST_INTERVAL = durations.SECOND
LONGEST_INTERVAL = durations.HOUR
LONGEST_TIMEOUT = 60 * durations.SECOND
LONGEST_GRACE = durations.HOUR

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_PATH = re.compile(r"/[!-\[\]^_a-z|~{}`]*")
"""Printable ASCII without space, `#`, quotes and what else must be written with `%`."""
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_LINE = re.compile(r"[\x20-\x7e\t]*")
_NAME = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_OWN_HEADERS = frozenset({"connection", "content-length", "transfer-encoding", "upgrade", "expect"})
"""They would say something of the request that is not so."""


def method(value: str) -> str:
    """An HTTP method in capitals. Raises InvalidError."""
    if not _TOKEN.fullmatch(value) or len(value) > 16:
        raise InvalidError(f"{value[:32]!r} is not a method", hint='use "GET" or "HEAD"')
    if value.upper() == "CONNECT":
        raise InvalidError("CONNECT asks for no page", hint='use "GET" or "HEAD"')
    return value.upper()


def path(value: str) -> str:
    """Path and query of a request. Raises InvalidError."""
    if len(value) > MAX_PATH:
        raise InvalidError(f"the path has more than {MAX_PATH} characters")
    if not _PATH.fullmatch(value) or set(value) & set('"<>\\^`{|}#'):
        raise InvalidError(
            f"{value[:64]!r} is not a path",
            hint="begin it with / and write other characters with %",
        )
    return value


def server_name(value: str) -> str:
    """The name in a certificate. Raises InvalidError."""
    if not _HOST.fullmatch(value) or len(value) > MAX_HOST_NAME:
        raise InvalidError(f"{value[:64]!r} is not a host name")
    return value


def header(name: str, value: str) -> None:
    """A header that a check may send. Raises InvalidError."""
    if not _TOKEN.fullmatch(name):
        raise InvalidError(f"{name[:64]!r} is not a header name")
    if name.lower() in _OWN_HEADERS:
        raise InvalidError(f"the header {name} is for the check itself to decide")
    if not _LINE.fullmatch(value):
        raise InvalidError(f"the header {name} is not one line of plain text")


def headers(pairs: list[tuple[str, str]]) -> None:
    """All headers of a check. Raises InvalidError."""
    for name, value in pairs:
        header(name, value)
    if len(pairs) > MAX_HEADERS:
        raise InvalidError(f"there are {len(pairs)} headers, more than {MAX_HEADERS}")
    if sum(len(name) + len(value) for name, value in pairs) > MAX_HEADER_BYTES:
        raise InvalidError(f"the headers have more than {MAX_HEADER_BYTES} bytes")


def name(value: str) -> str:
    """The name of a top-level check. Raises InvalidError."""
    if not _NAME.fullmatch(value) or len(value) > MAX_NAME:
        raise InvalidError(
            f"{value[:MAX_NAME]!r} is not a name for a check",
            hint=f"use 1 to {MAX_NAME} plain characters",
        )
    if value.startswith(SERVICE_PREFIX):
        raise InvalidError(
            f"{value!r} is a name that checks of services have",
            hint="choose another name",
        )
    return value
