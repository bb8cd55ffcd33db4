"""How a Machine's program ended: from its history, in words, and its last lines."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from roost.control.service import Control
from roost.model.machine_state import MachineState
from roost.model.records import Machine, MachineEvent

LAST_LINES = 20

OVER = frozenset({MachineState.STOPPED, MachineState.FAILED, MachineState.DESTROYED})
"""States of a Machine whose program will not run by itself."""


def unrequested_exit(
    machine: Machine, before: frozenset[str] = frozenset()
) -> Mapping[str, Any] | None:
    """The last end that nobody asked for, after the events whose ids are `before`."""
    for event in machine.events:
        if event.id in before:
            return None
        if event.type == "exit":
            ended = _exit_event(event)
            if not ended.get("requested_stop"):
                return ended
    return None


def exit_code(ended: Mapping[str, Any] | None) -> int | None:
    """The exit code of an end, where there was one."""
    code = None if ended is None else ended.get("exit_code")
    return code if isinstance(code, int) else None


def words(machine: Machine, ended: Mapping[str, Any] | None) -> str:
    """What it did: `exited with code 1`, or `could not be started: why`."""
    if ended is not None:
        memory = ", out of memory" if ended.get("oom_killed") else ""
        return f"exited with code {exit_code(ended)}{memory}"
    reason = _reason(machine)
    return f"could not be started{f': {reason}' if reason else ''}"


async def last_lines(control: Control, machine: Machine) -> tuple[str, ...]:
    """The end of what it printed."""
    logs = control.context.logs
    return tuple(await asyncio.to_thread(logs.tail, machine.app, machine.id, LAST_LINES))


def _exit_event(event: MachineEvent) -> Mapping[str, Any]:
    found = (event.request or {}).get("exit_event")
    return found if isinstance(found, dict) else {}


def _reason(machine: Machine) -> str | None:
    for event in machine.events:
        if event.request and isinstance(event.request.get("error"), str):
            return str(event.request["error"])
    return None
