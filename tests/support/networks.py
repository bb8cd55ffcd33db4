"""A Roost's networks with a few Machines, made by the real driver, for tests with packets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from roost.home import Home
from roost.model.addresses import flycast_address
from roost.network.addressed import attachment_of, router_of
from roost.network.base import Attachment, Router
from roost.network.netns import NetnsNetwork
from tests.support.namespaces import drop_network, make_network, run_inside
from tests.support.packets import Fence, fence_by_ping

HOST4 = IPv4Address("203.0.113.1")
OUTSIDE4 = IPv4Address("203.0.113.2")
HOST6 = IPv6Address("2001:db8::1")
OUTSIDE6 = IPv6Address("2001:db8::2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One attached Machine: its namespace and addresses, and a fence through its link."""

    attachment: Attachment
    netns: Path

    @property
    def ip6(self) -> IPv6Address:
        """Its 6PN address."""
        return self.attachment.ip6.ip

    @property
    def ip4(self) -> IPv4Address:
        """Its private IPv4 address."""
        return self.attachment.ip4

    @property
    def fence(self) -> Fence:
        """Completed once all it sent before has been handled."""
        return fence_by_ping(self.netns, flycast_address(self.attachment.router.network_id, 1))


@asynccontextmanager
async def network_driver(folder: Path) -> AsyncIterator[NetnsNetwork]:
    """A driver that is set up, and torn down at the end."""
    driver = NetnsNetwork(Home(folder))
    await driver.setup()
    try:
        yield driver
    finally:
        await driver.teardown()


def planned(number: int, router: Router) -> Attachment:
    """The attachment of Machine `number` of a network, on host 2."""
    name = f"{router.network_id:02x}{number:012x}"
    return attachment_of(name, router, host=2, machine=number, ipv4_index=number)


async def attached(
    driver: NetnsNetwork, number: int, network: int = 1, *, egress: bool = False
) -> Machine:
    """Attach Machine `number` of a network."""
    attachment = planned(number, router_of(network, egress=egress))
    return Machine(attachment=attachment, netns=await driver.attach(attachment))


@asynccontextmanager
async def outside_world(path: Path, *, ip6: bool) -> AsyncIterator[Path]:
    """A namespace beyond the host's, which is the host's default route and knows no way back."""
    outside = make_network(path)
    try:
        await _run(f"ip link add out0 type veth peer name in0 netns {outside}")
        await _run("ip link set out0 addrgenmode none")
        await _run(f"ip addr add {HOST4}/24 dev out0")
        await _run("ip link set out0 up")
        await _run(f"ip addr add {OUTSIDE4}/24 dev in0", outside)
        await _run("ip link set in0 up", outside)
        await _run(f"ip route add default via {OUTSIDE4}")
        if ip6:
            await _run(f"ip addr add {HOST6}/64 dev out0 nodad")
            await _run(f"ip addr add {OUTSIDE6}/64 dev in0 nodad", outside)
            await _run(f"ip route add default via {OUTSIDE6}")
        yield outside
    finally:
        drop_network(outside)


async def _run(command: str, netns: Path = Path("/proc/thread-self/ns/net")) -> None:
    done = await run_inside(netns, command.replace("", "").split())
    assert done.returncode == 0, (command, done.stderr)
