"""Who may call: a bearer token on every request.

Accepted are `Authorization: Bearer a[,b…]` and `FlyV1 a[,b…]`; one valid token of the list is
enough. The documentation page also takes HTTP Basic with the token as password, so that a browser
can ask for it; nowhere else, since browsers send that along by themselves.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from roost.api.errors import ReaderDeniedError
from roost.api.failures import Failures
from roost.api.parts import PartsDep
from roost.errors import DeniedError
from roost.model.access import Token

MAX_TOKENS = 8
"""Tokens of one header that are looked at."""
MAX_HEADER = 4096
SOCKET = "socket"
_SCHEMES = frozenset({"bearer", "flyv1"})
_HINT = "send `Authorization: Bearer TOKEN`; the token is in ROOST_HOME/token"


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
    failures.add(source_of(connection), connection.url.path)
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
