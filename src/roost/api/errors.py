"""Errors as answers: the one place that makes problem bodies.

`{"error": sentence, "message": sentence, "status": code, "hint": what to do}`. Never 502 or 503,
which Fly's clients repeat blindly.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket

from roost.errors import DeniedError, ForbiddenError, InvalidError, RoostError

log = logging.getLogger("roost.api")

NAME_TAKEN = "name_taken"
_WORDS = {400: "invalid_argument", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}


class TooManyFailuresError(DeniedError):
    """Too many wrong tokens lately; `retry_after` is in seconds."""

    http_status = 429
    default_code = "rate_limited"

    def __init__(self, message: str, *, hint: str, retry_after: int = 1) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class ReaderDeniedError(DeniedError):
    """No valid token on the documentation page: a browser may ask for it."""


class TooLargeError(InvalidError):
    """The request's body is larger than any that makes sense."""

    http_status = 413
    default_code = "too_large"


def problem(error: RoostError) -> Response:
    """The answer for an error. A taken name is 422, as Fly's documentation says."""
    body = {"error": error.message, "message": error.message, "status": error.code}
    if error.hint:
        body["hint"] = error.hint
    status = 422 if error.code == NAME_TAKEN else error.http_status
    headers = {}
    if status == 401:
        basic = isinstance(error, ReaderDeniedError)
        headers["WWW-Authenticate"] = 'Basic realm="Roost"' if basic else "Bearer"
    if isinstance(error, TooManyFailuresError):
        headers["Retry-After"] = str(error.retry_after)
    return JSONResponse(body, status_code=status, headers=headers)


def sentence(errors: Sequence[Mapping[str, Any]]) -> str:
    """One sentence that names the field of the first validation error."""
    first = errors[0]
    context = first.get("ctx") or {}
    place = [str(part) for part in first.get("loc", ()) if part not in ("body", "query", "path")]
    if first.get("type") == "json_invalid":
        return f"the body is not valid JSON: {context.get('error', first.get('msg', ''))}"
    what = str(context.get("sentence") or first.get("msg", "is not valid"))
    return f"{'.'.join(place) or 'the body'}: {what[:1].lower()}{what[1:]}"


def install(app: FastAPI) -> None:
    """Let all errors of an app be answered here."""
    app.add_exception_handler(RoostError, _on_roost)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(WebSocketRequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_bug)


async def _on_roost(connection: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, RoostError)
    if isinstance(error, ForbiddenError):
        log.info("refused %r: %s", connection.url.path, error.message)
    return await _answer(connection, error)


async def _on_invalid(connection: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError | WebSocketRequestValidationError)
    return await _answer(connection, InvalidError(sentence(error.errors())))


async def _on_http(connection: HTTPConnection, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {
        404: f"there is no {connection.url.path}",
        405: f"{connection.scope.get('method')} is not possible on {connection.url.path}",
    }
    made = RoostError(
        words.get(error.status_code, str(error.detail)),
        hint="the API is described at /docs" if error.status_code in words else None,
        code=_WORDS.get(error.status_code, "http_error"),
    )
    response = problem(made)
    response.status_code = error.status_code
    return response


async def _on_bug(connection: HTTPConnection, error: Exception) -> Response:
    log.error("%s failed", connection.url.path, exc_info=error)
    return await _answer(connection, RoostError("Roost made a mistake", hint="its log says more"))


async def _answer(connection: HTTPConnection, error: RoostError) -> Response:
    response = problem(error)
    if isinstance(connection, WebSocket):
        await connection.send_denial_response(response)
    return response


__all__ = [
    "NAME_TAKEN",
    "ReaderDeniedError",
    "TooLargeError",
    "TooManyFailuresError",
    "install",
    "problem",
    "sentence",
]
