"""The agent over fakes: how Machines start, sleep, wake, end, and survive it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from roost.errors import UnavailableError
from roost.model.machine_state import MachineState
from roost.runtime.base import ContainerState
from tests.support.agent_rig import AgentRig

Test = Callable[[AgentRig], Awaitable[None]]


@asynccontextmanager
async def rig(path: Path) -> AsyncIterator[AgentRig]:
    made = AgentRig(path)
    await made.proxy.start()
    try:
        yield made
    finally:
        await made.proxy.stop()


def run(tmp_path: Path, test: Test) -> None:
    async def main() -> None:
        async with rig(tmp_path / "r") as made, made.running():
            await made.app()
            await test(made)

    asyncio.run(main())


def test_create_starts_and_tells_the_proxy(tmp_path: Path) -> None:
    """A created Machine gets its network, container and program, and the proxy routes to it."""

    async def test(rig: AgentRig) -> None:
        machine = await rig.machine()
        record = await rig.until(machine, "started")
        assert "start" == record.events[0].type
        assert {machine} == set(rig.network.machines)
        assert [("create", machine), ("start", machine)] == rig.runtime.calls[-2:]
        await rig.proxy.until(lambda: rig.proxy.state(machine) == "started")
        await rig.proxy.until(lambda: rig.proxy.entities["network"]["1"]["netns"] is not None)

    run(tmp_path, test)


def test_environment_and_files(tmp_path: Path) -> None:
    """A Machine finds its FLY_ variables, its secrets over env, its hosts file and resolver."""

    async def test(rig: AgentRig) -> None:
        await rig.control.secrets.update("web", {"KEY": "sealed"})
        machine = await rig.machine(env={"KEY": "plain", "MODE": "x"})
        await rig.until(machine, "started")
        spec = rig.runtime.spec(machine)
        assert "sealed" == spec.env["KEY"]
        assert "x" == spec.env["MODE"]
        assert "fdaa:0:1:0:2:0:1:2" == spec.env["FLY_PRIVATE_IP"]
        assert machine == spec.env["FLY_MACHINE_ID"]
        files = {file.path: file.content.decode() for file in spec.files}
        assert "fdaa:0:1:0:2:0:1:2 fly-local-6pn" in files["/etc/hosts"]
        assert "172.16.0.2 fly-global-services\n" in files["/etc/hosts"]
        assert "nameserver fdaa::3\n" == files["/etc/resolv.conf"]

    run(tmp_path, test)


def test_idle_machine_stops_and_is_prepared(tmp_path: Path) -> None:
    """The idle rule drains, stops, and makes the next container ahead of time."""

    async def test(rig: AgentRig) -> None:
        machine = await rig.machine()
        await rig.until(machine, "started")
        await go_idle(rig)
        record = await rig.until(machine, "stopped")
        assert (machine, True) == rig.proxy.drains[0]
        assert "stop" in [event.type for event in record.events]
        assert ContainerState.CREATED is rig.host.containers[machine].state
        assert machine in rig.agent.prepared

    run(tmp_path, test)


async def go_idle(rig: AgentRig, loads: dict[str, list[int]] | None = None) -> None:
    """Five seconds of load reports, each taken in before the next."""
    for _ in range(5):
        before = rig.agent.reports
        rig.proxy.report(loads)
        await rig.settle(lambda before=before: rig.agent.reports > before)  # type: ignore[misc]
        await rig.clock.tick(1)


def test_busy_machine_is_not_put_to_sleep(tmp_path: Path) -> None:
    """Load in every report keeps it; so does load that appears between report and drain."""

    async def test(rig: AgentRig) -> None:
        machine = await rig.machine()
        await rig.until(machine, "started")
        await go_idle(rig, {machine: [1, 1]})
        assert [] == rig.proxy.drains
        rig.proxy.loads[machine] = 1
        await go_idle(rig)
        await rig.idle()
        assert (machine, True) in rig.proxy.drains
        await rig.proxy.until(lambda: rig.proxy.state(machine) == "started")
        assert MachineState.STARTED is rig.record(machine).state
        assert ("signal", machine) not in rig.runtime.calls

    run(tmp_path, test)


def test_wake_of_a_prepared_one_only_starts_it(tmp_path: Path) -> None:
    """Waking a stopped Machine that was prepared makes nothing new: its program starts."""

    async def test(rig: AgentRig) -> None:
        machine = await rig.machine()
        await rig.until(machine, "started")
        await rig.control.machines.stop("web", machine)
        await rig.until(machine, "stopped")
        rig.runtime.calls.clear()
        rig.proxy.say("wake", machine=machine, app="web")
        record = await rig.until(machine, "started")
        assert [("start", machine)] == rig.runtime.calls
        assert record.started_at is not None
        assert machine not in rig.agent.prepared

    run(tmp_path, test)


def test_suspend_and_wake_keep_the_container(tmp_path: Path) -> None:
    """A suspended Machine is frozen, and a wake thaws the very same container."""

    async def test(rig: AgentRig) -> None:
        machine = await rig.machine(services=[{"internal_port": 8080, "autostop": "suspend"}])
        await rig.until(machine, "started")
        await rig.control.machines.suspend("web", machine)
        await rig.until(machine, "suspended")
        assert ContainerState.FROZEN is rig.host.containers[machine].state
        assert (machine, False) in rig.proxy.drains
        rig.proxy.say("wake", machine=machine, app="web")
        await rig.until(machine, "started")
        assert ContainerState.RUNNING is rig.host.containers[machine].state
        assert 1 == rig.runtime.calls.count(("create", machine))

    run(tmp_path, test)


def test_a_drain_is_not_undone_by_an_older_record(tmp_path: Path) -> None:
    """Between drain and commit a Machine is never shown as started, whatever else is written."""

    async def test(rig: AgentRig) -> None:
        machine = await rig.machine()
        await rig.until(machine, "started")
        await rig.control.machines.set_metadata("web", machine, "k", "v")
        await rig.proxy.until(lambda: rig.proxy.state(machine) == "started")
        await go_idle(rig)
        await rig.until(machine, "stopped")
        await rig.proxy.until(lambda: rig.proxy.state(machine) == "stopped")
        shown = rig.proxy.shown[machine]
        assert "started" not in shown[shown.index("drain") :]

    run(tmp_path, test)


def test_leased_machine_is_not_woken(tmp_path: Path) -> None:
    """A wake of a leased Machine is refused and those who wait are told."""

    async def test(rig: AgentRig) -> None:
        machine = await rig.machine()
        await rig.until(machine, "started")
        await rig.control.machines.stop("web", machine)
        await rig.until(machine, "stopped")
        await rig.control.machines.lease("web", machine, ttl=60, owner="deploy")
        rig.proxy.say("wake", machine=machine, app="web")
        await rig.proxy.until(lambda: bool(rig.proxy.failures))
        assert "PM08" == rig.proxy.failures[0]["code"]
        assert MachineState.STOPPED is rig.record(machine).state

    run(tmp_path, test)


def test_crash_is_restarted_and_written_down(tmp_path: Path) -> None:
    """A non-zero exit restarts the program and leaves the exit code in the history."""

    async def test(rig: AgentRig) -> None:
        machine = await rig.machine()
        await rig.until(machine, "started")
        rig.runtime.end(machine, 3)
        await rig.settle(lambda: rig.record(machine).restart_count == 1)
        record = await rig.until(machine, "started")
        exits = [event for event in record.events if event.type == "exit"]
        assert 1 == len(exits)
        assert exits[0].request is not None
        assert 3 == exits[0].request["exit_event"]["exit_code"]
        assert exits[0].request["exit_event"]["restarting"]

    run(tmp_path, test)


def test_clean_exit_rests(tmp_path: Path) -> None:
    """A program that ends with 0 is not started again, and leaves no container."""

    async def test(rig: AgentRig) -> None:
        machine = await rig.machine(services=[])
        await rig.until(machine, "started")
        rig.runtime.end(machine, 0)
        await rig.until(machine, "stopped")
        assert {} == rig.host.containers
        assert {} == rig.network.machines

    run(tmp_path, test)


def test_auto_destroy_goes(tmp_path: Path) -> None:
    """With auto_destroy the Machine is gone after its program, its record still readable."""

    async def test(rig: AgentRig) -> None:
        machine = await rig.machine(auto_destroy=True, restart={"policy": "no"}, services=[])
        await rig.until(machine, "started")
        rig.runtime.end(machine, 5)
        await rig.until(machine, "destroyed")
        assert {} == rig.host.containers
        assert {} == rig.network.machines

    run(tmp_path, test)


def test_command_not_found_fails_cleanly(tmp_path: Path) -> None:
    """A Machine that cannot start is failed with the reason, and nothing of it is left."""

    async def test(rig: AgentRig) -> None:
        machine = await rig.machine(init={"cmd": ["missing"]})
        record = await rig.until(machine, "failed")
        assert {} == rig.host.containers
        assert {} == rig.network.machines
        failure = record.events[0].request
        assert failure is not None
        assert "missing" in failure["error"]

    run(tmp_path, test)


def test_update_replaces_the_container(tmp_path: Path) -> None:
    """An update ends the old program and starts the new configuration under a new version."""

    async def test(rig: AgentRig) -> None:
        from roost.control.machine_requests import UpdateMachine

        machine = await rig.machine()
        before = await rig.until(machine, "started")
        config = before.config.model_copy(update={"env": {"NEW": "1"}})
        await rig.control.machines.update("web", machine, UpdateMachine(config=config))
        await rig.settle(lambda: rig.record(machine).state is MachineState.STARTED)
        after = await rig.until(machine, "started")
        assert before.instance_id != after.instance_id
        assert "1" == rig.runtime.spec(machine).env["NEW"]
        assert 2 == rig.runtime.calls.count(("create", machine))

    run(tmp_path, test)


def test_new_secrets_drop_what_was_prepared(tmp_path: Path) -> None:
    """A container prepared with old secrets is not the one that is woken."""

    async def test(rig: AgentRig) -> None:
        machine = await rig.machine()
        await rig.until(machine, "started")
        await rig.control.machines.stop("web", machine)
        await rig.until(machine, "stopped")
        await rig.control.secrets.update("web", {"KEY": "new"})
        await rig.settle(lambda: ("delete", machine) == rig.runtime.calls[-1] or not rig.agent.busy)
        await rig.idle()
        rig.proxy.say("wake", machine=machine, app="web")
        await rig.until(machine, "started")
        assert "new" == rig.runtime.spec(machine).env["KEY"]

    run(tmp_path, test)


def test_prepared_places_are_bounded(tmp_path: Path) -> None:
    """No more than the given number of sleepers have a container."""

    async def test(rig: AgentRig) -> None:
        machines = [await rig.machine() for _ in range(7)]
        for machine in machines:
            await rig.until(machine, "started")
        for machine in machines:
            await rig.control.machines.stop("web", machine)
            await rig.until(machine, "stopped")
        await rig.idle()
        assert 4 == len(rig.host.containers)
        assert set(machines[3:]) == set(rig.host.containers)

    run(tmp_path, test)


@pytest.mark.parametrize("state", ["started", "suspended", "stopped"])
def test_next_daemon_adopts(tmp_path: Path, state: str) -> None:
    """After a kill the next agent finds every Machine as it was and starts nothing twice."""

    async def main() -> None:
        async with rig(tmp_path / "r") as made:
            async with made.running():
                await made.app()
                machine = await made.machine()
                await made.until(machine, "started")
                if state != "started":
                    verb = {"suspended": "suspend", "stopped": "stop"}[state]
                    await getattr(made.control.machines, verb)("web", machine)
                    await made.until(machine, state)
            before = made.host.containers[machine].pid
            made.boot()
            async with made.running():
                await made.idle()
                await made.proxy.until(lambda: made.proxy.state(machine) == state)
                assert state == str(made.record(machine).state)
                assert before == made.host.containers[machine].pid

    asyncio.run(main())


def test_what_ended_while_nobody_watched_is_seen(tmp_path: Path) -> None:
    """A program that crashed while the daemon was away is written down and restarted."""

    async def main() -> None:
        async with rig(tmp_path / "r") as made:
            async with made.running():
                await made.app()
                machine = await made.machine()
                await made.until(machine, "started")
            made.runtime.end(machine, 9)
            made.boot()
            async with made.running():
                await made.settle(lambda: made.record(machine).restart_count == 1)
                record = await made.until(machine, "started")
                assert 1 == len([event for event in record.events if event.type == "exit"])

    asyncio.run(main())


def test_reboot_starts_what_was_started(tmp_path: Path) -> None:
    """After a reboot started Machines start again, suspended ones rest stopped."""

    async def main() -> None:
        async with rig(tmp_path / "r") as made:
            async with made.running():
                await made.app()
                one, two = await made.machine(), await made.machine()
                await made.until(one, "started")
                await made.until(two, "started")
                await made.control.machines.suspend("web", two)
                await made.until(two, "suspended")
            made.host.containers.clear()
            made.network.machines.clear()
            made.network.routers.clear()
            made.boot()
            async with made.running():
                await made.idle()
                assert MachineState.STARTED is made.record(one).state
                assert MachineState.STOPPED is made.record(two).state
                assert ContainerState.RUNNING is made.host.containers[one].state

    asyncio.run(main())


def test_orphans_are_cleared(tmp_path: Path) -> None:
    """Containers and namespaces of Machines that the store does not know are removed."""

    async def main() -> None:
        async with rig(tmp_path / "r") as made:
            async with made.running():
                await made.app()
                machine = await made.machine()
                await made.until(machine, "started")
            from roost.model.records import Machine
            from roost.store.base import Delete

            await made.store.commit(Delete(Machine, machine))
            made.boot()
            async with made.running():
                await made.settle(lambda: not made.host.containers and not made.network.machines)

    asyncio.run(main())


@pytest.mark.parametrize("operation", ["create", "start", "signal", "delete", "freeze"])
def test_a_failing_step_never_leaves_a_machine_half_made(tmp_path: Path, operation: str) -> None:
    """Whatever driver call fails, the Machine comes to a state that the next request can leave."""

    async def test(rig: AgentRig) -> None:
        rig.runtime.fail(operation, UnavailableError(f"{operation} broke"))
        machine = await rig.machine()
        await rig.idle()
        if rig.record(machine).state is MachineState.FAILED:
            await rig.control.machines.start("web", machine)
        await rig.until(machine, "started")
        await rig.control.machines.suspend("web", machine)
        await rig.idle()
        await rig.control.machines.destroy("web", machine, force=True)
        await rig.idle()
        rig.agent.poke(machine)
        await rig.until(machine, "destroyed")
        assert {} == rig.host.containers
        assert {} == rig.network.machines

    run(tmp_path, test)


def test_a_malformed_event_harms_nobody(tmp_path: Path) -> None:
    """An event without its fields is logged, and the next one is served."""

    async def test(rig: AgentRig) -> None:
        machine = await rig.machine()
        await rig.until(machine, "started")
        await rig.control.machines.stop("web", machine)
        await rig.until(machine, "stopped")
        rig.proxy.say("wake")
        rig.proxy.say("load", machines={machine: "what"}, waiting=7)
        rig.proxy.say("wake", machine=machine, app="web")
        await rig.until(machine, "started")

    run(tmp_path, test)
