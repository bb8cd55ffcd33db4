"""A canary that finds what a test tells it to."""

from __future__ import annotations

from dataclasses import dataclass, field

from roost.agent.canary import Counters
from roost.canary.base import Finding, Report


@dataclass
class ScriptedCanary:
    """`CanaryService` whose next run finds `findings`."""

    findings: tuple[Finding, ...] = ()
    latest: Report | None = None
    counters: Counters = field(default_factory=Counters)

    async def run_once(self) -> Report:
        """A report of three networks and 600 attempts."""
        self.latest = Report(
            started_at=1_700_000_000_000,
            took=400,
            networks=(1, 2, 3),
            left_out=(),
            tried=600,
            findings=self.findings,
        )
        self.counters.add(self.latest)
        return self.latest
