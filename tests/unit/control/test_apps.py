"""Apps, networks and addresses."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from roost.control.logs import AppLogs
from roost.control.machine_requests import CreateMachine
from roost.control.releases import ReleaseStatus
from roost.control.service import Control
from roost.errors import ConflictError, DeadlineError, InvalidError, NotFoundError
from roost.model.machine_config import MachineConfig
from roost.model.machine_state import Event, Goal, MachineState, transition
from roost.model.records import Address, App, Counter, Machine, Release, Secret
from roost.store.base import Put
from tests.support.control_bench import Bench, FakeClock, with_bench


def test_an_app_is_on_one_network(tmp_path: Path) -> None:
    """Naming a network makes it, the same name is the same one, in any case."""

    async def body(bench: Bench) -> None:
        apps = bench.control.apps
        plain = await apps.create("plain")
        one = await apps.create("one", network="Team-A")
        two = await apps.create("two", network="team-a")
        assert (plain.network, plain.network_id) == ("default", 1)
        assert (one.network, one.network_id) == ("team-a", 2)
        assert two.network_id == one.network_id
        assert len({plain.number, one.number, two.number}) == 3
        assert [app.name for app in apps.list("personal")] == ["one", "plain", "two"]

    with_bench(tmp_path, body)


@pytest.mark.parametrize("name", ["", "Upper", "-a", "a-", "a.b", "a" * 64, "a/b", "ä"])
def test_a_malformed_name_is_refused(tmp_path: Path, name: str) -> None:
    """Names are one DNS label."""

    async def body(bench: Bench) -> None:
        with pytest.raises(InvalidError, match="is not valid"):
            await bench.control.apps.create(name)

    with_bench(tmp_path, body)


def test_a_taken_name_is_refused_and_costs_nothing(tmp_path: Path) -> None:
    """The code is name_taken; also of two at the same time only one succeeds."""

    async def body(bench: Bench) -> None:
        async def attempt() -> str:
            try:
                await bench.control.apps.create("web")
            except ConflictError as error:
                return error.code
            return "made"

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(attempt()) for _ in range(5)]
        assert sorted(task.result() for task in tasks) == ["made", *["name_taken"] * 4]

    with_bench(tmp_path, body)


def test_unknown_org_and_app(tmp_path: Path) -> None:
    """Both are named in the sentence."""

    async def body(bench: Bench) -> None:
        with pytest.raises(NotFoundError, match="organization 'acme' not found"):
            await bench.control.apps.create("web", org="acme")
        with pytest.raises(NotFoundError, match='app "web" not found'):
            bench.control.apps.get("web")

    with_bench(tmp_path, body)


def test_internal_apps_are_left_out_of_lists(tmp_path: Path) -> None:
    """Consoles' apps are not shown unless asked for."""

    async def body(bench: Bench) -> None:
        await bench.control.apps.create("roost-console-1", internal=True)
        assert bench.control.apps.list() == []
        assert len(bench.control.apps.list(internal=True)) == 1

    with_bench(tmp_path, body)


def test_status_is_deployed_after_the_first_complete_release(tmp_path: Path) -> None:
    """Pending until then; versions count from 1 and the list is newest first."""

    async def body(bench: Bench) -> None:
        app = await bench.control.apps.create("web")
        releases = bench.control.releases
        outcomes: tuple[ReleaseStatus, ...] = ("failed", "complete")
        for status in outcomes:
            assert bench.control.apps.status(app) == "pending"
            made = await releases.create(
                "web", strategy="rolling", image="x", user="me", config={"a": 1}
            )
            assert made.status == "running"
            await releases.finish(
                "web", made.version, "failed" if status == "failed" else "complete"
            )
        assert bench.control.apps.status(app) == "deployed"
        assert [r.version for r in releases.list("web")] == [2, 1]
        with pytest.raises(NotFoundError, match="no release v9"):
            await releases.finish("web", 9, "failed")

    with_bench(tmp_path, body)


def test_old_releases_are_dropped(tmp_path: Path) -> None:
    """An app keeps its newest hundred."""

    async def body(bench: Bench) -> None:
        await bench.control.apps.create("web")
        for _ in range(103):
            await bench.control.releases.create(
                "web", strategy="rolling", image="x", user="me", config={}
            )
        assert [r.version for r in bench.control.releases.list("web")] == list(range(103, 3, -1))

    with_bench(tmp_path, body)


def test_want_flycast_is_remembered(tmp_path: Path) -> None:
    """The wish of a launch without deploy can be set and cleared."""

    async def body(bench: Bench) -> None:
        apps = bench.control.apps
        assert (await apps.create("web", wants_flycast=True)).wants_flycast
        await apps.want_flycast("web", False)
        assert not apps.get("web").wants_flycast
        with pytest.raises(NotFoundError):
            await apps.want_flycast("none", True)

    with_bench(tmp_path, body)


def test_destroy_removes_everything(tmp_path: Path) -> None:
    """Machines (leased ones, too), addresses, secrets, releases, counters and logs are gone."""

    async def body(bench: Bench) -> None:
        control = bench.control
        machine = await bench.machine()
        await bench.machine()
        await control.machines.lease("web", machine.id, ttl=300)
        await control.addresses.allocate("web")
        await control.secrets.update("web", {"A": "1"})
        await control.releases.create("web", strategy="s", image="i", user="u", config={})
        control.context.logs.write("web", "hello")
        await control.apps.destroy("web")
        for kind in (App, Machine, Address, Secret, Release):
            assert bench.store.count(kind) == 0
        assert not {s.record.name for s in bench.store.scan(Counter)} & {
            "secret/web",
            "release/web",
        }
        assert not (bench.home.logs / "web").exists()
        with pytest.raises(NotFoundError):
            await control.apps.destroy("web")

    with_bench(tmp_path, body)


def test_nobody_reads_the_logs_of_an_earlier_app(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They go before the app's name is free; and what was left of them, before the next one is."""

    async def body(bench: Bench) -> None:
        control = bench.control
        await control.apps.create("web")
        control.context.logs.write("web", "secret of the first")

        def crash(_logs: AppLogs, _app: str) -> None:
            raise OSError("killed here")

        with monkeypatch.context() as killed:
            killed.setattr(AppLogs, "remove", crash)
            with pytest.raises(OSError, match="killed here"):
                await control.apps.destroy("web")
        assert control.apps.get("web").name == "web"
        await control.apps.destroy("web")
        assert not (bench.home.logs / "web").exists()
        control.context.logs.write("web", "written late")
        await control.apps.create("web")
        assert control.context.logs.read("web") == []

    with_bench(tmp_path, body)


def test_destroy_waits_and_keeps_machines_out(tmp_path: Path) -> None:
    """While Machines end, no new one can be made; then the app is gone."""

    async def body(bench: Bench) -> None:
        machine = await bench.machine()
        bench.host.paused = True
        async with asyncio.TaskGroup() as group:
            ending = group.create_task(bench.control.apps.destroy("web"))
            await _until_goal(bench, machine.id)
            with pytest.raises(ConflictError, match="being destroyed"):
                await bench.machine()
            with pytest.raises(ConflictError, match="being destroyed"):
                await bench.control.apps.destroy("web")
            assert not ending.done()
            bench.host.settle(machine.id)
        assert bench.store.count(App) == 0

    with_bench(tmp_path, body)


async def _until_goal(bench: Bench, machine_id: str) -> None:
    async for commit in bench.store.watch(0):
        records = [change.record for change in commit.changes if isinstance(change, Put)]
        machines = [record for record in records if isinstance(record, Machine)]
        if any(m.id == machine_id and m.goal is Goal.DESTROYED for m in machines):
            return


class HastyClock(FakeClock):
    """A look at it takes 400 seconds."""

    def monotonic(self) -> float:
        self.forward(400)
        return super().monotonic()


def test_a_machine_that_does_not_end_keeps_the_app(tmp_path: Path) -> None:
    """Destroy fails with a sentence and can be repeated."""

    async def body(bench: Bench) -> None:
        machine = await bench.machine()
        bench.host.paused = True
        hasty = Control(replace(bench.control.context, clock=HastyClock()))
        with pytest.raises(DeadlineError, match=f"machine {machine.id} has not ended"):
            await hasty.apps.destroy("web")
        assert bench.control.apps.get("web").name == "web"
        bench.host.settle(machine.id)
        await bench.control.apps.destroy("web")

    with_bench(tmp_path, body)


def test_tombstones_are_bounded(tmp_path: Path) -> None:
    """Destroyed Machines stay readable, the newest hundred or a few more of an app."""

    async def body(bench: Bench) -> None:
        await bench.control.apps.create("web")
        ids = []
        for _ in range(130):
            request = CreateMachine(config=MachineConfig(image="x"))
            machine = await bench.control.machines.create("web", request)
            bench.clock.forward(1)
            await bench.control.machines.destroy("web", machine.id, force=True)
            ids.append(machine.id)
        left = bench.control.machines.list("web", include_deleted=True)
        assert 100 <= len(left) <= 117
        assert {machine.id for machine in left} == set(ids[-len(left) :])
        assert bench.control.machines.list("web") == []
        assert bench.control.machines.count("web") == 0
        assert bench.control.machines.get("web", ids[-1]).state is MachineState.DESTROYED
        assert transition(MachineState.DESTROYING, Event.GONE) is MachineState.DESTROYED

    with_bench(tmp_path, body)
