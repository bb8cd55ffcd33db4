"""The Linux prober: attaches probe points, tries everything from them, takes them away.

State is compared before anything is attached, because attaching mends a router that this process
has not completed yet. What is found different is looked at again a little later: Machines come
and go meanwhile, and only what stays different is drift.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from roost.canary.attempts import Attempts
from roost.canary.base import Attempt, Drift, Means, Outcome, Probed, Subject, Task
from roost.canary.ground import Ground, Traveller
from roost.canary.points import points_of
from roost.canary.survey import lasting, survey
from roost.canary.volleys import Field, Ways
from roost.canary.wire import Marks
from roost.errors import RoostError
from roost.home import Home
from roost.network.netns import NetnsNetwork
from roost.network.worker import Worker

log = logging.getLogger("roost.canary")


class NetnsProber:
    """`Prober` on Linux, beside the network driver of the same home.

    `patience` is for how many seconds a control is waited for; what differs from the design is
    looked at `looks` times in all, with `pause` seconds between two.
    """

    def __init__(
        self,
        home: Home,
        network: NetnsNetwork,
        *,
        patience: float = 1.0,
        pause: float = 0.05,
        looks: int = 3,
    ) -> None:
        self._home = home
        self._network = network
        self._patience = patience
        self._pause = pause
        self._looks = looks
        self._worker = Worker("canary", threads=1)

    async def probe(self, task: Task) -> Probed:
        """See base.Prober."""
        ground = Ground(
            home=self._home,
            egress=self._network.egress_off is None,
            egress6=self._network.egress_off is None and self._network.egress6_off is None,
            patience=self._patience,
        )
        drifts = await self._survey(ground, task.subjects)
        async with self._attached(task.subjects) as (attached, failed):
            outcomes = await self._worker.run(
                "try what must be impossible", lambda: _attempts(ground, task, attached)
            )
        return Probed(outcomes=(*failed, *outcomes), drifts=tuple(drifts))

    async def _survey(self, ground: Ground, subjects: Sequence[Subject]) -> list[Drift]:
        what = "compare routers with their design"
        found = await self._worker.run(what, lambda: survey(ground, subjects))
        for _ in range(self._looks - 1):
            if not found:
                break
            await asyncio.sleep(self._pause)
            again = await self._worker.run(what, lambda: survey(ground, subjects))
            found = lasting(found, again)
        return found

    @asynccontextmanager
    async def _attached(
        self, subjects: Sequence[Subject]
    ) -> AsyncIterator[tuple[list[Subject], list[Outcome]]]:
        """The subjects whose probe points could be attached, and for the others what failed."""
        attached, failed = [], []
        try:
            for subject in subjects:
                try:
                    for point in points_of(subject):
                        await self._network.attach(point)
                except RoostError as error:
                    failed.append(_failed(subject, "attach a probe point", str(error)))
                else:
                    attached.append(subject)
            yield attached, failed
        finally:
            async with asyncio.TaskGroup() as group:
                for point in (point for subject in subjects for point in points_of(subject)):
                    job = self._detached(point.machine_id)
                    group.create_task(job, name=f"detach:{point.machine_id}")

    async def _detached(self, machine_id: str) -> None:
        try:
            await self._network.detach(machine_id)
        except RoostError as error:
            log.warning("a probe point stays until the next run: %s", error)


def _attempts(ground: Ground, task: Task, subjects: Sequence[Subject]) -> list[Outcome]:
    fields, failed = [], []
    with Traveller(ground) as traveller:
        for subject in subjects:
            way = traveller.way(subject)
            first, second = points_of(subject)
            ways = None
            if way.wanted and way.ends is not None:
                ways = Ways(addresses=way.ends.addresses, ip6=way.ip6)
            elif way.wanted:
                failed.append(_failed(subject, "use the uplink", "there is none that is whole"))
            fields.append(Field(subject=subject, first=first, second=second, ways=ways))
    return failed + Attempts(ground, task, fields, Marks(os.urandom(4))).outcomes()


def _failed(subject: Subject, what: str, how: str) -> Outcome:
    to = str(subject.router.prefix)
    attempt = Attempt(what=what, network=subject.id, to=to, means=Means.KERNEL)
    return Outcome(attempt=attempt, wanted=True, happened=False, how=how)
