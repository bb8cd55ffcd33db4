"""One Machine's worker: looks, plans, executes, until the Machine rests.

Everything that happens to a Machine on this host happens in its worker, one thing at a time, so no
lock is needed: requests (poke, wake, sleep, unprepare) only set flags and the event. The worker
exists only while there is something to do; a resting Machine has none.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from roost.agent import record
from roost.agent.steps import Steps
from roost.errors import RoostError
from roost.model.machine_state import STARTABLE, Event, Goal, MachineState
from roost.model.records import Machine
from roost.plan.autostop import Action
from roost.plan.reconcile import Box, Step, plan

if TYPE_CHECKING:
    from roost.agent.agent import Agent

log = logging.getLogger("roost.agent")

_BOOT = (Step.DELETE, Step.ATTACH, Step.CREATE, Step.START)
_STARTS = (Step.ATTACH, Step.CREATE, Step.START)
MAX_STEPS = 200
"""More than any plan needs; a worker that gets there is going in circles and stops loudly."""


class Worker:
    """See the module."""

    def __init__(self, agent: Agent, machine_id: str) -> None:
        self._agent = agent
        self._id = machine_id
        self._steps = Steps(agent, machine_id)
        self._event = asyncio.Event()
        self._wake = False
        self._sleep: Action | None = None
        self._unprepare = False
        self._prepare_next = False
        self._page_out_next = False

    # Requests: never block

    def poke(self) -> None:
        """Look again."""
        self._event.set()

    def wake(self) -> None:
        """Somebody waits for the Machine."""
        self._wake = True
        self._event.set()

    def sleep(self, action: Action) -> None:
        """Put it to sleep if it is still idle."""
        self._sleep = action
        self._event.set()

    def unprepare(self, *, again: bool) -> None:
        """Its prepared container is stale (make it `again`) or its place is needed."""
        self._unprepare = True
        self._prepare_next = again
        self._event.set()

    # The loop

    async def run(self) -> None:
        """Work until the Machine rests and nothing is asked. Raises nothing but cancellation."""
        for _ in range(MAX_STEPS):
            self._event.clear()
            try:
                resting = await self._turn()
            except RoostError as error:
                log.warning("%s: %s", self._id, error)
                resting = True
            except Exception:
                log.exception("%s: unexpected error", self._id)
                resting = True
            if resting and not self._event.is_set():
                return
        log.error("%s: still not at rest after %d steps; leaving it", self._id, MAX_STEPS)

    async def _turn(self) -> bool:
        """One request or one step; True when there is nothing left to do."""
        if self._agent.closing:
            return True
        stored = self._agent.parts.store.get(Machine, self._id)
        if stored is None:
            await self._clear_orphan()
            return True
        machine = stored.record
        if await self._request(machine):
            return False
        steps = plan(machine, self._steps.seen(machine))
        if not steps:
            return await self._rest(machine)
        if steps[0] in _STARTS and not self._agent.wakes.may_begin(machine):
            return True  # In line: woken when its turn comes.
        if steps[0] not in _BOOT or not await self._hold_off(machine):
            await self._execute(steps[0], machine)
            # Only who has just gone to sleep is prepared, or two would take each other's place.
            self._prepare_next = self._prepare_next or steps[0] is Step.MARK_HALTED
            self._page_out_next = self._page_out_next or steps[0] is Step.MARK_FROZEN
        return False

    async def _request(self, machine: Machine) -> bool:
        """Carry out what was asked, if anything was."""
        if self._wake:
            self._wake = False
            await self._wake_up(machine)
        elif self._sleep is not None:
            action, self._sleep = self._sleep, None
            await self._fall_asleep(machine, action)
        elif self._unprepare:
            self._unprepare = False
            await self._drop_prepared(machine)
        else:
            return False
        return True

    async def _execute(self, step: Step, machine: Machine) -> bool:
        """Carry a step out; False when the Machine could not be started and is failed now."""
        if step in _STARTS:
            self._agent.wakes.begins(machine)
        try:
            await self._steps.execute(step, machine)
        except RoostError as error:
            if step not in _STARTS:
                raise
            await self._fail(machine, error)
            return False
        if step is Step.START:
            self._agent.wakes.started(self._id)
        return True

    async def _fail(self, machine: Machine, error: RoostError) -> None:
        """It cannot be started: say so everywhere, leave nothing half-made."""
        now = self._agent.parts.clock.now_ms()
        self._agent.parts.logs.write(
            machine.app,
            f"could not start: {error}",
            machine=self._id,
            level="error",
            region=machine.region,
        )
        await self._steps.edit(
            lambda m: m if m.goal is Goal.DESTROYED else record.broke(m, now, str(error))
        )
        self._agent.link.wake_failed(self._id, "PM07", str(error))
        if self._agent.boxes.box(self._id) is Box.NONE:
            # A failed create may have left a half-made container that nobody lists.
            await self._agent.parts.runtime.delete(self._id)

    async def _hold_off(self, machine: Machine) -> bool:
        """Wait out the restart policy's delay; True when something else came meanwhile.

        Only a restart waits: a stop, a destroy or a new version of a crash loop is done at once.
        """
        if machine.goal is not Goal.STARTED or not machine.restarts:
            return False
        clock = self._agent.parts.clock
        left = (self._steps.not_before_ms - clock.now_ms()) / 1000
        if left <= 0:
            return False
        try:
            async with asyncio.timeout(left):
                await self._event.wait()
        except TimeoutError:
            return False
        return True

    # Requests carried out

    async def _wake_up(self, machine: Machine) -> None:
        if machine.state not in STARTABLE and machine.goal is not Goal.DESTROYED:
            # On its way up already: a lease taken since then must not fail those who wait.
            return
        if refusal := self._refuse_wake(machine):
            self._agent.link.wake_failed(self._id, *refusal)
            return
        seen = self._steps.seen(machine)
        if machine.state is MachineState.SUSPENDED and seen.box is Box.FROZEN and seen.current:
            await self._resume(machine)
        elif not self._agent.wakes.may_start(machine):
            # It is in line: woken again when its turn comes. A thaw costs nothing that is scarce.
            return
        elif machine.state is MachineState.STOPPED and (
            seen.box is Box.NONE or (seen.box is Box.CREATED and seen.current)
        ):
            await self._start_now(machine)
        else:
            now = self._agent.parts.clock.now_ms()
            await self._steps.edit(lambda m: record.woken(m, now))

    # Act first, write after: a caller waits, and a commit flushes a disk. A crash in between leaves
    # a container beside a record at rest, which the plan keeps as prepared, or adopts if it runs.

    async def _resume(self, machine: Machine) -> None:
        await self._execute(Step.THAW, machine)
        await self._write_woken(machine, fresh=False)

    async def _start_now(self, machine: Machine) -> None:
        self._agent.prepared.discard(self._id)
        ready = self._agent.boxes.box(self._id) is Box.CREATED
        for step in (Step.START,) if ready else _STARTS:
            if step is Step.START:
                # From here on the proxy tries the port; before, that would only cost time.
                self._agent.link.override(machine, MachineState.STARTING)
            if not await self._execute(step, machine):
                return
        await self._write_woken(machine, fresh=True)

    async def _write_woken(self, machine: Machine, *, fresh: bool) -> None:
        """What runs is shown and written as started; what ended at once as starting."""
        now = self._agent.parts.clock.now_ms()
        if self._agent.boxes.box(self._id) is not Box.RUNNING:
            await self._steps.edit(lambda m: record.woken(m, now))
            return
        if not fresh:
            self._agent.link.override(machine, MachineState.STARTED)
        await self._steps.edit(
            lambda m: record.running(record.woken(m, now), Goal.STARTED, now, fresh=fresh)
        )

    def _refuse_wake(self, machine: Machine) -> tuple[str, str] | None:
        now = self._agent.parts.clock.now_ms()
        if machine.lease is not None and machine.lease.expires_at > now:
            return "PM08", f"machine {self._id} is leased by {machine.lease.owner or 'somebody'}"
        if machine.goal is Goal.DESTROYED:
            return "PM08", f"machine {self._id} is {machine.state}"
        return None

    async def _fall_asleep(self, machine: Machine, action: Action) -> None:
        if machine.state is not MachineState.STARTED or machine.goal is not Goal.STARTED:
            return
        event = Event.SUSPEND if action == "suspend" else Event.STOP
        shown = MachineState.SUSPENDING if action == "suspend" else MachineState.STOPPING
        link, now = self._agent.link, self._agent.parts.clock.now_ms()
        link.hold(self._id, shown)
        if not await link.drain(self._id, if_idle=True):
            link.settle(self._id)
            return
        self._agent.parts.logs.write(
            machine.app,
            f"idle, {'suspending' if action == 'suspend' else 'stopping'} it",
            machine=self._id,
            source="proxy",
            region=machine.region,
        )

        def change(newest: Machine) -> Machine:
            untouched = newest.state is MachineState.STARTED and newest.goal is Goal.STARTED
            leased = newest.lease is not None and newest.lease.expires_at > now
            return record.put_to_sleep(newest, event, now) if untouched and not leased else newest

        await self._steps.edit(change)

    async def _drop_prepared(self, machine: Machine) -> None:
        if machine.state is MachineState.STOPPED and self._agent.boxes.box(self._id) is Box.CREATED:
            await self._steps.delete(machine)
            await self._steps.detach(machine)
        self._agent.prepared.discard(self._id)

    async def _clear_orphan(self) -> None:
        """What is left of a Machine that the store does not know."""
        if self._agent.boxes.box(self._id) is not Box.NONE:
            await self._agent.parts.runtime.delete(self._id)
            self._agent.boxes.deleted(self._id)
        if self._id in self._agent.attached:
            await self._agent.parts.network.detach(self._id)
            self._agent.attached.pop(self._id, None)

    # At rest

    async def _rest(self, machine: Machine) -> bool:
        box = self._agent.boxes.box(self._id)
        if machine.state is MachineState.SUSPENDED and box is Box.FROZEN:
            if self._page_out_next:
                self._page_out_next = False
                self._agent.page_out(self._id)
        elif self._prepare_next and self._worth_preparing(machine, box):
            self._prepare_next = False
            evicted = self._agent.prepared.admit(self._id)
            if evicted is not None:
                self._agent.unprepare(evicted, again=False)
            await self._prepare(machine)
        return True

    def _worth_preparing(self, machine: Machine, box: Box) -> bool:
        return (
            machine.state is MachineState.STOPPED
            and box is Box.NONE
            and machine.started_at is not None
            and any(service.autostart is not False for service in machine.config.services)
            and not self._event.is_set()
        )

    async def _prepare(self, machine: Machine) -> None:
        try:
            await self._steps.attach(machine)
            await self._steps.create(machine)
        except RoostError as error:
            log.info("%s: not prepared ahead of time: %s", self._id, error)
            self._agent.prepared.discard(self._id)
            await self._agent.parts.runtime.delete(self._id)
            self._agent.boxes.deleted(self._id)
            await self._steps.detach(machine)
