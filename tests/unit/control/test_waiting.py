"""Waiting for a Machine's state."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from roost.control.machine_requests import CreateMachine, UpdateMachine
from roost.errors import DeadlineError, InvalidError, NotFoundError, UnavailableError
from roost.model.machine_config import MachineConfig
from roost.model.machine_state import MachineState
from roost.model.records import Counter, Machine
from roost.store.base import Delete, Put
from roost.store.memory import MemoryStore
from tests.support.control_bench import Bench, with_bench

CONFIG = MachineConfig(image="nginx")
LONG = 60.0


def wait_for(*states: str) -> frozenset[str]:
    return frozenset(states)


def test_a_state_that_is_there_answers_at_once(tmp_path: Path) -> None:
    """Also with no time at all; any of several states is enough."""

    async def body(bench: Bench) -> None:
        machine = await bench.machine()
        machines = bench.control.machines
        for states in (wait_for("started"), wait_for("stopped", "started"), wait_for("settled")):
            assert (await machines.wait("web", machine.id, states, 0)).id == machine.id

    with_bench(tmp_path, body)


def test_a_change_wakes_the_waiter(tmp_path: Path) -> None:
    """The wait ends with the commit that brings the state."""

    async def body(bench: Bench) -> None:
        machine = await bench.machine()
        bench.host.paused = True
        machines = bench.control.machines
        await machines.stop("web", machine.id)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(machines.wait("web", machine.id, wait_for("stopped"), LONG))
            await asyncio.sleep(0)
            assert not waiting.done()
            bench.host.settle(machine.id)
        assert waiting.result().state is MachineState.STOPPED

    with_bench(tmp_path, body)


def test_the_deadline_says_what_is(tmp_path: Path) -> None:
    """The sentence names the state that was not reached and the one it has."""

    async def body(bench: Bench) -> None:
        machine = await bench.machine()
        with pytest.raises(DeadlineError, match="did not reach stopped within 0 s: it is started"):
            await bench.control.machines.wait("web", machine.id, wait_for("stopped"), 0)

    with_bench(tmp_path, body)


def test_created_counts_as_stopped(tmp_path: Path) -> None:
    """A Machine made without launch satisfies a wait for stopped before it is prepared."""

    async def body(bench: Bench) -> None:
        bench.host.paused = True
        await bench.control.apps.create("web")
        request = CreateMachine(config=CONFIG, skip_launch=True)
        machine = await bench.control.machines.create("web", request)
        await bench.control.machines.wait("web", machine.id, wait_for("stopped"), 0)

    with_bench(tmp_path, body)


@pytest.mark.parametrize("state", ["running", "", "STARTED"])
def test_unknown_states(tmp_path: Path, state: str) -> None:
    """They are refused with the list of known ones."""

    async def body(bench: Bench) -> None:
        machine = await bench.machine()
        with pytest.raises(InvalidError, match="not a state to wait for"):
            await bench.control.machines.wait("web", machine.id, wait_for(state), LONG)

    with_bench(tmp_path, body)


def test_unreachable_states_fail_at_once(tmp_path: Path) -> None:
    """A destroyed, a failed and a replaced Machine do not let the caller wait in vain."""

    async def body(bench: Bench) -> None:
        machines = bench.control.machines
        destroyed = await bench.machine()
        await machines.destroy("web", destroyed.id, force=True)
        with pytest.raises(InvalidError, match="failed to reach desired state started"):
            await machines.wait("web", destroyed.id, wait_for("started"), LONG)
        failed = await bench.machine()
        bench.host.fail(failed.id, "no such command")
        with pytest.raises(InvalidError, match="it is failed: no such command"):
            await machines.wait("web", failed.id, wait_for("started"), LONG)
        await machines.wait("web", failed.id, wait_for("settled"), LONG)
        replaced = await bench.machine()
        await machines.update("web", replaced.id, UpdateMachine(config=CONFIG))
        with pytest.raises(InvalidError, match="was replaced by"):
            await machines.wait("web", replaced.id, wait_for("stopped"), LONG, replaced.instance_id)

    with_bench(tmp_path, body)


def test_a_removed_record_counts_as_destroyed(tmp_path: Path) -> None:
    """When the record goes during the wait: destroyed is reached, others are not found."""

    async def body(bench: Bench) -> None:
        machines = bench.control.machines
        for states in (wait_for("destroyed"), wait_for("stopped")):
            machine = await bench.machine()
            async with asyncio.TaskGroup() as group:
                waiting = group.create_task(_outcome(bench, machine, states))
                await asyncio.sleep(0)
                await bench.store.commit(Delete(Machine, machine.id))
            assert waiting.result() == ("destroyed" if "destroyed" in states else "not_found")
        assert machines.list("web") == []

    with_bench(tmp_path, body)


async def _outcome(bench: Bench, machine: Machine, states: frozenset[str]) -> str:
    try:
        return str((await bench.control.machines.wait("web", machine.id, states, LONG)).state)
    except (NotFoundError, UnavailableError) as error:
        return error.code


def test_a_waiter_that_falls_behind_looks_again(tmp_path: Path) -> None:
    """More commits than the history holds do not lose the state."""

    async def body(bench: Bench) -> None:
        machine = await bench.machine()
        bench.host.paused = True
        await bench.control.machines.stop("web", machine.id)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(_outcome(bench, machine, wait_for("stopped")))
            await asyncio.sleep(0)
            bench.host.settle(machine.id)
            for number in range(5000):
                bench.store.commit_now(Put(Counter(name="noise", value=number)))
        assert waiting.result() == "stopped"

    with_bench(tmp_path, body)


def test_shutting_down_ends_waits(tmp_path: Path) -> None:
    """A closed store does not leave anybody waiting."""

    async def body(bench: Bench) -> None:
        machine = await bench.machine()
        assert isinstance(bench.store, MemoryStore)
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(_outcome(bench, machine, wait_for("stopped")))
            await asyncio.sleep(0)
            await bench.store.close()
        assert waiting.result() == "unavailable"

    with_bench(tmp_path, body)
