"""Crashes, restarts, damage and the end: what the Linux network driver makes of them."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from roost.errors import UnavailableError
from roost.home import Home
from roost.model.addresses import flycast_address
from roost.network import nft, sysctl
from roost.network.addressed import attachment_of, router_of
from roost.network.netns import NetnsNetwork
from tests.support.namespaces import isolated, run_inside, socket_inside
from tests.support.networks import (
    OUTSIDE4,
    Machine,
    attached,
    network_driver,
    outside_world,
    planned,
)
from tests.support.own_namespaces import run_without_root
from tests.support.packets import connects, fence_by_ping, listen, ping

pytestmark = pytest.mark.root

HERE = Path("/proc/thread-self/ns/net")


class CrashError(Exception):
    """Stands for the end of the process in the middle of a job."""


def stop_at(count: int) -> Callable[[str], None]:
    """An `on_step` that lets `count` steps be made and crashes at the next."""
    left = [count]

    def on_step(step: str) -> None:
        if left[0] == 0:
            raise CrashError(step)
        left[0] -= 1

    return on_step


async def crash_everywhere(
    folder: Path, after: Callable[[NetnsNetwork], Awaitable[None]]
) -> list[str]:
    """Attach Machine 1 with a crash after each step in turn; `after` runs each time.

    Returns the steps at which it crashed.
    """
    crashed: list[str] = []
    while True:
        driver = NetnsNetwork(Home(folder), on_step=stop_at(len(crashed)))
        await driver.setup()
        try:
            await driver.attach(planned(1, router_of(1)))
        except CrashError as crash:
            crashed.append(str(crash))
        else:
            await NetnsNetwork(Home(folder)).teardown()
            return crashed
        await after(NetnsNetwork(Home(folder)))


async def trace(folder: Path) -> str:
    """Everything a driver could leave behind in a host's namespaces, mounts below `folder`."""
    commands = (
        ["ip", "-o", "link"],
        ["ip", "-o", "addr"],
        ["ip", "route", "show", "table", "all"],
        ["nft", "list", "ruleset"],
        ["cat", "/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"],
        ["findmnt", "--list", "--noheadings", "--output", "TARGET,FSTYPE"],
    )
    seen = [(await run_inside(HERE, argv)).stdout.decode() for argv in commands]
    mounts = [line for line in seen.pop().splitlines() if str(folder) in line]
    return "\n".join([*seen, *mounts])


async def numbers(netns: Path) -> dict[str, int]:
    """The links of a namespace: name → number (a link made anew has a new number)."""
    shown = await run_inside(netns, ["ip", "-j", "link"])
    return {link["ifname"]: link["ifindex"] for link in json.loads(shown.stdout)}


def client_of(machine: Machine) -> socket.socket:
    """A TCP socket inside a Machine's namespace."""
    return socket_inside(machine.netns, socket.AF_INET6, socket.SOCK_STREAM)


@isolated
async def test_attach_completes_after_a_crash_at_any_step(tmp_path: Path) -> None:
    """Whatever step of attach a crash came after, the next attach makes it whole."""

    async def complete(driver: NetnsNetwork) -> None:
        await driver.setup()
        attachment = planned(1, router_of(1))
        netns = await driver.attach(attachment)
        other = await attached(driver, 2, egress=True)
        with listen(other.netns, 80), listen(outside, 443):
            assert await connects(netns, other.ip6, 80)
            assert await connects(netns, OUTSIDE4, 443)
        assert await ping(netns, flycast_address(1, 1))
        assert await connects(await driver.ensure_router(router_of(1)), other.ip4, 80) is False
        await driver.teardown()

    async with outside_world(tmp_path / "outside", ip6=False) as outside:
        steps = await crash_everywhere(tmp_path, complete)
    assert 12 == len(steps), steps
    assert steps[0] == "router pinned"
    assert steps[-1] == "router complete"


@isolated
async def test_nothing_is_left_after_a_crash_at_any_step(tmp_path: Path) -> None:
    """Whatever step of attach a crash came after, detach and remove_router clear it."""
    async with outside_world(tmp_path / "outside", ip6=False):
        before = await trace(tmp_path)

        async def clear(driver: NetnsNetwork) -> None:
            seen = await driver.observe()
            assert set(seen.machines) <= {planned(1, router_of(1)).machine_id}
            await driver.detach(planned(1, router_of(1)).machine_id)
            await driver.remove_router(1)
            assert ({}, {}) == ((await driver.observe()).routers, (await driver.observe()).machines)
            await driver.teardown()
            assert before == await trace(tmp_path)

        await crash_everywhere(tmp_path, clear)


@isolated
async def test_detach_goes_on_after_a_crash(tmp_path: Path) -> None:
    """A detach that stopped half-way is seen, and repeated to its end."""
    async with network_driver(tmp_path) as driver:
        one = await attached(driver, 1)
        broken = NetnsNetwork(Home(tmp_path), on_step=stop_at(0))
        name = one.attachment.machine_id
        with pytest.raises(CrashError, match="machine link removed"):
            await broken.detach(name)
        assert {name} == set((await driver.observe()).machines)
        await driver.detach(name)
        assert {} == (await driver.observe()).machines


@isolated
async def test_a_restart_keeps_connections(tmp_path: Path) -> None:
    """A new driver finds all of it; attaching again leaves open connections and links alone."""
    async with network_driver(tmp_path) as driver:
        one, two = await attached(driver, 1, egress=True), await attached(driver, 2, egress=True)
        router = await driver.ensure_router(router_of(1))
        links = await numbers(router)
        loop = asyncio.get_running_loop()
        with listen(two.netns, 80) as server, client_of(one) as client:
            await loop.sock_connect(client, (str(two.ip6), 80))
            accepted, _ = await loop.sock_accept(server)
            again = NetnsNetwork(Home(tmp_path))
            await again.setup()
            assert await driver.observe() == await again.observe()
            for machine in (one, two):
                assert machine.netns == await again.attach(machine.attachment)
            await loop.sock_sendall(client, b"still here")
            async with asyncio.timeout(10):
                assert b"still here" == await loop.sock_recv(accepted, 100)
            accepted.close()
        assert links == await numbers(router)


@pytest.mark.parametrize(
    "damage",
    [
        "ip link del eth0",
        "ip link set eth0 down",
        "ip link set lo down",
        "ip -6 route flush table main",
        "ip -6 addr flush dev eth0",
        "ip -4 addr flush dev eth0",
        "ip neigh flush all nud permanent",
    ],
)
def test_attach_mends_a_machine(tmp_path: Path, damage: str) -> None:
    """Attaching again mends what was broken in a Machine's namespace."""

    @isolated
    async def body() -> None:
        async with network_driver(tmp_path) as driver:
            one = await attached(driver, 1)
            assert 0 == (await run_inside(one.netns, damage.split())).returncode
            await driver.attach(one.attachment)
            router = await driver.ensure_router(router_of(1, egress=False))
            assert await ping(one.netns, flycast_address(1, 1))
            with listen(one.netns, 80):
                assert await connects(router, one.ip4, 80)
                assert await connects(one.netns, IPv6Address("::1"), 80)

    body()


@pytest.mark.parametrize(
    "damage",
    [
        "nft delete table inet roost",
        "ip link set lo down",
        "ip link del uplink",
        "ip route del default",
        "ip -6 addr flush dev lo",
        "ip link del v01000000000001",
    ],
)
def test_a_new_process_mends_a_router(tmp_path: Path, damage: str) -> None:
    """The first attach of a process mends what was broken in a router."""

    @isolated
    async def body() -> None:
        async with (
            outside_world(tmp_path / "outside", ip6=False) as outside,
            network_driver(tmp_path) as driver,
        ):
            one = await attached(driver, 1, egress=True)
            router = await driver.ensure_router(router_of(1))
            rules = (await run_inside(router, ["nft", "list", "ruleset"])).stdout
            assert 0 == (await run_inside(router, damage.split())).returncode
            async with network_driver(tmp_path) as again:
                await again.attach(one.attachment)
                assert await ping(one.netns, flycast_address(1, 1))
                assert await ping(one.netns, IPv6Address("fdaa::3"))
                with listen(outside, 443):
                    assert await connects(one.netns, OUTSIDE4, 443)
                assert rules == (await run_inside(router, ["nft", "list", "ruleset"])).stdout

    body()


@isolated
async def test_a_machine_with_new_addresses(tmp_path: Path) -> None:
    """Attaching an id with other addresses, or to another network, leaves nothing of the old."""
    async with network_driver(tmp_path) as driver:
        one, two = await attached(driver, 1), await attached(driver, 2)
        name = one.attachment.machine_id
        moved = attachment_of(name, one.attachment.router, host=2, machine=9, ipv4_index=9)
        await driver.attach(moved)
        assert await ping(two.netns, moved.ip6.ip)
        assert not await ping(two.netns, one.ip6, fence=two.fence)
        away = attachment_of(name, router_of(2, egress=False), host=2, machine=1, ipv4_index=1)
        netns = await driver.attach(away)
        away_fence = fence_by_ping(netns, flycast_address(2, 1))
        assert not await ping(netns, flycast_address(1, 1), fence=away_fence)
        assert not await ping(two.netns, moved.ip6.ip, fence=two.fence)


@isolated
async def test_files_without_a_namespace_are_cleared(tmp_path: Path) -> None:
    """Files left by a reboot are no namespaces, and setup removes them."""
    home = Home(tmp_path)
    home.netns.mkdir(parents=True)
    (home.netns / "n1").touch()
    (home.netns / "m00000000000001").touch()
    driver = NetnsNetwork(home)
    seen = await driver.observe()
    assert ({}, {}) == (seen.routers, seen.machines)
    await driver.setup()
    assert [] == list(home.netns.iterdir())
    await driver.teardown()


@isolated
async def test_teardown_leaves_the_host_as_it_was(tmp_path: Path) -> None:
    """No link, address, route, rule, mount, file or forwarding setting stays behind."""
    async with outside_world(tmp_path / "outside", ip6=True):
        before = await trace(tmp_path)
        async with network_driver(tmp_path) as driver:
            for network in (1, 2):
                for number in (1, 2, 3):
                    await attached(driver, number, network, egress=True)
            assert "roost_" in await trace(tmp_path)
        assert before == await trace(tmp_path)
        assert not Home(tmp_path).netns.exists()


@isolated
async def test_the_last_roost_turns_forwarding_off(tmp_path: Path) -> None:
    """Forwarding that a Roost turned on stays on while any Roost needs it, and no longer."""
    first, second = NetnsNetwork(Home(tmp_path / "a")), NetnsNetwork(Home(tmp_path / "b"))
    await first.setup()
    await second.setup()
    await second.setup()
    await first.teardown()
    assert "1" == sysctl.read(sysctl.IP_FORWARD)
    await second.teardown()
    assert "0" == sysctl.read(sysctl.IP_FORWARD)


@isolated
async def test_a_setting_that_was_on_stays_on(tmp_path: Path) -> None:
    """Forwarding that somebody else turned on is not turned off."""
    sysctl.write(sysctl.IP_FORWARD, "1")
    async with network_driver(tmp_path):
        pass
    assert "1" == sysctl.read(sysctl.IP_FORWARD)


@isolated
async def test_rules_that_nft_refuses() -> None:
    """What nft says of refused rules is in the error, with what to do."""
    with pytest.raises(UnavailableError, match=r"cannot load nonsense: nft: .*error") as caught:
        nft.load("load nonsense", "this is no rule\n")
    assert "nftables" in str(caught.value.hint)


_ROOTLESS = """
import asyncio, sys
from pathlib import Path
from tests.support.networks import attached, network_driver
from tests.support.packets import ping
from roost.model.addresses import flycast_address

async def main():
    async with network_driver(Path(sys.argv[1])) as driver:
        one, two = await attached(driver, 1, egress=True), await attached(driver, 2, egress=True)
        assert await ping(one.netns, flycast_address(1, 1))
        assert await ping(one.netns, two.ip6)
        print(driver.egress_off)

asyncio.run(main())
"""


def test_without_root(tmp_path: Path) -> None:
    """In an own user, mount and network namespace all works but egress, which says why not."""
    done = run_without_root(_ROOTLESS, str(tmp_path))
    assert (0, b"") == (done.returncode, done.stderr)
    assert b"Roost runs without root, in a network namespace that leads nowhere\n" == done.stdout
