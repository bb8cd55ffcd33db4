"""Running a deploy's machine checks: each is a Machine that lives as long as its command.

One that ends with a code other than 0, cannot be started, or takes too long stops the deploy.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from dataclasses import dataclass

from roost.control.machine_requests import CreateMachine
from roost.control.service import Control
from roost.deploy.endings import OVER, exit_code, last_lines, unrequested_exit, words
from roost.deploy.managed import group_of
from roost.deploy.pin import Pin
from roost.deploy.progress import MachineFailedError, Reporter
from roost.deploy.side_by_side import side_by_side
from roost.errors import DeadlineError, NotFoundError
from roost.model.records import Machine
from roost.spec.app_config import AppConfig
from roost.spec.machine_check import CHECK_GROUP, machine_checks, to_check_config
from roost.spec.services import MachineCheck

_AT_ONCE = 4
"""Checks of one Machine that run side by side."""
_STOP_SECONDS = 310.0
"""The longest patience of a stop, and what killing takes after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineChecks:
    """The checks of one deploy; each may take `timeout` seconds."""

    control: Control
    pin: Pin
    config: AppConfig
    report: Reporter
    timeout: float

    async def run(self, tested: Machine) -> None:
        """Run the checks of the Machine's group against it, and wait for all.

        Raises MachineFailedError, and what making a Machine raises.
        """
        turns = asyncio.Semaphore(_AT_ONCE)
        checks = machine_checks(self.config, group_of(tested))
        jobs = (self._in_turn(turns, check, tested) for check in checks)
        await side_by_side(jobs, f"machine-checks:{tested.id}")

    async def _in_turn(
        self, turns: asyncio.Semaphore, check: MachineCheck, tested: Machine
    ) -> None:
        async with turns:
            await self._one(check, tested)

    async def _one(self, check: MachineCheck, tested: Machine) -> None:
        name = f"machine check `{shlex.join(check.command)}` of machine {tested.id}"
        self.report.step(f"run {name}")
        self.pin.check()
        config = to_check_config(self.config, check, tested.config, str(tested.private_ip))
        request = CreateMachine(config=config, region=tested.region)
        made = await self.control.machines.create(self.pin.app.name, request)
        try:
            ended = await self._ended(name, made)
        finally:
            await discard(self.control, made)
        exited = unrequested_exit(ended)
        if exit_code(exited) != 0:
            raise await self._failure(f"{name} {words(ended, exited)}", ended)
        self.report.info(f"{name} passed", machine=made.id)

    async def _ended(self, name: str, made: Machine) -> Machine:
        """The Machine when its command has ended. Raises MachineFailedError: not in time."""
        wait = self.control.machines.wait
        try:
            return await wait(made.app, made.id, OVER, self.timeout, made.instance_id)
        except DeadlineError:
            failure = await self._failure(f"{name} did not end within {self.timeout:g} s", made)
        # In the manner that the check names: its signal, then SIGKILL after its patience.
        with contextlib.suppress(DeadlineError, NotFoundError):
            await self.control.machines.stop(made.app, made.id)
            await wait(made.app, made.id, OVER, _STOP_SECONDS)
        raise failure

    async def _failure(self, what: str, check: Machine) -> MachineFailedError:
        return MachineFailedError(
            what,
            machine=check.id,
            exit_code=exit_code(unrequested_exit(check)),
            output=await last_lines(self.control, check),
            hint=f"see `roost logs -a {check.app} -m {check.id}`",
        )


async def discard(control: Control, check: Machine) -> None:
    """Destroy a check's Machine whatever it does. One that is gone is no error."""
    with contextlib.suppress(NotFoundError):
        await control.machines.destroy(check.app, check.id, force=True)


async def discard_abandoned(control: Control, pin: Pin) -> None:
    """Destroy what checks of an interrupted deploy left (no deploy of this app runs now)."""
    for machine in control.machines.list(pin.app.name, metadata={"fly_process_group": CHECK_GROUP}):
        pin.check()
        await discard(control, machine)
