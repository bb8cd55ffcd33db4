"""A command inside a Machine with its streams attached, over a WebSocket (Roost's own).

Binary frames; the first byte is the channel: 0 stdin (empty: close it), 1 stdout, 2 stderr,
3 resize `{"rows","cols"}`, 4 exit `{"exit_code"}` (from the server, last). The command is killed
when the client goes away.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from starlette import status
from starlette.websockets import WebSocket, WebSocketDisconnect

from roost.api.auth import TokenDep
from roost.api.needs import needs
from roost.api.parts import PartsDep
from roost.errors import InvalidError, RoostError
from roost.plan.authority import Right
from roost.runtime.base import ExecSession

router = APIRouter(tags=["machines"])
STDIN, STDOUT, STDERR, RESIZE, EXIT = range(5)
_WORDS = TypeAdapter(Annotated[tuple[str, ...], Field(min_length=1)])
_ENV = TypeAdapter(dict[str, str])


class _Size(BaseModel):
    rows: int = Field(ge=1, le=10_000)
    cols: int = Field(ge=1, le=10_000)


@router.websocket("/apps/{app}/machines/{machine_id}/attach", dependencies=needs(Right.RUN))
async def attach(
    *,
    socket: WebSocket,
    parts: PartsDep,
    token: TokenDep,
    app: str,
    machine_id: str,
    cmd: str,
    tty: bool = False,
    rows: Annotated[int, Query(ge=1, le=10_000)] = 24,
    cols: Annotated[int, Query(ge=1, le=10_000)] = 80,
    env: str = "{}",
) -> None:
    """Run `cmd` (a JSON array) with `env` (a JSON object), on a terminal with `tty`.

    A token that is revoked or expires ends the session at once.
    """
    args, variables = _parse(cmd, env)
    parts.control.machines.get(app, machine_id)
    session = await parts.control.context.agent.session(machine_id, args, tty=tty, env=variables)
    try:
        if tty:
            session.resize(rows, cols)
        await socket.accept()
        await _run(socket, session, parts.control.tokens.end_of(token))
    finally:
        await session.close()
        if parts.control.apps.get(app).internal:
            # A console lives as long as its session, also when its client was killed.
            with suppress(RoostError):
                await parts.control.machines.destroy(app, machine_id, force=True)


async def _run(
    socket: WebSocket, session: ExecSession, no_longer_allowed: Coroutine[Any, Any, None]
) -> None:
    """Move both ways until the command ends, the client leaves or its token ends."""
    async with asyncio.TaskGroup() as group:
        incoming = group.create_task(_receive(socket, session), name="attach:in")
        outgoing = group.create_task(_send(socket, session), name="attach:out")
        over = group.create_task(no_longer_allowed, name="attach:token")
        tasks = {incoming, outgoing, over}
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        ended = over.done()
        for task in tasks:
            task.cancel()
    if ended:
        with suppress(WebSocketDisconnect, OSError, RuntimeError):
            await socket.close(status.WS_1008_POLICY_VIOLATION, "the token is no longer valid")


async def _receive(socket: WebSocket, session: ExecSession) -> None:
    """Ends when the client leaves."""
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            frame: bytes = message.get("bytes") or b""
            if frame:
                await _take(session, frame[0], frame[1:])
    except (WebSocketDisconnect, RoostError, OSError):
        return


async def _take(session: ExecSession, channel: int, data: bytes) -> None:
    if channel == STDIN:
        await session.write(data)
    elif channel == RESIZE:
        try:
            size = _Size.model_validate_json(data)
        except ValidationError:
            return
        session.resize(size.rows, size.cols)


async def _send(socket: WebSocket, session: ExecSession) -> None:
    """Ends after the exit status, or when the client is gone."""
    try:
        while True:
            channel, data = await session.read()
            if not channel:
                break
            await socket.send_bytes(bytes([channel]) + data)
        code = await session.wait()
        await socket.send_bytes(bytes([EXIT]) + json.dumps({"exit_code": code}).encode())
        await socket.close()
    except (WebSocketDisconnect, OSError, RuntimeError):
        return
    except RoostError as error:
        await socket.close(1011, error.message[:120])


def _parse(cmd: str, env: str) -> tuple[tuple[str, ...], dict[str, str]]:
    try:
        return _WORDS.validate_json(cmd), _ENV.validate_json(env)
    except ValidationError:
        raise InvalidError(
            "the command cannot be read",
            hint="cmd is a JSON array of words, env a JSON object of strings",
        ) from None
