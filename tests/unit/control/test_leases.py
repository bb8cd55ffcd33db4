"""Leases keep everybody but their holder away from a Machine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from roost.control.machine_requests import CreateMachine, UpdateMachine
from roost.control.machines import Machines
from roost.errors import ConflictError, InvalidError, NotFoundError
from roost.model.machine_config import MachineConfig
from tests.support.control_bench import Bench, with_bench

CONFIG = MachineConfig(image="nginx")
Verb = Callable[[Machines, str, str | None], Awaitable[Any]]

VERBS: dict[str, Verb] = {
    "start": lambda m, i, n: m.start("web", i, n),
    "stop": lambda m, i, n: m.stop("web", i, nonce=n),
    "suspend": lambda m, i, n: m.suspend("web", i, n),
    "restart": lambda m, i, n: m.restart("web", i, nonce=n),
    "update": lambda m, i, n: m.update("web", i, UpdateMachine(config=CONFIG), n),
    "destroy": lambda m, i, n: m.destroy("web", i, force=True, nonce=n),
    "cordon": lambda m, i, n: m.cordon("web", i, True, n),
    "metadata": lambda m, i, n: m.set_metadata("web", i, "a", "1", n),
    "lease": lambda m, i, n: m.lease("web", i, nonce=n),
    "release": lambda m, i, n: m.release_lease("web", i, n),
}


@pytest.mark.parametrize("verb", VERBS)
def test_only_the_holder_may_change(tmp_path: Path, verb: str) -> None:
    """Each change without or with a wrong nonce is a conflict, with the right one it works."""

    async def body(bench: Bench) -> None:
        machines = bench.control.machines
        machine = await bench.machine()
        lease = await machines.lease("web", machine.id, ttl=60, owner="deploy")
        before = machines.get("web", machine.id)
        for nonce in (None, "wrong"):
            with pytest.raises(ConflictError, match="leased by deploy"):
                await VERBS[verb](machines, machine.id, nonce)
        assert machines.get("web", machine.id) == before
        await VERBS[verb](machines, machine.id, lease.nonce)

    with_bench(tmp_path, body)


def test_an_expired_lease_binds_nobody(tmp_path: Path) -> None:
    """After its time the lease is gone for readers and writers."""

    async def body(bench: Bench) -> None:
        machines = bench.control.machines
        machine = await bench.machine()
        lease = await machines.lease("web", machine.id)
        assert lease.expires_at == bench.clock.ms + 30_000
        assert machines.get_lease("web", machine.id).nonce == lease.nonce
        bench.clock.forward(30)
        with pytest.raises(NotFoundError, match="lease not found"):
            machines.get_lease("web", machine.id)
        await machines.stop("web", machine.id)

    with_bench(tmp_path, body)


def test_refresh_keeps_the_nonce(tmp_path: Path) -> None:
    """With its nonce a lease lasts longer, also when it has just run out and is free."""

    async def body(bench: Bench) -> None:
        machines = bench.control.machines
        machine = await bench.machine()
        lease = await machines.lease("web", machine.id, ttl=10, description="why", owner="me")
        for pause in (5, 20):
            bench.clock.forward(pause)
            again = await machines.lease("web", machine.id, ttl=13, nonce=lease.nonce)
            assert again.nonce == lease.nonce
            assert again.expires_at == bench.clock.ms + 13_000
            assert (again.owner, again.description) == ("me", "why")

    with_bench(tmp_path, body)


def test_a_lost_lease_cannot_be_refreshed(tmp_path: Path) -> None:
    """When another took it meanwhile it is a conflict; an unknown nonce is not found."""

    async def body(bench: Bench) -> None:
        machines = bench.control.machines
        machine = await bench.machine()
        with pytest.raises(NotFoundError, match="lease not found"):
            await machines.lease("web", machine.id, nonce="unknown")
        lease = await machines.lease("web", machine.id, ttl=10)
        bench.clock.forward(11)
        await machines.lease("web", machine.id, ttl=10)
        with pytest.raises(ConflictError):
            await machines.lease("web", machine.id, nonce=lease.nonce)

    with_bench(tmp_path, body)


def test_release_frees_the_machine(tmp_path: Path) -> None:
    """Afterwards anybody may change it, and a second release finds none."""

    async def body(bench: Bench) -> None:
        machines = bench.control.machines
        machine = await bench.machine()
        lease = await machines.lease("web", machine.id)
        await machines.release_lease("web", machine.id, lease.nonce)
        await machines.stop("web", machine.id)
        with pytest.raises(NotFoundError, match="lease not found"):
            await machines.release_lease("web", machine.id, lease.nonce)

    with_bench(tmp_path, body)


def test_a_lease_follows_the_version(tmp_path: Path) -> None:
    """Its version is the Machine's instance id, also after an update by the holder."""

    async def body(bench: Bench) -> None:
        machines = bench.control.machines
        machine = await bench.machine()
        lease = await machines.lease("web", machine.id, ttl=60)
        assert lease.version == machine.instance_id
        updated = await machines.update(
            "web", machine.id, UpdateMachine(config=CONFIG), lease.nonce
        )
        assert machines.get_lease("web", machine.id).version == updated.instance_id

    with_bench(tmp_path, body)


def test_create_with_a_lease(tmp_path: Path) -> None:
    """The creator holds it from the first moment."""

    async def body(bench: Bench) -> None:
        await bench.control.apps.create("web")
        request = CreateMachine(config=CONFIG, lease_ttl=300, lease_owner="admin")
        machine = await bench.control.machines.create("web", request)
        assert machine.lease is not None
        with pytest.raises(ConflictError):
            await bench.control.machines.stop("web", machine.id)
        await bench.control.machines.stop("web", machine.id, nonce=machine.lease.nonce)

    with_bench(tmp_path, body)


@pytest.mark.parametrize("ttl", [-1, 24 * 3600 + 1])
def test_impossible_times(tmp_path: Path, ttl: int) -> None:
    """A lease lasts a second to a day."""

    async def body(bench: Bench) -> None:
        machine = await bench.machine()
        with pytest.raises(InvalidError, match="lease"):
            await bench.control.machines.lease("web", machine.id, ttl=ttl)

    with_bench(tmp_path, body)
