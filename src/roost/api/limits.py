"""Bounds on every HTTP request, below the routes: size of the body, time to send it and to answer.

All bodies are JSON and small, so they are read whole here; routes then never wait for a slow
client. A body is taken for JSON whatever its Content-Type says, as `curl -d` sends a wrong one.
"""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from roost.api.errors import TooLargeError, problem
from roost.errors import DeadlineError, RoostError

MAX_BODY = 2 * 1024 * 1024
BODY_TIMEOUT = 30.0
ANSWER_TIMEOUT = 3700.0
"""Seconds until an answer must begin: more than the longest command (1 h) and any image pull."""


class _GoneError(Exception):
    """The client went away while sending."""


class Limits:
    """ASGI middleware."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body: int = MAX_BODY,
        body_timeout: float = BODY_TIMEOUT,
        answer_timeout: float = ANSWER_TIMEOUT,
    ) -> None:
        self._app = app
        self._max_body = max_body
        self._body_timeout = body_timeout
        self._answer_timeout = answer_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(scope, receive)
        except RoostError as error:
            await problem(error)(scope, receive, send)
            return
        except _GoneError:
            return
        await self._answer(_as_json(scope) if body else scope, _Replay(body, receive), send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(self._answer_timeout) as deadline:

                async def begin(message: Message) -> None:
                    deadline.reschedule(None)
                    await send(message)

                await self._app(scope, receive, begin)
        except TimeoutError:
            if not deadline.expired():
                raise
            late = DeadlineError(f"no answer within {self._answer_timeout:g} s")
            await problem(late)(scope, receive, send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        if _length(scope) > self._max_body:
            raise self._too_large()
        chunks: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._body_timeout):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise _GoneError
                    chunk = message.get("body", b"")
                    size += len(chunk)
                    if size > self._max_body:
                        raise self._too_large()
                    chunks.append(chunk)
                    if not message.get("more_body", False):
                        return b"".join(chunks)
        except TimeoutError:
            raise DeadlineError(
                f"the request's body did not arrive within {self._body_timeout:g} s"
            ) from None

    def _too_large(self) -> TooLargeError:
        return TooLargeError(f"the request's body is larger than {self._max_body} bytes")


class _Replay:
    """A receive() that gives the body once, then waits for the client to go away."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        return await self._receive()


def _length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _as_json(scope: Scope) -> Scope:
    headers = [pair for pair in scope["headers"] if pair[0] != b"content-type"]
    return {**scope, "headers": [*headers, (b"content-type", b"application/json")]}
