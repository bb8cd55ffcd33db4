"""What happens inside a running Machine: signals, commands, processes, memory."""

from __future__ import annotations

import re
import shlex
import signal as signals_of_host

from fastapi import APIRouter

from roost.api.bodies import ExecBody, SignalBody
from roost.api.needs import needs
from roost.api.parts import PartsDep
from roost.api.routes.machines import OK
from roost.api.views import Json, processes_view
from roost.errors import InvalidError
from roost.plan.authority import Right
from roost.spec import signals

router = APIRouter(prefix="/apps/{app}/machines/{machine_id}", tags=["machines"])
DEFAULT_EXEC_S = 60


@router.post("/signal", dependencies=needs(Right.RUN))
async def send_signal(parts: PartsDep, app: str, machine_id: str, body: SignalBody) -> Json:
    """Signal a Machine's main process."""
    number = _number(body.signal)
    parts.control.machines.get(app, machine_id)
    await parts.control.context.agent.signal(machine_id, number)
    return OK


@router.post("/exec", dependencies=needs(Right.RUN))
async def run_command(parts: PartsDep, app: str, machine_id: str, body: ExecBody) -> Json:
    """Run a command and wait for it. 200 also when it failed: look at `exit_code`."""
    args = _arguments(body)
    parts.control.machines.get(app, machine_id)
    result = await parts.control.context.agent.exec(
        machine_id,
        args,
        stdin=(body.stdin or "").encode(),
        timeout=body.timeout or DEFAULT_EXEC_S,
    )
    return {
        "exit_code": result.exit_code,
        "stdout": result.stdout.decode(errors="replace"),
        "stderr": result.stderr.decode(errors="replace"),
    }


@router.get("/ps", dependencies=needs(Right.LOOK))
@router.get("/processes", dependencies=needs(Right.LOOK))
async def list_processes(parts: PartsDep, app: str, machine_id: str) -> list[Json]:
    """The Machine's processes."""
    parts.control.machines.get(app, machine_id)
    return processes_view(await parts.control.context.agent.processes(machine_id))


@router.get("/memory", dependencies=needs(Right.LOOK))
async def show_memory(parts: PartsDep, app: str, machine_id: str) -> Json:
    """The Machine's memory in bytes (Roost's own)."""
    parts.control.machines.get(app, machine_id)
    memory = await parts.control.context.agent.memory(machine_id)
    return {"resident": memory.resident, "swapped": memory.swapped}


def _number(asked: int | str) -> int:
    text = str(asked)
    number = int(text) if re.fullmatch("[0-9]{1,3}", text) else signals.number(text)
    if number not in {int(known) for known in signals_of_host.valid_signals()}:
        raise InvalidError(f"{asked} is not a signal")
    return number


def _arguments(body: ExecBody) -> tuple[str, ...]:
    try:
        args = body.command or tuple(shlex.split(body.cmd or ""))
    except ValueError as error:
        raise InvalidError(f"cmd cannot be split into words: {error}") from None
    if not args:
        raise InvalidError("there is no command", hint="send command (a list) or cmd (a string)")
    if any("\0" in arg for arg in args):
        raise InvalidError("the command has a NUL character")
    return args
