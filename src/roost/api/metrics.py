"""What Roost tells a Prometheus of itself; Fly's own series of apps are not among it yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from roost.api.parts import CanaryService
from roost.canary.base import Kind
from roost.model.checks import CheckResult, CheckStatus
from roost.model.records import Machine
from roost.plan.wake_budget import Counts

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


Checked = Iterable[tuple[Machine, tuple[CheckResult, ...]]]
"""Running Machines and what their health checks say."""


def render(canary: CanaryService, checked: Checked, wakes: Counts) -> bytes:
    """All series in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(_Canary(canary))
    registry.register(_Checks(checked))
    registry.register(_Wakes(wakes))
    return generate_latest(registry)


class _Canary(Collector):
    """The canary's counters, and what its newest run found."""

    def __init__(self, canary: CanaryService) -> None:
        self._canary = canary

    def collect(self) -> Iterator[Metric]:
        """The series."""
        counters = self._canary.counters
        for name, text, value in (
            ("runs", "Runs that told something", counters.runs),
            ("failed_runs", "Runs that could not be done", counters.failed),
            ("attempts", "Things tried", counters.tried),
        ):
            yield CounterMetricFamily(f"roost_canary_{name}", text, value=value)
        found = CounterMetricFamily(
            "roost_canary_findings", "Findings of all runs", labels=["kind"]
        )
        for kind, value in (
            (Kind.BREACH, counters.breaches),
            (Kind.BLIND, counters.blind),
            (Kind.DRIFT, counters.drift),
        ):
            found.add_metric([str(kind)], value)
        yield found
        yield from self._newest()

    def _newest(self) -> Iterator[Metric]:
        report = self._canary.latest
        if report is None:
            return
        open_now = GaugeMetricFamily(
            "roost_canary_open_findings", "Findings of the newest run", labels=["kind"]
        )
        for kind in Kind:
            open_now.add_metric([str(kind)], report.count(kind))
        yield open_now
        yield GaugeMetricFamily(
            "roost_canary_last_run_timestamp_seconds",
            "When the newest run began",
            value=report.started_at / 1000,
        )
        yield GaugeMetricFamily(
            "roost_canary_last_run_seconds", "How long it took", value=report.took / 1000
        )


class _Checks(Collector):
    """What the health checks of running Machines say."""

    def __init__(self, checked: Checked) -> None:
        self._checked = list(checked)

    def collect(self) -> Iterator[Metric]:
        """The series."""
        passing = GaugeMetricFamily(
            "roost_health_check_passing",
            "Whether the last run of a health check passed",
            labels=["app", "machine", "check"],
        )
        counts = dict.fromkeys(CheckStatus, 0)
        for machine, results in self._checked:
            for result in results:
                counts[result.status] += 1
                passes = result.status is CheckStatus.PASSING
                passing.add_metric([machine.app, machine.id, result.name], float(passes))
        yield passing
        by_status = GaugeMetricFamily(
            "roost_health_checks", "Health checks of running Machines", labels=["status"]
        )
        for status, count in counts.items():
            by_status.add_metric([str(status)], count)
        yield by_status


class _Wakes(Collector):
    """The wake budget: who waits for room on this host, and what was decided."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """The series."""
        counts = self._counts
        yield GaugeMetricFamily(
            "roost_wakes_waiting",
            "Wakes in line for room on the host, and what is to run again after its start",
            value=counts.waiting,
        )
        yield GaugeMetricFamily(
            "roost_wakes_starting",
            "Starts of stopped Machines that count now, users' own among them",
            value=counts.starting,
        )
        decided = CounterMetricFamily(
            "roost_wakes_decided",
            "Wakes of stopped Machines: admitted at once or after waiting in line, refused for "
            "want of memory, or not awaited any more",
            labels=["how"],
        )
        for how, value in (
            ("at_once", counts.straight),
            ("queued", counts.queued),
            ("refused", counts.refused),
            ("left", counts.left),
        ):
            decided.add_metric([how], value)
        yield decided
