"""What every network driver must do, the one for tests included."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from ipaddress import ip_network
from pathlib import Path

import pytest

from roost.errors import InvalidError, PreconditionError
from roost.home import Home
from roost.network.addressed import attachment_of, router_of
from roost.network.base import Attachment, NetworkDriver
from roost.network.fake import FakeNetwork
from roost.network.netns import NetnsNetwork
from tests.support.namespaces import run_isolated

Body = Callable[[NetworkDriver], Awaitable[None]]
Run = Callable[[Body], None]


@pytest.fixture(params=["fake", pytest.param("netns", marks=pytest.mark.root)])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Runs a test body with a prepared driver of each kind, and tears it down afterwards."""
    home = Home(tmp_path)

    def runner(body: Body) -> None:
        async def main() -> None:
            driver: NetworkDriver
            driver = FakeNetwork(home) if request.param == "fake" else NetnsNetwork(home)
            await driver.setup()
            try:
                await body(driver)
            finally:
                await driver.teardown()

        if request.param == "fake":
            asyncio.run(main())
        else:
            run_isolated(main)

    return runner


def _machine(number: int, network: int = 1) -> Attachment:
    router = router_of(network)
    return attachment_of(f"{number:014x}", router, host=2, machine=number, ipv4_index=number)


def test_public_addresses_come_and_go(run: Run) -> None:
    """Pools are taken, replaced and given up as said, as often as it is said."""

    async def body(driver: NetworkDriver) -> None:
        for pools in (("198.51.100.8/29", "2001:db8:7::/64"), ("198.51.100.0/30",), (), ()):
            await driver.own_outside([ip_network(text) for text in pools])
            await driver.own_outside([ip_network(text) for text in pools])

    run(body)


def test_ensure_router_twice(run: Run) -> None:
    """Ensuring a router again gives the same file and one router."""

    async def body(driver: NetworkDriver) -> None:
        path = await driver.ensure_router(router_of(1))
        assert path == await driver.ensure_router(router_of(1))
        assert {1: path} == (await driver.observe()).routers

    run(body)


def test_attach_makes_the_router_too(run: Run) -> None:
    """Attaching needs no ensure_router before it; both are observed, under their own ids."""

    async def body(driver: NetworkDriver) -> None:
        path = await driver.attach(_machine(1))
        seen = await driver.observe()
        assert {"00000000000001": path} == seen.machines
        assert {1} == set(seen.routers)

    run(body)


def test_attach_twice(run: Run) -> None:
    """Attaching again gives the same file and one Machine."""

    async def body(driver: NetworkDriver) -> None:
        path = await driver.attach(_machine(1))
        assert path == await driver.attach(_machine(1))
        assert 1 == len((await driver.observe()).machines)

    run(body)


def test_router_changes_its_egress(run: Run) -> None:
    """A router may be ensured with another egress setting, with Machines on it."""

    async def body(driver: NetworkDriver) -> None:
        await driver.attach(_machine(1))
        path = await driver.ensure_router(router_of(1, egress=False))
        assert path == await driver.ensure_router(router_of(1, egress=True))

    run(body)


def test_removing_what_is_gone(run: Run) -> None:
    """Removing and detaching what never was, or is gone, is no error."""

    async def body(driver: NetworkDriver) -> None:
        await driver.detach("00000000000001")
        await driver.remove_router(7)
        await driver.attach(_machine(1))
        for _ in range(2):
            await driver.detach("00000000000001")
        for _ in range(2):
            await driver.remove_router(1)
        seen = await driver.observe()
        assert ({}, {}) == (seen.routers, seen.machines)

    run(body)


def test_router_with_machines_stays(run: Run) -> None:
    """A router is refused to go while a Machine is attached, and goes once it is detached."""

    async def body(driver: NetworkDriver) -> None:
        await driver.attach(_machine(1))
        with pytest.raises(PreconditionError, match="network 1 still has 1 Machine"):
            await driver.remove_router(1)
        assert {1} == set((await driver.observe()).routers)
        await driver.detach("00000000000001")
        await driver.remove_router(1)
        assert {} == (await driver.observe()).routers

    run(body)


def test_a_machine_may_come_back(run: Run) -> None:
    """After a detach the same id can be attached again, in another network too."""

    async def body(driver: NetworkDriver) -> None:
        await driver.attach(_machine(1))
        await driver.detach("00000000000001")
        await driver.attach(_machine(1, network=2))
        seen = await driver.observe()
        assert ({1, 2}, {"00000000000001"}) == (set(seen.routers), set(seen.machines))
        await driver.remove_router(1)

    run(body)


def test_many_at_the_same_time(run: Run) -> None:
    """Calls for different ids, and for the same, may run at once and all take effect."""

    async def body(driver: NetworkDriver) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(1, 25):
                group.create_task(driver.attach(_machine(number, network=1 + number % 3)))
                group.create_task(driver.ensure_router(router_of(1 + number % 3)))
        async with asyncio.TaskGroup() as group:
            for number in range(1, 13):
                group.create_task(driver.detach(f"{number:014x}"))
                group.create_task(driver.attach(_machine(100 + number, network=2)))
                group.create_task(driver.detach(f"{number:014x}"))
        seen = await driver.observe()
        expected = {f"{number:014x}" for number in (*range(13, 25), *range(101, 113))}
        assert ({1, 2, 3}, expected) == (set(seen.routers), set(seen.machines))

    run(body)


@pytest.mark.parametrize("bad", ["", "../../etc/passwd", "a" * 15, "A1", "a b"])
def test_only_machine_ids_become_files(run: Run, bad: str) -> None:
    """What is no Machine id is refused by attach and detach, before anything is made."""

    async def body(driver: NetworkDriver) -> None:
        attachment = attachment_of(bad, router_of(1), host=2, machine=1, ipv4_index=1)
        with pytest.raises(InvalidError, match="is not a Machine id"):
            await driver.attach(attachment)
        with pytest.raises(InvalidError, match="is not a Machine id"):
            await driver.detach(bad)
        seen = await driver.observe()
        assert ({}, {}) == (seen.routers, seen.machines)

    run(body)


def test_teardown_and_again(run: Run) -> None:
    """Teardown leaves nothing, may be repeated, and the driver can be set up again."""

    async def body(driver: NetworkDriver) -> None:
        await driver.attach(_machine(1))
        await driver.ensure_router(router_of(2))
        for _ in range(2):
            await driver.teardown()
            seen = await driver.observe()
            assert ({}, {}) == (seen.routers, seen.machines)
        await driver.setup()
        await driver.attach(_machine(1))
        assert {"00000000000001"} == set((await driver.observe()).machines)

    run(body)
