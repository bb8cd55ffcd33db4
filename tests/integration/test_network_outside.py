"""Public addresses: real packets from outside to an address that no link of the host has."""

from __future__ import annotations

import json
import socket
import subprocess
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

import pytest

from roost.home import Home
from roost.network.netns import NetnsNetwork
from tests.support.namespaces import isolated, run_inside
from tests.support.networks import HOST4, HOST6, outside_world
from tests.support.packets import Address, connects, family_of, ping

pytestmark = pytest.mark.root

POOL4, POOL6 = ip_network("198.51.100.8/29"), ip_network("2001:db8:7::/64")
IPV6_FREEBIND = 78
ADDRESS4, ADDRESS6 = IPv4Address("198.51.100.9"), IPv6Address("2001:db8:7::9")


async def routed(outside: Path) -> None:
    """The outside routes the pools to the host, as an operator's network would."""
    for version, pool, host in ((4, POOL4, HOST4), (6, POOL6, HOST6)):
        words = ["ip", f"-{version}", "route", "add", str(pool), "via", str(host)]
        assert 0 == (await run_inside(outside, words)).returncode


@isolated
async def test_a_pool_is_reached_from_outside(tmp_path: Path) -> None:
    """While owned, any address of a pool answers and may be listened on; given up, none does."""
    driver = NetnsNetwork(Home(tmp_path / "home"))
    async with outside_world(tmp_path / "outside", ip6=True) as outside:
        await driver.setup()
        await routed(outside)
        try:
            assert not await ping(outside, ADDRESS4, fence=lambda: settle(outside))
            await driver.own_outside([POOL4, POOL6])
            for address in (ADDRESS4, ADDRESS6):
                assert await ping(outside, address)
                with listening(address):
                    assert await connects(outside, address, 8080)
            await driver.own_outside([POOL6])
            assert not await ping(outside, ADDRESS4, fence=lambda: settle(outside))
            assert await ping(outside, ADDRESS6)
        finally:
            await driver.teardown()
        assert [] == local_routes()


def listening(address: Address) -> socket.socket:
    """A socket that listens on port 8080 of an address that is only routed here, as the proxy's."""
    family, level = family_of(address), socket.IPPROTO_IPV6
    sock = socket.socket(family)
    if family == socket.AF_INET6:
        sock.setsockopt(level, IPV6_FREEBIND, 1)
    sock.bind((str(address), 8080))
    sock.listen()
    return sock


async def settle(outside: Path) -> None:
    """A permitted exchange after the one that must not be answered."""
    assert await ping(outside, HOST4)


def local_routes() -> list[str]:
    """Local routes of this namespace into the pools."""
    words = ["ip", "-j", "route", "show", "table", "local"]
    shown = [
        json.loads(subprocess.check_output([*words[:2], version, *words[2:]]))
        for version in ("-4", "-6")
    ]
    routes = [str(one.get("dst")) for table in shown for one in table]
    return [dst for dst in routes if dst in {str(POOL4), str(POOL6)}]


@isolated
async def test_two_roosts_leave_each_others_pools_alone(tmp_path: Path) -> None:
    """One's teardown takes its own routes away and no others."""
    one, other = NetnsNetwork(Home(tmp_path / "one")), NetnsNetwork(Home(tmp_path / "two"))
    for driver, pool in ((one, POOL4), (other, POOL6)):
        await driver.setup()
        await driver.own_outside([pool])
    assert {str(POOL4), str(POOL6)} == set(local_routes())
    await one.teardown()
    assert [str(POOL6)] == local_routes()
    await other.teardown()
    assert [] == local_routes()
