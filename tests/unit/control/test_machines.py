"""Machines: what each request does to the record, before anybody is answered."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from roost.control.machine_requests import CreateMachine, UpdateMachine
from roost.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    PreconditionError,
    RoostError,
)
from roost.model.machine_config import MachineConfig
from roost.model.machine_state import Goal, MachineState
from roost.model.records import Machine
from tests.support.control_bench import Bench, with_bench

CONFIG = MachineConfig(image="nginx")


def test_create_starts_a_machine(tmp_path: Path) -> None:
    """The reply says starting; id, name, version and numbers are made; the agent is poked."""

    async def body(bench: Bench) -> None:
        await bench.control.apps.create("web")
        machine = await bench.control.machines.create("web", CreateMachine(config=CONFIG))
        assert (machine.state, machine.goal) == (MachineState.STARTING, Goal.STARTED)
        assert re.fullmatch(r"[0-9a-f]{14}", machine.id)
        assert re.fullmatch(r"[a-z]+-[a-z]+-\d{1,4}", machine.name)
        assert re.fullmatch(r"[0-9A-Z]{26}", machine.instance_id)
        assert (machine.number, machine.ipv4, machine.host, machine.region) == (1, 1, 2, "local")
        assert machine.image_digest.startswith("sha256:")
        assert [(e.type, e.status, e.source) for e in machine.events] == [
            ("launch", "created", "user")
        ]
        assert bench.host.poked == [machine.id]
        assert bench.control.machines.get("web", machine.id).state is MachineState.STARTED

    with_bench(tmp_path, body)


def test_create_without_launch_rests(tmp_path: Path) -> None:
    """With skip_launch it is created, meant to be stopped; the host then shelves it."""

    async def body(bench: Bench) -> None:
        await bench.control.apps.create("web")
        request = CreateMachine(
            config=CONFIG, name="db", skip_launch=True, skip_service_registration=True
        )
        machine = await bench.control.machines.create("web", request)
        assert (machine.state, machine.goal) == (MachineState.CREATED, Goal.STOPPED)
        assert (machine.name, machine.cordoned, machine.stop_requested) == ("db", True, True)
        assert bench.control.machines.get("web", machine.id).state is MachineState.STOPPED

    with_bench(tmp_path, body)


@pytest.mark.parametrize(
    ("request_", "error", "sentence"),
    [
        (CreateMachine(config=MachineConfig()), InvalidError, "config.image is missing"),
        (CreateMachine(config=CONFIG, region="ams"), InvalidError, "region 'ams'"),
        (CreateMachine(config=CONFIG, name="A b"), InvalidError, "machine name 'A b'"),
        (CreateMachine(config=CONFIG, lease_ttl=-1), InvalidError, "lease"),
        (CreateMachine(config=MachineConfig(image="missing")), NotFoundError, "'missing'"),
    ],
)
def test_a_refused_create_makes_nothing(
    tmp_path: Path, request_: CreateMachine, error: type[RoostError], sentence: str
) -> None:
    """Bad input leaves no Machine behind."""

    async def body(bench: Bench) -> None:
        bench.host.images = frozenset({"nginx"})
        await bench.control.apps.create("web")
        with pytest.raises(error, match=sentence):
            await bench.control.machines.create("web", request_)
        assert bench.store.count(Machine) == 0

    with_bench(tmp_path, body)


def test_names_are_unique_within_an_app(tmp_path: Path) -> None:
    """A name in use is refused, that of a destroyed Machine is free again."""

    async def body(bench: Bench) -> None:
        await bench.control.apps.create("web")
        request = CreateMachine(config=CONFIG, name="db")
        machine = await bench.control.machines.create("web", request)
        with pytest.raises(ConflictError, match="'db' already"):
            await bench.control.machines.create("web", request)
        await bench.control.machines.destroy("web", machine.id, force=True)
        await bench.control.machines.create("web", request)

    with_bench(tmp_path, body)


def test_unknown_machines(tmp_path: Path) -> None:
    """Another app's Machine is not found, with the words that clients look for."""

    async def body(bench: Bench) -> None:
        machine = await bench.machine("web")
        await bench.control.apps.create("other")
        for app, id_ in (("web", "0" * 14), ("other", machine.id)):
            with pytest.raises(NotFoundError, match="machine not found"):
                bench.control.machines.get(app, id_)
        with pytest.raises(NotFoundError, match='app "none" not found'):
            bench.control.machines.get("none", machine.id)

    with_bench(tmp_path, body)


def test_list_filters(tmp_path: Path) -> None:
    """By region, by metadata, and with or without destroyed ones; oldest first."""

    async def body(bench: Bench) -> None:
        machines = bench.control.machines
        one = await bench.machine(metadata={"a": "1", "b": "2"})
        bench.clock.forward(1)
        two = await bench.machine(metadata={"a": "1"})
        assert [m.id for m in machines.list("web")] == [one.id, two.id]
        assert [m.id for m in machines.list("web", metadata={"b": "2"})] == [one.id]
        assert machines.list("web", region="ams") == []
        assert len(machines.list("web", region="local")) == 2
        await machines.destroy("web", one.id, force=True)
        assert [m.id for m in machines.list("web")] == [two.id]
        assert len(machines.list("web", include_deleted=True)) == 2

    with_bench(tmp_path, body)


async def _paused(bench: Bench) -> Machine:
    machine = await bench.machine()
    bench.host.paused = True
    return machine


def test_stop_and_start_flip_the_state_at_once(tmp_path: Path) -> None:
    """Stopping and starting are seen before the host did anything; start tells the state before."""

    async def body(bench: Bench) -> None:
        machines = bench.control.machines
        machine = await _paused(bench)
        stopped = await machines.stop("web", machine.id, signal="term", timeout_ms=1500)
        assert (stopped.state, stopped.goal) == (MachineState.STOPPING, Goal.STOPPED)
        assert (stopped.stop_requested, stopped.stop_signal, stopped.stop_timeout_ms) == (
            True,
            "SIGTERM",
            1500,
        )
        bench.host.settle(machine.id)
        assert await machines.start("web", machine.id) is MachineState.STOPPED
        starting = machines.get("web", machine.id)
        assert (starting.state, starting.goal) == (MachineState.STARTING, Goal.STARTED)
        assert (starting.stop_requested, starting.stop_signal) == (False, None)
        assert [e.type for e in starting.events[:2]] == ["start", "stop"]

    with_bench(tmp_path, body)


def test_asking_again_changes_nothing(tmp_path: Path) -> None:
    """A second start, stop, suspend or destroy under way writes no second event."""

    async def body(bench: Bench) -> None:
        machines = bench.control.machines
        verbs: list[tuple[Callable[[str, str], Awaitable[Any]], MachineState]] = [
            (machines.start, MachineState.STARTED),
            (machines.suspend, MachineState.SUSPENDING),
            (machines.stop, MachineState.STOPPING),
            (lambda app, id_: machines.destroy(app, id_, force=True), MachineState.DESTROYING),
        ]
        machine = await _paused(bench)
        for verb, state in verbs:
            await verb("web", machine.id)
            once = machines.get("web", machine.id)
            await verb("web", machine.id)
            assert machines.get("web", machine.id) == once
            assert once.state is state

    with_bench(tmp_path, body)


def test_suspend_needs_a_started_machine(tmp_path: Path) -> None:
    """A stopped Machine cannot be suspended; a suspended one resumes by start."""

    async def body(bench: Bench) -> None:
        machines = bench.control.machines
        machine = await bench.machine()
        suspending = await machines.suspend("web", machine.id)
        assert (suspending.state, suspending.goal) == (MachineState.SUSPENDING, Goal.SUSPENDED)
        assert machines.get("web", machine.id).state is MachineState.SUSPENDED
        assert await machines.start("web", machine.id) is MachineState.SUSPENDED
        await machines.stop("web", machine.id)
        with pytest.raises(PreconditionError, match="is stopped, so it cannot suspend"):
            await machines.suspend("web", machine.id)

    with_bench(tmp_path, body)


def test_restart_keeps_the_goal(tmp_path: Path) -> None:
    """Restarting is a state on the way to started; force_stop kills at once."""

    async def body(bench: Bench) -> None:
        machines = bench.control.machines
        machine = await _paused(bench)
        restarting = await machines.restart("web", machine.id, force_stop=True)
        assert (restarting.state, restarting.goal) == (MachineState.RESTARTING, Goal.STARTED)
        assert (restarting.stop_signal, restarting.stop_timeout_ms) == ("SIGKILL", 0)
        assert not restarting.stop_requested
        bench.host.settle(machine.id)
        await machines.stop("web", machine.id)
        bench.host.settle(machine.id)
        with pytest.raises(PreconditionError, match="cannot restart"):
            await machines.restart("web", machine.id)

    with_bench(tmp_path, body)


@pytest.mark.parametrize(
    ("signal", "timeout_ms", "sentence"),
    [("SIGFOO", None, "SIGFOO"), (None, 301_000, "301000ms"), (None, -1, "-1ms")],
)
def test_impossible_stops(
    tmp_path: Path, signal: str | None, timeout_ms: int | None, sentence: str
) -> None:
    """An unknown signal and a patience out of bounds are refused, the Machine goes on."""

    async def body(bench: Bench) -> None:
        machine = await bench.machine()
        with pytest.raises(InvalidError, match=sentence):
            await bench.control.machines.stop(
                "web", machine.id, signal=signal, timeout_ms=timeout_ms
            )
        assert bench.control.machines.get("web", machine.id) == machine

    with_bench(tmp_path, body)


def test_destroy_of_a_running_machine_needs_force(tmp_path: Path) -> None:
    """Without it 412 and nothing happens; with it the Machine is killed and stays readable."""

    async def body(bench: Bench) -> None:
        machines = bench.control.machines
        machine = await bench.machine()
        with pytest.raises(PreconditionError, match="is started, so it is not destroyed"):
            await machines.destroy("web", machine.id)
        destroying = await machines.destroy("web", machine.id, force=True)
        assert (destroying.state, destroying.stop_signal) == (MachineState.DESTROYING, "SIGKILL")
        tombstone = machines.get("web", machine.id)
        assert (tombstone.state, tombstone.events[0].type) == (MachineState.DESTROYED, "destroy")
        with pytest.raises(PreconditionError):
            await machines.start("web", machine.id)

    with_bench(tmp_path, body)


def test_update_replaces_the_whole_configuration(tmp_path: Path) -> None:
    """New version, state replacing, nothing merged; history tells of update and launch."""

    async def body(bench: Bench) -> None:
        machines = bench.control.machines
        machine = await bench.machine(env={"A": "1"}, metadata={"m": "1"})
        bench.host.paused = True
        request = UpdateMachine(config=MachineConfig(image="redis"))
        updated = await machines.update("web", machine.id, request)
        assert (updated.state, updated.goal) == (MachineState.REPLACING, Goal.STARTED)
        assert updated.instance_id != machine.instance_id
        assert (updated.config.image, updated.config.env, updated.config.metadata) == (
            "redis",
            {},
            {},
        )
        assert [e.type for e in updated.events[:2]] == ["launch", "update"]
        assert (updated.id, updated.number, updated.name) == (
            machine.id,
            machine.number,
            machine.name,
        )

    with_bench(tmp_path, body)


def test_update_without_launch_stays_down(tmp_path: Path) -> None:
    """A stopped Machine that is updated with skip_launch ends stopped."""

    async def body(bench: Bench) -> None:
        machines = bench.control.machines
        machine = await bench.machine()
        await machines.stop("web", machine.id)
        await machines.update("web", machine.id, UpdateMachine(config=CONFIG, skip_launch=True))
        after = machines.get("web", machine.id)
        assert (after.state, after.goal) == (MachineState.STOPPED, Goal.STOPPED)

    with_bench(tmp_path, body)


@pytest.mark.parametrize(
    ("request_", "error", "sentence"),
    [
        (UpdateMachine(config=CONFIG, name="other"), InvalidError, "name"),
        (UpdateMachine(config=CONFIG, region="ams"), InvalidError, "region"),
        (UpdateMachine(config=CONFIG, current_version="old"), ConflictError, "not old"),
        (UpdateMachine(config=MachineConfig()), InvalidError, "image"),
        (UpdateMachine(config=MachineConfig(image="missing")), NotFoundError, "missing"),
    ],
)
def test_refused_updates_change_nothing(
    tmp_path: Path, request_: UpdateMachine, error: type[RoostError], sentence: str
) -> None:
    """Name and region are fixed; the version seen must be the newest; the image must exist."""

    async def body(bench: Bench) -> None:
        machine = await bench.machine()
        bench.host.images = frozenset({"nginx"})
        with pytest.raises(error, match=sentence):
            await bench.control.machines.update("web", machine.id, request_)
        assert bench.control.machines.get("web", machine.id) == machine

    with_bench(tmp_path, body)


def test_metadata_makes_no_new_version(tmp_path: Path) -> None:
    """Set, overwrite, remove; version and state stay."""

    async def body(bench: Bench) -> None:
        machines = bench.control.machines
        machine = await bench.machine(metadata={"a": "1"})
        await machines.set_metadata("web", machine.id, "b", "2")
        await machines.set_metadata("web", machine.id, "a", None)
        after = machines.get("web", machine.id)
        assert after.config.metadata == {"b": "2"}
        assert (after.instance_id, after.state) == (machine.instance_id, machine.state)
        with pytest.raises(InvalidError, match="key is empty"):
            await machines.set_metadata("web", machine.id, "", "x")
        with pytest.raises(InvalidError, match="larger than"):
            await machines.set_metadata("web", machine.id, "k", "x" * 70_000)

    with_bench(tmp_path, body)


def test_cordon(tmp_path: Path) -> None:
    """On and off."""

    async def body(bench: Bench) -> None:
        machine = await bench.machine()
        machines = bench.control.machines
        assert (await machines.cordon("web", machine.id, True)).cordoned
        assert not (await machines.cordon("web", machine.id, False)).cordoned

    with_bench(tmp_path, body)


def test_history_is_bounded(tmp_path: Path) -> None:
    """At most fifty events, newest first."""

    async def body(bench: Bench) -> None:
        machine = await bench.machine()
        bench.host.paused = True
        for _ in range(40):
            await bench.control.machines.stop("web", machine.id)
            await bench.control.machines.start("web", machine.id)
        events = bench.control.machines.get("web", machine.id).events
        assert len(events) == 50
        assert (events[0].type, events[1].type) == ("start", "stop")

    with_bench(tmp_path, body)
