"""What a Machine can be asked to do, and waiting until it has."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Query

from roost.api.bodies import StopBody
from roost.api.needs import needs
from roost.api.parts import PartsDep
from roost.api.routes.machines import OK
from roost.api.routes.nonce import Nonce
from roost.api.views import Json
from roost.control.config_check import stop_timeout_ms
from roost.errors import InvalidError
from roost.plan.authority import Right
from roost.spec import durations

router = APIRouter(prefix="/apps/{app}/machines/{machine_id}", tags=["machines"])
MAX_WAIT_S = 60


@router.post("/start", dependencies=needs(Right.RUN))
async def start(parts: PartsDep, app: str, machine_id: str, nonce: Nonce = None) -> Json:
    """Start (or resume) a Machine; answers at once, with the state before."""
    previous = await parts.control.machines.start(app, machine_id, nonce)
    return {"previous_state": str(previous), "migrated": False, "new_host": ""}


@router.post("/stop", dependencies=needs(Right.RUN))
async def stop(
    parts: PartsDep,
    app: str,
    machine_id: str,
    body: StopBody | None = None,
    nonce: Nonce = None,
) -> Json:
    """Stop a Machine; a suspended one loses its memory."""
    asked = body or StopBody()
    await parts.control.machines.stop(
        app,
        machine_id,
        signal=asked.signal or None,
        timeout_ms=_patience(asked.timeout),
        nonce=nonce,
    )
    return OK


@router.post("/suspend", dependencies=needs(Right.RUN))
async def suspend(parts: PartsDep, app: str, machine_id: str, nonce: Nonce = None) -> Json:
    """Suspend a running Machine."""
    await parts.control.machines.suspend(app, machine_id, nonce)
    return OK


@router.post("/restart", dependencies=needs(Right.RUN))
async def restart(
    *,
    parts: PartsDep,
    app: str,
    machine_id: str,
    force_stop: bool = False,
    timeout: str | None = None,
    signal: str | None = None,
    nonce: Nonce = None,
) -> Json:
    """Stop and start a running Machine."""
    await parts.control.machines.restart(
        app,
        machine_id,
        force_stop=force_stop,
        signal=signal or None,
        timeout_ms=_patience(timeout),
        nonce=nonce,
    )
    return OK


@router.post("/cordon", dependencies=needs(Right.RUN))
async def cordon(parts: PartsDep, app: str, machine_id: str, nonce: Nonce = None) -> Json:
    """Keep new connections away from a Machine."""
    await parts.control.machines.cordon(app, machine_id, True, nonce)
    return OK


@router.post("/uncordon", dependencies=needs(Right.RUN))
async def uncordon(parts: PartsDep, app: str, machine_id: str, nonce: Nonce = None) -> Json:
    """Let new connections reach a Machine again."""
    await parts.control.machines.cordon(app, machine_id, False, nonce)
    return OK


@router.get("/wait", dependencies=needs(Right.LOOK))
async def wait(
    *,
    parts: PartsDep,
    app: str,
    machine_id: str,
    state: Annotated[list[str] | None, Query()] = None,
    timeout: str | None = None,
    instance_id: str | None = None,
    version: str | None = None,
) -> Json:
    """Answer once the Machine is in one of the states (default started), or with 408.

    `settled` is any state in which it rests. `timeout` is in seconds, at most 60 (the default).
    """
    await parts.control.machines.wait(
        app,
        machine_id,
        frozenset(state or ["started"]),
        _wait_seconds(timeout),
        instance_id or version or None,
    )
    return OK


def _wait_seconds(text: str | None) -> float:
    """Whole seconds, or a Go duration. More than 60 s is 60 s."""
    if not text:
        return MAX_WAIT_S
    seconds = int(text) if re.fullmatch("[0-9]{1,9}", text) else durations.seconds(text)
    if seconds < 0:
        raise InvalidError(f"a timeout of {text} is not possible", hint="use 1 to 60 seconds")
    return min(seconds, MAX_WAIT_S)


def _patience(timeout: str | int | None) -> int | None:
    """Milliseconds; zero means what is configured."""
    if timeout in (None, ""):
        return None
    return stop_timeout_ms(timeout) or None
