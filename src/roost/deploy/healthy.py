"""Waiting until a Machine passes all its health checks. Woken by what the proxy tells, no timer but
the deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from roost.control.service import Control
from roost.deploy.side_by_side import first_of
from roost.errors import DeadlineError
from roost.model.checks import CheckResult, CheckStatus, named_checks
from roost.model.machine_state import MachineState
from roost.model.records import Machine

_LEFT = frozenset(MachineState) - {MachineState.STARTED}
_MOST_NAMED = 3


async def until_healthy(control: Control, machine: Machine, seconds: float) -> Machine:
    """The Machine once every check of it was run and passes, or once it is not started any more.

    Without checks at once. Raises DeadlineError, which names the checks that do not pass and what
    they say, and RoostError when somebody else changed the Machine.
    """
    if not any(named_checks(machine.config)):
        return machine
    try:
        async with asyncio.TaskGroup() as group:
            passing = group.create_task(_until_passing(control, machine), name="health:pass")
            leaving = group.create_task(_until_left(control, machine, seconds), name="health:left")
            await asyncio.wait({passing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            passing.cancel()
            leaving.cancel()
    except BaseExceptionGroup as errors:
        raise first_of(errors) from None
    found = control.machines.get(machine.app, machine.id)
    failing = _failing(control, machine)
    if failing and found.state is MachineState.STARTED:
        raise DeadlineError(
            f"machine {machine.id} does not pass its health checks within {seconds:g} s: "
            f"{_words(failing)}"
        )
    return found


async def _until_passing(control: Control, machine: Machine) -> None:
    while _failing(control, machine):
        await control.context.agent.health_changed()


async def _until_left(control: Control, machine: Machine, seconds: float) -> None:
    try:
        await control.machines.wait(machine.app, machine.id, _LEFT, seconds, machine.instance_id)
    except DeadlineError:
        return


def _failing(control: Control, machine: Machine) -> list[CheckResult]:
    results = control.machines.checks(machine)
    return [result for result in results if result.status is not CheckStatus.PASSING]


def _words(failing: Iterable[CheckResult]) -> str:
    named = [f"{one.name}: {one.output or 'not run yet'}" for one in failing]
    more = len(named) - _MOST_NAMED
    shown = "; ".join(named[:_MOST_NAMED])
    return f"{shown}; and {more} more" if more > 0 else shown
