"""Carrying out a rollout plan: stage after stage, lanes side by side, until the first failure.

With strategy immediate nothing is waited for, every step is tried, and failures come at the end.
Counterpart: `roost.plan.rollout` decides the order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import assert_never

from roost.control.machine_requests import CreateMachine, UpdateMachine
from roost.control.service import Control
from roost.deploy.came_up import Watch
from roost.deploy.leases import OWNER, Leases
from roost.deploy.pin import Pin
from roost.deploy.progress import Reporter
from roost.deploy.side_by_side import side_by_side
from roost.errors import RoostError, UnavailableError
from roost.model.machine_config import MachineConfig
from roost.plan.rollout import Batch, Create, Destroy, Lane, Stage, Step, Update, stays_down

MakeConfig = Callable[[str, MachineConfig | None], MachineConfig]
"""(group, present configuration or None for a new Machine) → the release's configuration."""


@dataclass(slots=True, kw_only=True)
class RolloutRun:
    """One rollout under way. `region` is where new Machines go."""

    control: Control
    pin: Pin
    region: str
    leases: Leases
    watch: Watch
    report: Reporter
    make_config: MakeConfig
    patient: bool = True
    """False: strategy immediate."""
    touched: list[str] = field(default_factory=list)
    """Ids of Machines made or updated, in the order in which they were finished."""
    failures: list[RoostError] = field(default_factory=list)

    @property
    def app(self) -> str:
        """The app's name."""
        return self.pin.app.name

    async def run(self, stages: Sequence[Stage]) -> None:
        """Do all stages. Raises the first failure (immediate: after everything was tried)."""
        for stage in stages:
            await side_by_side((self._lane(lane) for lane in stage.lanes), f"rollout:{self.app}")
        if self.failures:
            first, *others = self.failures
            if not others:
                raise first
            raise UnavailableError(
                f"{len(self.failures)} Machines could not be changed; the first: {first.message}",
                hint=first.hint,
            )

    async def _lane(self, lane: Lane) -> None:
        for batch in lane:
            await self._batch(batch)

    async def _batch(self, batch: Batch) -> None:
        await side_by_side((self._step(step) for step in batch), f"batch:{self.app}")

    async def _step(self, step: Step) -> None:
        self.report.step(step.describe())
        try:
            self.pin.check()
            match step:
                case Create():
                    await self._create(step)
                case Update():
                    await self._update(step)
                case Destroy():
                    await self._destroy(step)
                case _:
                    assert_never(step)
        except RoostError as error:
            if self.patient:
                raise
            self.report.warning(f"{step.describe()} failed: {error.message}")
            self.failures.append(error)

    async def _create(self, step: Create) -> None:
        request = CreateMachine(
            config=self.make_config(step.group, None),
            region=self.region,
            lease_ttl=self.leases.ttl,
            lease_owner=OWNER,
        )
        machine = await self.control.machines.create(self.app, request)
        self.leases.adopt(machine)
        if self.patient:
            await self.watch.up(machine)
        self._finished(machine.id, "runs" if self.patient else "is starting")

    async def _update(self, step: Update) -> None:
        machines = self.control.machines
        # Leased by now, so nobody else changes the state between this look and the update.
        before = machines.get(self.app, step.machine_id)
        launch = not stays_down(before.state)
        request = UpdateMachine(
            config=self.make_config(step.group, before.config), skip_launch=not launch
        )
        nonce = self.leases.nonce(step.machine_id)
        machine = await machines.update(self.app, step.machine_id, request, nonce)
        if self.patient and launch:
            await self.watch.up(machine)
        elif self.patient:
            await self.watch.down(machine)
        self._finished(machine.id, "runs the new release" if launch else "is ready, and stays down")

    async def _destroy(self, step: Destroy) -> None:
        nonce = self.leases.nonce(step.machine_id)
        machine = await self.control.machines.destroy(
            self.app, step.machine_id, force=True, nonce=nonce
        )
        self.leases.forget(step.machine_id)
        if self.patient:
            await self.watch.gone(machine)
        self.report.info(f"machine {step.machine_id} is destroyed", machine=step.machine_id)

    def _finished(self, machine_id: str, how: str) -> None:
        self.touched.append(machine_id)
        self.report.info(f"machine {machine_id} {how}", machine=machine_id)
