"""Who may call: a bearer token on every request.

Accepted are `Authorization: Bearer a[,b…]` and `FlyV1 a[,b…]`; one valid token of the list is
enough. The documentation page also takes HTTP Basic with the token as password, so that a browser
can ask for it; nowhere else, since browsers send that along by themselves.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections import deque
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from roost.api.errors import ReaderDeniedError, TooManyFailuresError
from roost.api.parts import PartsDep
from roost.clock import Clock
from roost.errors import DeniedError
from roost.model.access import Token

log = logging.getLogger("roost.api")

MAX_TOKENS = 8
"""Tokens of one header that are looked at."""
MAX_HEADER = 4096
MAX_FAILURES = 20
WINDOW_S = 10.0
SOCKET = "socket"
_SCHEMES = frozenset({"bearer", "flyv1"})
_HINT = "send `Authorization: Bearer TOKEN`; the token is in ROOST_HOME/token"


class Failures:
    """Counts wrong tokens: beyond MAX_FAILURES in WINDOW_S seconds more of them are only told to
    slow down, and not logged. Valid tokens are never held up.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._times: deque[float] = deque(maxlen=MAX_FAILURES)

    def add(self, path: str) -> None:
        """Note one. Raises TooManyFailuresError when it is one too many."""
        now = self._clock.monotonic()
        full = len(self._times) == MAX_FAILURES and now - self._times[0] < WINDOW_S
        if full:
            raise TooManyFailuresError("too many wrong tokens", hint="wait a few seconds")
        self._times.append(now)
        log.warning("refused a call without a valid token: %s", path)
        if len(self._times) == MAX_FAILURES and now - self._times[0] < WINDOW_S:
            log.warning("more refused calls are not logged for a while")


def candidates(header: str, *, basic: bool = False) -> list[str]:
    """The token texts of an Authorization header. Pure."""
    scheme, _, rest = header[:MAX_HEADER].strip().partition(" ")
    if scheme.lower() == "basic" and basic:
        return _password(rest)
    if scheme.lower() not in _SCHEMES:
        return []
    parts = (part.strip() for part in rest.split(",", MAX_TOKENS)[:MAX_TOKENS])
    return [part for part in parts if part]


def _password(encoded: str) -> list[str]:
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return []
    return [text.partition(":")[2]]


def source_of(connection: HTTPConnection) -> str:
    """Where a call comes from: the client's address, or `socket` for the Unix socket."""
    client = connection.client
    return client.host if client is not None and client.host else SOCKET


def _check(connection: HTTPConnection, parts: PartsDep, *, basic: bool) -> Token:
    header = connection.headers.get("authorization", "")
    for text in candidates(header, basic=basic):
        token = parts.control.tokens.check(text)
        if token is not None:
            return token
    failures: Failures = connection.app.state.failures
    failures.add(connection.url.path)
    sentence = "the token is not valid" if header else "a token is needed"
    raise (ReaderDeniedError if basic else DeniedError)(sentence, hint=_HINT)


async def require_token(connection: HTTPConnection, parts: PartsDep) -> Token:
    """The caller's token. Raises DeniedError (401), TooManyFailuresError (429)."""
    return _check(connection, parts, basic=False)


async def require_token_of_reader(connection: HTTPConnection, parts: PartsDep) -> Token:
    """The same for the documentation page: also HTTP Basic."""
    return _check(connection, parts, basic=True)


TokenDep = Annotated[Token, Depends(require_token)]
"""A route's parameter that gets the caller's token."""
