"""Runs the wake budget: who waits has a place in line and no worker; a wake whose turn comes is
given to its Machine's worker as if it had just been asked for.

Admission when there is room is a look at two numbers, so a single wake is not slower for it. A
clock ticks only while somebody waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from roost.model.records import App, Machine
from roost.plan.fair_line import Waiting
from roost.plan.wake_budget import MIB, Counts, WakeBudget, estimate

if TYPE_CHECKING:
    from roost.agent.parts import Parts
    from roost.agent.proxy_link import ProxyLink

log = logging.getLogger("roost.agent")

TICK_SECONDS = 0.1
"""Between looks at memory, and at slots whose time is over, while somebody waits."""
FRESH_MS = 20
"""How long a reading of the available memory is used."""


class Wakes:
    """See the module. `wake` asks a Machine's worker to wake it, `look` to do what its goal says.

    No method blocks.
    """

    def __init__(
        self,
        parts: Parts,
        link: ProxyLink,
        *,
        wake: Callable[[str], None],
        look: Callable[[str], None],
    ) -> None:
        self._parts = parts
        self._link = link
        self._wake = wake
        self._look = look
        self._budget = WakeBudget(parts.wakes)
        self._again: set[str] = set()
        """What ran before this daemon, is to run again, and was not started since."""
        self._available = 0
        self._read_ms = -FRESH_MS
        self._group: asyncio.TaskGroup | None = None
        self._ticking = False

    def serve(self, group: asyncio.TaskGroup) -> None:
        """From now on the clock may tick in `group`."""
        self._group = group

    @property
    def counts(self) -> Counts:
        """For metrics."""
        return self._budget.counts(self._now())

    # The proxy and the workers say

    def repeated(self, machine_id: str) -> bool:
        """The proxy asks: whether the Machine is in line already."""
        return self._budget.again(machine_id, self._now())

    def may_start(self, machine: Machine) -> bool:
        """Whether a wake may start the Machine now; if not it is in line, and the worker rests."""
        self.asked_for(machine.id)
        now = self._now()
        needs = _needs(machine)
        if self._budget.admit(machine.id, needs, now, self._memory(now)):
            return True
        self._budget.wait(machine.id, machine.app, self._org(machine.app), needs, now)
        self._tick()
        return False

    def run_again(self, machine_id: str) -> None:
        """It ran before this daemon, and is to be started when there is room."""
        self._again.add(machine_id)

    def asked_for(self, machine_id: str) -> None:
        """Somebody wants something else of it than that it runs again."""
        self._again.discard(machine_id)
        self._budget.forget(machine_id)

    def may_begin(self, machine: Machine) -> bool:
        """Whether a start that the goal asks for may begin; if not it is in line, and the worker
        rests.
        """
        if machine.id not in self._again:
            return True
        now, org = self._now(), self._org(machine.app)
        waiting = Waiting(
            machine=machine.id,
            app=machine.app,
            org=org,
            memory=_needs(machine),
            since_ms=now,
            asked_ms=now,
            wanted=True,
        )
        may = self._budget.admit_later(waiting, now)
        if not may:
            self._tick()
        return may

    def called(self, apps: Iterable[str]) -> None:
        """Somebody waits for these apps, maybe for one that is to run again."""
        if self._again:
            for app in apps:
                self._budget.called(self._org(app), app)

    def begins(self, machine: Machine) -> None:
        """The Machine is being started because its goal says so."""
        self._budget.force(machine.id, _needs(machine), self._now())

    def started(self, machine_id: str) -> None:
        """Its program runs."""
        self._again.discard(machine_id)
        self._budget.started(machine_id, self._now())

    def over(self, machine_id: str) -> None:
        """It listens, or has ended."""
        self._budget.over(machine_id)
        self._turn()

    def rests(self, machine_id: str) -> None:
        """Its worker has ended, whatever became of a start."""
        self._budget.not_begun(machine_id)
        self._turn()

    # While somebody waits

    def _turn(self) -> None:
        if len(self._budget):
            now = self._now()
            for machine_id in self._budget.turn(now, self._memory(now)):
                # Nobody may wait for what is to run again, and its goal may be another by now.
                give = self._look if machine_id in self._again else self._wake
                give(machine_id)

    def _tick(self) -> None:
        if not self._ticking and self._group is not None:
            self._ticking = True
            self._group.create_task(self._watch(), name="wakes")

    async def _watch(self) -> None:
        try:
            while len(self._budget):
                await self._parts.clock.sleep(TICK_SECONDS)
                now = self._now()
                look = self._budget.look(now, self._memory(now))
                for waiting in look.refused:
                    self._refuse(waiting)
                for waiting, before in look.told:
                    self._tell(waiting, before)
                self._turn()
        finally:
            self._ticking = False

    def _refuse(self, waiting: Waiting) -> None:
        limits = self._budget.limits
        self._link.wake_failed(
            waiting.machine,
            "PM07",
            f"the host has no memory for machine {waiting.machine}: {self._available // MIB} MiB "
            f"are available, {waiting.memory // MIB} MiB may be needed to start it, and "
            f"{limits.floor // MIB} MiB must stay free; stop other Machines, add memory or swap, "
            "or lower --memory-floor",
        )

    def _tell(self, waiting: Waiting, before: int) -> None:
        others = "1 wake is" if before == 1 else f"{before or 'no'} wakes are"
        limits = self._budget.limits
        sentence = (
            f"waiting for room on the host: {others} before it, "
            f"and {limits.at_once} may start at once"
        )
        if limits.floor:
            free, floor = self._available // MIB, limits.floor // MIB
            sentence += f"; {free} MiB of memory are available, {floor} MiB must stay free"
        self._parts.logs.write(
            waiting.app,
            sentence,
            machine=waiting.machine,
            source="proxy",
            region=self._parts.identity.region,
        )

    # Details

    def _now(self) -> int:
        return round(self._parts.clock.monotonic() * 1000)

    def _memory(self, now_ms: int) -> int:
        if self._budget.limits.floor and now_ms - self._read_ms >= FRESH_MS:
            self._read_ms = now_ms
            try:
                self._available = self._parts.available_memory()
            except OSError as error:
                log.warning("available memory: %s; going by the last reading", error)
        return self._available

    def _org(self, app: str) -> str:
        stored = self._parts.store.get(App, app)
        return stored.record.org if stored else ""


def _needs(machine: Machine) -> int:
    return estimate(machine.config.guest.memory_mb * MIB)
