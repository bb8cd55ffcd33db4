"""Whether a Machine came up and stayed up: its state, its history, its health. Event-driven.

The smoke check watches for a while after the start (docs/launch/deploy). It fails when the program
ended without having been asked to; a program without services may finish with exit code 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from roost.control.service import Control
from roost.deploy.endings import OVER, exit_code, last_lines, unrequested_exit, words
from roost.deploy.healthy import until_healthy
from roost.deploy.machine_checks import MachineChecks
from roost.deploy.managed import group_of
from roost.deploy.progress import MachineFailedError
from roost.errors import DeadlineError
from roost.model.machine_state import MachineState
from roost.model.records import Machine

_UP = frozenset({MachineState.STARTED})
_DOWN = frozenset(
    {
        MachineState.CREATED,
        MachineState.STOPPED,
        MachineState.SUSPENDED,
        MachineState.FAILED,
    }
)
_LEFT = frozenset(MachineState) - _UP


@dataclass(frozen=True, slots=True)
class Watch:
    """Waits for Machines of an app; times in seconds."""

    control: Control
    app: str
    wait_timeout: float
    smoke_window: float
    health: bool = True
    """Health checks are waited for."""
    checks: MachineChecks | None = None
    """Machine checks, which are run against each Machine that came up."""

    async def up(self, machine: Machine) -> None:
        """Until this version of the Machine is started, was so for the smoke window, and passes its
        machine checks and its health checks; each of these may take `wait_timeout`.

        Raises MachineFailedError, and RoostError when somebody else changed the Machine.
        """
        before = frozenset(event.id for event in machine.events)
        reached = await self._reach(machine, _UP | OVER)
        if reached.state is MachineState.STARTED and self.smoke_window > 0:
            reached = await self._settle(reached)
        await self._judge(reached, before)
        if reached.state is MachineState.STARTED and self.checks is not None:
            await self.checks.run(reached)
        if reached.state is MachineState.STARTED and self.health:
            await self._judge(await self._in_health(reached), before)

    async def down(self, machine: Machine) -> None:
        """Until the Machine rests without running. Raises as `up`."""
        reached = await self._reach(machine, _DOWN)
        if reached.state is MachineState.FAILED:
            raise await self._failure(reached, None)

    async def gone(self, machine: Machine) -> None:
        """Until the Machine is destroyed. Raises MachineFailedError."""
        await self._reach(machine, frozenset({MachineState.DESTROYED}))

    async def _reach(self, machine: Machine, states: frozenset[MachineState]) -> Machine:
        try:
            return await self.control.machines.wait(
                self.app, machine.id, states, self.wait_timeout, machine.instance_id
            )
        except DeadlineError as error:
            raise await self._late(machine, error) from error

    async def _in_health(self, machine: Machine) -> Machine:
        try:
            return await until_healthy(self.control, machine, self.wait_timeout)
        except DeadlineError as error:
            raise await self._late(machine, error) from error

    async def _late(self, machine: Machine, error: DeadlineError) -> MachineFailedError:
        return MachineFailedError(
            error.message,
            machine=machine.id,
            output=await last_lines(self.control, machine),
            hint=f"see `roost logs -a {self.app}`",
        )

    async def _settle(self, machine: Machine) -> Machine:
        """The Machine as soon as it is not started any more, at the latest after the window."""
        try:
            return await self.control.machines.wait(
                self.app, machine.id, _LEFT, self.smoke_window, machine.instance_id
            )
        except DeadlineError:
            return self.control.machines.get(self.app, machine.id)

    async def _judge(self, machine: Machine, before: frozenset[str]) -> None:
        ended = unrequested_exit(machine, before)
        if ended is not None and not _finished_well(machine, ended):
            raise await self._failure(machine, ended)
        if machine.state is MachineState.FAILED:
            raise await self._failure(machine, None)

    async def _failure(
        self, machine: Machine, ended: Mapping[str, Any] | None
    ) -> MachineFailedError:
        soon = " soon after its start" if ended is not None else ""
        return MachineFailedError(
            f"machine {machine.id} of group {group_of(machine)} {words(machine, ended)}{soon}",
            machine=machine.id,
            exit_code=exit_code(ended),
            output=await last_lines(self.control, machine),
            hint=f"see `roost logs -a {self.app}`; other Machines keep what they run",
        )


def _finished_well(machine: Machine, ended: Mapping[str, Any]) -> bool:
    return (
        ended.get("exit_code") == 0 and not ended.get("restarting") and not machine.config.services
    )
