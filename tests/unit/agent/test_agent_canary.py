"""The canary's service in the agent, over fakes: when it runs, what it is asked, what it tells."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from roost.agent.canary_task import part
from roost.canary.base import (
    Attempt,
    Drift,
    Kind,
    Means,
    Name,
    Outcome,
    Probed,
    Subject,
    Task,
)
from roost.canary.points import points_of
from roost.control.address_request import AddressRequest
from roost.errors import UnavailableError
from roost.network.addressed import router_of
from tests.support.agent_rig import AgentRig

Test = Callable[[AgentRig], Awaitable[None]]
SWEEP = 30


def run(tmp_path: Path, test: Test, *, every: float = 0.0) -> None:
    async def main() -> None:
        rig = AgentRig(tmp_path / "r")
        rig.canary_every = every
        rig.boot()
        await rig.proxy.start()
        try:
            async with rig.running():
                await test(rig)
        finally:
            await rig.proxy.stop()

    asyncio.run(main())


async def two_networks(rig: AgentRig) -> list[str]:
    """Apps `web` (network 1) and `far` (network 2), each with a started Machine."""
    await rig.control.apps.create("web")
    await rig.control.apps.create("far", network="other")
    await rig.control.addresses.allocate("web")
    made = []
    for app in ("web", "far"):
        made.append(await rig.machine(app))
        await rig.until(made[-1], "started")
    return made


async def pass_time(rig: AgentRig, seconds: int) -> None:
    """Let the clock run a second at a time, so that whoever waits for it goes on each time."""
    for _ in range(seconds):
        await rig.clock.tick(1)
        for _ in range(20):
            await asyncio.sleep(0)


def leaked(task: Task, *, means: Means = Means.UDP, to: str = "fdaa:0:2::3") -> Probed:
    """A breach from network 1, and drift in it."""
    attempt = Attempt(what="reach DNS", network=1, to=to, means=means)
    seen = Outcome(attempt=attempt, wanted=False, happened=True)
    return Probed(outcomes=(seen,), drifts=(Drift(network=1, what="rules", missing=("x",)),))


def test_it_is_asked_about_what_is_up(tmp_path: Path) -> None:
    """Networks with a router, their Machines, names they must not know, ports of the API."""

    async def test(rig: AgentRig) -> None:
        assert () == (await rig.agent.canary.run_once()).networks
        await two_networks(rig)
        report = await rig.agent.canary.run_once()
        assert ((1, 2), 2) == (report.networks, report.tried)
        task = rig.prober.tasks[-1]
        assert (4280,) == task.ports
        one, two = task.subjects
        assert {Name("far.internal", exists=False), Name("far.flycast", exists=False)} == set(
            one.names
        )
        assert {Name("web.internal", exists=False), Name("web.flycast", exists=False)} == set(
            two.names
        )
        assert ["fdaa:0:1:0:2:0:1:2"] == [str(machine.ip6) for machine in one.machines]
        await rig.control.addresses.allocate("web", AddressRequest(network="other"))
        await rig.agent.canary.run_once()
        assert (Name("web.internal", exists=False),) == rig.prober.tasks[-1].subjects[1].names

    run(tmp_path, test)


def test_a_finding_is_told_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line at ERROR for each finding, one summary at INFO, and the counters."""
    monkeypatch.setattr(logging.getLogger("roost"), "propagate", True)

    async def test(rig: AgentRig) -> None:
        rig.prober.answer = leaked
        with caplog.at_level(logging.INFO, "roost.canary"):
            report = await rig.agent.canary.run_once()
        assert [Kind.BREACH, Kind.DRIFT] == [finding.kind for finding in report.findings]
        assert report is rig.agent.canary.latest
        counters = rig.agent.canary.counters
        assert (1, 0, 1, 1, 0, 1) == (
            counters.runs,
            counters.failed,
            counters.tried,
            counters.breaches,
            counters.blind,
            counters.drift,
        )
        assert report.started_at == counters.last_run_ms == rig.clock.now_ms()
        levels = [(each.levelname, each.getMessage()) for each in caplog.records]
        assert ["ERROR", "ERROR", "INFO"] == [level for level, _ in levels]
        assert levels[0][1].startswith("breach: from network 1 a Machine could reach DNS")
        assert "tried 1 things" in levels[2][1]

    run(tmp_path, test)


def test_those_who_ask_meanwhile_share_a_run(tmp_path: Path) -> None:
    """Three who ask at once get the same report of one run."""

    async def test(rig: AgentRig) -> None:
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(rig.agent.canary.run_once()) for _ in range(3)]
        assert 1 == len({id(task.result()) for task in asked}) == len(rig.prober.tasks)

    run(tmp_path, test)


def test_it_runs_by_itself(tmp_path: Path) -> None:
    """Soon after the start and then at its interval; with 0 only when asked."""

    async def test(rig: AgentRig) -> None:
        start, seen = rig.clock.now_ms(), []
        for _ in range(200):
            await pass_time(rig, 1)
            seen.append((rig.agent.canary.counters.last_run_ms - start) // 1000)
        assert [10, 70, 130, 190] == sorted({at for at in seen if at > 0})

    run(tmp_path, test, every=60)

    async def never(rig: AgentRig) -> None:
        await pass_time(rig, 200)
        assert [] == rig.prober.tasks

    run(tmp_path / "never", never)


def test_a_run_that_fails_is_loud_and_not_the_last(tmp_path: Path) -> None:
    """A prober's error reaches who asked, is counted, and the next run is as good as any."""

    def fail(_task: Task) -> Probed:
        raise UnavailableError("no namespaces")

    async def test(rig: AgentRig) -> None:
        healthy, rig.prober.answer = rig.prober.answer, fail
        with pytest.raises(UnavailableError, match="no namespaces"):
            await rig.agent.canary.run_once()
        assert (0, 1) == (rig.agent.canary.counters.runs, rig.agent.canary.counters.failed)
        assert rig.agent.canary.latest is None
        rig.prober.answer = healthy
        assert () == (await rig.agent.canary.run_once()).findings

    run(tmp_path, test)


def test_a_name_that_came_meanwhile_is_no_breach(tmp_path: Path) -> None:
    """An app that got its address while the canary asked for its name may be known."""

    async def test(rig: AgentRig) -> None:
        await two_networks(rig)
        rig.prober.answer = lambda task: leaked(task, means=Means.DNS, to="far.flycast")
        assert 1 == (await rig.agent.canary.run_once()).count(Kind.BREACH)
        probe = rig.prober.probe

        async def while_allocating(task: Task) -> Probed:
            await rig.control.addresses.allocate("far", AddressRequest(network="default"))
            return await probe(task)

        rig.prober.probe = while_allocating  # type: ignore[method-assign]
        assert 0 == (await rig.agent.canary.run_once()).count(Kind.BREACH)

    run(tmp_path, test)


def test_the_sweep_waits_for_the_canary(tmp_path: Path) -> None:
    """A router is not taken away while it is probed, is afterwards, and is not kept by probes."""

    async def test(rig: AgentRig) -> None:
        (machine, _) = await two_networks(rig)
        entered, leave = asyncio.Event(), asyncio.Event()
        probe = rig.prober.probe

        async def slow(task: Task) -> Probed:
            entered.set()
            await leave.wait()
            return await probe(task)

        rig.prober.probe = slow  # type: ignore[method-assign]
        rig.prepared = 0
        await rig.control.machines.destroy("web", machine, force=True)
        await rig.settle(lambda: machine not in rig.network.machines)
        async with asyncio.TaskGroup() as group:
            group.create_task(rig.agent.canary.run_once())
            await entered.wait()
            await pass_time(rig, 3 * SWEEP)
            assert {1, 2} == set(rig.network.routers)
            leave.set()
        await rig.settle(lambda: set(rig.network.routers) == {2})
        entered.clear()
        assert (2,) == (await rig.agent.canary.run_once()).networks

    run(tmp_path, test)


def test_probe_points_of_a_killed_daemon_are_taken_away(tmp_path: Path) -> None:
    """The next start detaches them before anything else, and never takes them for Machines."""

    async def main() -> None:
        rig = AgentRig(tmp_path / "r")
        left = points_of(Subject(router=router_of(1), host=2))
        for point in left:
            await rig.network.attach(point)
        await rig.proxy.start()
        try:
            async with rig.running():
                await rig.idle()
                assert {} == rig.network.machines
                assert {} == rig.agent.attached
        finally:
            await rig.proxy.stop()

    asyncio.run(main())


def test_parts_cover_everything_in_time() -> None:
    """Too many items are taken a part at a time, a different one each turn, none left out."""
    items = list(range(7))
    assert items == part(items, 7, 3)
    taken = [part(items, 3, turn) for turn in range(7)]
    assert all(3 == len(each) for each in taken)
    assert set(items) == {item for each in taken[:3] for item in each}
