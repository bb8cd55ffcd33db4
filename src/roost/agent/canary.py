"""The canary of one host: runs the prober over the networks that are up, and raises the alarm.

It never makes a router nor keeps one: routers that are not there have nobody inside, and while a
run lasts (well under a second) those probed are held, so that the sweep takes none away under it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from roost.agent.canary_task import MAX_NETWORKS, inhabitants, part, subjects
from roost.agent.parts import Parts
from roost.agent.routers import Routers
from roost.canary.base import Kind, Means, Outcome, Report, Subject, Task
from roost.canary.judge import findings
from roost.errors import RoostError, UnavailableError
from roost.tasks import SingleFlight

log = logging.getLogger("roost.canary")

_FIRST_SECONDS = 10.0
"""After the start, when Machines of before are running again."""


@dataclass(slots=True)
class Counters:
    """Since the daemon's start, but for the last two: `failed` runs told nothing; `last_run_ms`
    (since the epoch) and `last_took_ms` are of the newest run that told something, 0 before.
    """

    runs: int = 0
    failed: int = 0
    tried: int = 0
    breaches: int = 0
    blind: int = 0
    drift: int = 0
    last_run_ms: int = 0
    last_took_ms: int = 0

    def add(self, report: Report) -> None:
        """Count a run."""
        self.runs += 1
        self.tried += report.tried
        self.breaches += report.count(Kind.BREACH)
        self.blind += report.count(Kind.BLIND)
        self.drift += report.count(Kind.DRIFT)
        self.last_run_ms = report.started_at
        self.last_took_ms = report.took


class Canary:
    """`latest` is the newest report, `counters` are for metrics. `serve` must have been called."""

    def __init__(
        self, parts: Parts, routers: Routers, attached: Mapping[str, tuple[Path, int]]
    ) -> None:
        self._parts = parts
        self._routers = routers
        self._attached = attached
        self._flight: SingleFlight[str, Report] | None = None
        self._turn = 0
        self.latest: Report | None = None
        self.counters = Counters()

    def serve(self, group: asyncio.TaskGroup) -> None:
        """Run in this group: every `canary_every` seconds, and when asked."""
        self._flight = SingleFlight(group, "canary")
        if self._parts.canary_every > 0 and self._parts.prober is not None:
            group.create_task(self._loop(self._parts.canary_every), name="canary-loop")

    async def run_once(self) -> Report:
        """Try everything now; who asks while a run is on its way shares it. Under a second, as a
        rule. Raises UnavailableError when it could not be done.
        """
        if self._flight is None:
            raise UnavailableError("the canary is not running yet", hint="try again in a moment")
        return await self._flight.run("run", self._run)

    async def _loop(self, every: float) -> None:
        await self._parts.clock.sleep(min(every, _FIRST_SECONDS))
        while True:
            try:
                await self.run_once()
            except RoostError:
                pass  # said and counted where it happened
            except Exception:
                log.exception("the canary; the next run tries again")
            await self._parts.clock.sleep(every)

    async def _run(self) -> Report:
        try:
            report = await self._probe()
        except RoostError as error:
            self.counters.failed += 1
            log.error("the canary could not run, so nothing is known of isolation: %s", error)
            raise
        self.latest = report
        self.counters.add(report)
        _tell(report)
        return report

    async def _probe(self) -> Report:
        prober = self._parts.prober
        if prober is None:
            raise UnavailableError("this host has no prober for a canary")
        clock = self._parts.clock
        started_at, started = clock.now_ms(), clock.monotonic()
        async with AsyncExitStack() as stack:
            up = sorted(self._routers.up())
            held = []
            for network_id in part(up, MAX_NETWORKS, self._turn):
                if await self._routers.hold(network_id):
                    stack.callback(self._routers.release, network_id)
                    held.append(network_id)
            task = await self._task(tuple(held))
            self._turn += 1
            probed = await prober.probe(task)
        probed = replace(probed, outcomes=self._still_true(task, probed.outcomes))
        return Report(
            started_at=started_at,
            took=round((clock.monotonic() - started) * 1000),
            networks=tuple(held),
            left_out=tuple(network for network in up if network not in held),
            tried=len(probed.outcomes),
            findings=findings(probed),
        )

    async def _task(self, networks: tuple[int, ...]) -> Task:
        parts = self._parts
        observed = await parts.runtime.observe()
        return Task(
            subjects=self._subjects(networks),
            inhabitants=inhabitants(observed, self._attached, self._turn),
            ports=parts.host_ports,
            turn=self._turn,
        )

    def _subjects(self, networks: tuple[int, ...]) -> tuple[Subject, ...]:
        return subjects(self._parts.store, networks, self._parts.identity.number)

    def _still_true(self, task: Task, outcomes: tuple[Outcome, ...]) -> tuple[Outcome, ...]:
        """Without names that got an address in their network while it was being probed."""
        now = self._subjects(tuple(subject.id for subject in task.subjects))
        before = _names(task.subjects)
        changed = before - _names(now)
        return tuple(
            outcome
            for outcome in outcomes
            if outcome.attempt.means is not Means.DNS
            or (outcome.attempt.network, outcome.attempt.to) not in changed
        )


def _names(subjects_: tuple[Subject, ...]) -> set[tuple[int, str]]:
    return {(subject.id, name.text) for subject in subjects_ for name in subject.names}


def _tell(report: Report) -> None:
    for finding in report.findings:
        log.error("%s: %s", finding.kind, finding.sentence)
    log.info(
        "canary: tried %d things in %d networks within %d ms: %d breaches, %d blind, %d drift",
        report.tried,
        len(report.networks),
        report.took,
        report.count(Kind.BREACH),
        report.count(Kind.BLIND),
        report.count(Kind.DRIFT),
    )
