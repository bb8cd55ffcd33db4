"""Who can reach whom, shown with real packets through the real namespaces, links and rules."""

from __future__ import annotations

import asyncio
import os
import socket
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from roost.canary import wire
from roost.model.addresses import DNS_EVERYWHERE, GATEWAY4, flycast_address, network_dns
from roost.network.addressed import router_of
from tests.support.namespaces import inside, isolated, run_inside, socket_inside
from tests.support.networks import (
    HOST4,
    HOST6,
    OUTSIDE4,
    OUTSIDE6,
    attached,
    network_driver,
    outside_world,
)
from tests.support.packets import (
    ARP,
    arrived,
    capture,
    connects,
    family_of,
    listen,
    ping,
    router_advertisement,
    send_frame,
    source_seen,
    tcp_ack,
    udp,
)

pytestmark = pytest.mark.root

IPV6_FREEBIND = 78
HERE = Path("/proc/thread-self/ns/net")


@isolated
async def test_machines_of_one_network_meet(tmp_path: Path) -> None:
    """Ping and TCP work between Machines of a network over 6PN, and the source is the caller's."""
    async with network_driver(tmp_path) as driver:
        one, two = await attached(driver, 1), await attached(driver, 2)
        with listen(two.netns, 8080) as server:
            assert await ping(one.netns, two.ip6)
            assert one.ip6 == await source_seen(one.netns, two.ip6, 8080, server)


@isolated
async def test_the_first_packet_counts(tmp_path: Path) -> None:
    """What is sent the moment attach returns arrives, and its answer too: nothing is still to do.

    Making a link anew is when the kernel is most behind with its own part.
    """
    async with network_driver(tmp_path) as driver:
        for number in range(1, 21):
            one = await attached(driver, number)
            assert await ping(one.netns, flycast_address(1, 1))
            assert 0 == (await run_inside(one.netns, ["ip", "link", "del", "eth0"])).returncode
            await driver.attach(one.attachment)
            assert await ping(one.netns, flycast_address(1, 1))


@isolated
async def test_networks_do_not_meet(tmp_path: Path) -> None:
    """No ping, TCP or UDP gets into another network: not to Machines, DNS or Flycast addresses."""
    async with network_driver(tmp_path) as driver:
        one = await attached(driver, 1, egress=True)
        two = await attached(driver, 1, network=2, egress=True)
        router2 = await driver.ensure_router(router_of(2))
        with listen(two.netns, 8080), listen(router2, 80):
            for target in (two.ip6, flycast_address(2, 1), network_dns(2)):
                assert await ping(two.netns, target)
                assert not await ping(one.netns, target, fence=one.fence)
            assert await connects(two.netns, flycast_address(2, 1), 80)
            assert not await connects(one.netns, flycast_address(2, 1), 80, fence=one.fence)
            assert not await connects(one.netns, two.ip6, 8080, fence=one.fence)


@isolated
async def test_ipv4_is_not_routed_between_machines(tmp_path: Path) -> None:
    """A Machine's private IPv4 address answers the router alone."""
    async with network_driver(tmp_path) as driver:
        one, two = await attached(driver, 1), await attached(driver, 2)
        router = await driver.ensure_router(router_of(1, egress=False))
        with listen(two.netns, 8080):
            assert await connects(router, two.ip4, 8080)
            assert not await connects(one.netns, two.ip4, 8080, fence=one.fence)
            assert not await ping(one.netns, two.ip4, fence=one.fence)


@isolated
async def test_a_forged_6pn_source_is_dropped(tmp_path: Path) -> None:
    """A packet with another's source (a Machine's, Flycast, DNS, link-local) goes nowhere."""
    async with network_driver(tmp_path) as driver:
        one, two, three = [await attached(driver, number) for number in (1, 2, 3)]
        router = await driver.ensure_router(router_of(1, egress=False))
        forged = [two.ip6, flycast_address(1, 1), network_dns(1), IPv6Address("fe80::2")]
        forged += [IPv6Address("fdaa:0:2:0:2:0:1:2"), IPv6Address("2001:db8::1")]
        with (
            listen(three.netns, 4000, kind=socket.SOCK_DGRAM) as machine,
            listen(router, 53, kind=socket.SOCK_DGRAM) as dns,
        ):
            for target, port in ((three.ip6, 4000), (DNS_EVERYWHERE, 53)):
                for source in forged:
                    await send_frame(one.netns, udp(source, target, port, b"forged"))
                await send_frame(one.netns, udp(one.ip6, target, port, b"own"))
            await one.fence()
            assert [b"own"] == arrived(machine)
            assert [b"own"] == arrived(dns)


@isolated
async def test_a_forged_ipv4_source_is_dropped(tmp_path: Path) -> None:
    """A Machine cannot speak for another one to the proxy's side of its connections."""
    async with network_driver(tmp_path) as driver:
        one, two = await attached(driver, 1), await attached(driver, 2)
        router = await driver.ensure_router(router_of(1, egress=False))
        with socket_inside(router, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as seen:
            for source in (two.ip4, GATEWAY4, IPv4Address("203.0.113.9")):
                await send_frame(one.netns, tcp_ack(source, GATEWAY4, 5000, 1))
            await send_frame(one.netns, tcp_ack(one.ip4, GATEWAY4, 5000, 2))
            await one.fence()
            assert [one.ip4] == [IPv4Address(packet[12:16]) for packet in arrived(seen)]


@isolated
async def test_a_forged_router_advertisement_is_ignored(tmp_path: Path) -> None:
    """No Machine becomes anybody's router: the advertisement is not even delivered."""
    async with network_driver(tmp_path) as driver:
        one, two = await attached(driver, 1), await attached(driver, 2)
        router = await driver.ensure_router(router_of(1, egress=False))
        with socket_inside(router, socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as seen:
            everybody = bytes.fromhex("333300000001")
            for source in (IPv6Address("fe80::1"), one.ip6):
                await send_frame(one.netns, router_advertisement(source), mac=everybody)
            await one.fence()
            assert 134 not in [packet[0] for packet in arrived(seen)]
        for netns in (router, two.netns):
            routes = await run_inside(netns, ["ip", "-6", "route", "show", "default"])
            assert b"proto ra" not in routes.stdout
        assert b"" == (await run_inside(router, ["ip", "-6", "route", "show", "default"])).stdout


@isolated
async def test_another_networks_source_gets_nowhere(tmp_path: Path) -> None:
    """A packet that says to come from another network reaches neither that network nor the own,
    nor the outside, and not even the other network's uplink sees it.
    """
    async with outside_world(tmp_path / "outside", ip6=True), network_driver(tmp_path) as driver:
        one, two = await attached(driver, 1, egress=True), await attached(driver, 2, egress=True)
        other = await attached(driver, 1, network=2, egress=True)
        router2 = await driver.ensure_router(router_of(2))
        outside = tmp_path / "outside"
        with (
            listen(two.netns, 4000, kind=socket.SOCK_DGRAM) as neighbour,
            listen(other.netns, 4000, kind=socket.SOCK_DGRAM) as stranger,
            listen(outside, 4000, kind=socket.SOCK_DGRAM) as beyond,
            capture(router2, "uplink") as uplink4,
            capture(router2, "uplink", ethertype=0x86DD) as uplink6,
        ):
            for target in (two.ip6, other.ip6, OUTSIDE6):
                await send_frame(one.netns, udp(other.ip6, target, 4000, b"forged"))
                await send_frame(one.netns, udp(one.ip6, target, 4000, b"own"))
            for source4 in (two.ip4, IPv4Address("100.64.0.1"), HOST4):
                await send_frame(one.netns, udp(source4, OUTSIDE4, 4000, b"forged"))
            await send_frame(one.netns, udp(one.ip4, OUTSIDE4, 4000, b"own"))
            await one.fence()
            await one.fence()
            assert [b"own"] == arrived(neighbour)
            assert [] == arrived(stranger)
            assert [b"own", b"own"] == arrived(beyond)
            crossed = arrived(uplink4) + arrived(uplink6)
            assert [] == [packet for packet in crossed if packet.endswith((b"forged", b"own"))]


@isolated
async def test_neighbours_are_not_lied_to(tmp_path: Path) -> None:
    """Advertisements, solicitations and redirects are not even delivered to the router, and those
    forwarded to a Machine are not believed: nobody's neighbours or routes change.
    """
    async with network_driver(tmp_path) as driver:
        one, two = await attached(driver, 1), await attached(driver, 2)
        router = await driver.ensure_router(router_of(1, egress=False))
        before = [await neighbours_and_routes(netns) for netns in (router, two.netns)]
        link_local, mac = IPv6Address("fe80::1"), b"\x02evil!"
        with socket_inside(router, socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as seen:
            for source in (one.ip6, two.ip6, link_local):
                for target in (IPv6Address("ff02::1"), network_dns(1), link_local, two.ip6):
                    everybody = bytes.fromhex("333300000001") if target.is_multicast else None
                    for lie in (
                        wire.neighbour_advertisement(source, target, two.ip6, mac, bytes(16)),
                        wire.neighbour_solicitation(source, target, link_local, mac, bytes(16)),
                        wire.router_advertisement(source, target, mac, bytes(16)),
                        wire.redirect(source, target, two.ip6, bytes(16)),
                    ):
                        await send_frame(one.netns, lie, mac=everybody)
            await one.fence()
            assert set(range(133, 138)).isdisjoint(packet[0] for packet in arrived(seen))
        assert before == [await neighbours_and_routes(netns) for netns in (router, two.netns)]
        assert await ping(two.netns, flycast_address(1, 1))


@isolated
async def test_arp_is_neither_answered_nor_believed(tmp_path: Path) -> None:
    """Links have no address resolution: claims change nothing, and a request gets no answer."""
    async with network_driver(tmp_path) as driver:
        one, two = await attached(driver, 1), await attached(driver, 2)
        router = await driver.ensure_router(router_of(1, egress=False))
        before = [await neighbours_and_routes(netns) for netns in (router, two.netns)]
        everybody, mac = b"\xff" * 6, b"\x02evil!"
        with capture(one.netns, "eth0", ethertype=ARP) as seen:
            for operation, claimed in ((1, one.ip4), (1, two.ip4), (2, two.ip4), (2, GATEWAY4)):
                packet = wire.arp(operation, mac, claimed, GATEWAY4)
                await send_frame(one.netns, packet, mac=everybody, ethertype=ARP)
            await one.fence()
            assert [] == arrived(seen)
        assert before == [await neighbours_and_routes(netns) for netns in (router, two.netns)]
        with listen(two.netns, 8080):
            assert await connects(router, two.ip4, 8080)


async def neighbours_and_routes(netns: Path) -> list[str]:
    """Everything a namespace believes about where addresses are."""
    commands = (["ip", "neigh"], ["ip", "route", "show", "table", "all"])
    shown = [(await run_inside(netns, [*argv[:1], family, *argv[1:]])).stdout.decode().splitlines()
             for argv in commands for family in ("-4", "-6")]  # fmt: skip
    return sorted(line.strip() for lines in shown for line in lines)


@isolated
async def test_gateway_and_router_ports_are_closed(tmp_path: Path) -> None:
    """What listens in the router is reached on Flycast (TCP) and DNS (port 53) addresses only."""
    async with network_driver(tmp_path) as driver:
        one = await attached(driver, 1)
        router = await driver.ensure_router(router_of(1, egress=False))
        with listen(router, 80), listen(router, 53):
            assert await connects(one.netns, flycast_address(1, 1), 80)
            assert await connects(one.netns, flycast_address(1, 0xFFFF_FFFF), 80)
            assert await connects(one.netns, DNS_EVERYWHERE, 53)
            assert await connects(one.netns, network_dns(1), 53)
            for target in (GATEWAY4, DNS_EVERYWHERE, network_dns(1)):
                assert not await connects(one.netns, target, 80, fence=one.fence)
            assert not await connects(one.netns, GATEWAY4, 53, fence=one.fence)
            assert not await ping(one.netns, GATEWAY4, fence=one.fence)
            assert await connects(router, flycast_address(1, 1), 80), "from the router itself"


@isolated
async def test_errors_come_back_to_the_router(tmp_path: Path) -> None:
    """A Machine's ICMP errors reach the router's sockets (path MTU depends on them)."""
    async with network_driver(tmp_path) as driver:
        one = await attached(driver, 1)
        router = await driver.ensure_router(router_of(1, egress=False))
        for source, target in ((GATEWAY4, one.ip4), (flycast_address(1, 1), one.ip6)):
            with socket_inside(router, family_of(target), socket.SOCK_DGRAM) as sock:
                if source.version == 6:
                    sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
                sock.bind((str(source), 0))
                sock.connect((str(target), 9))
                sock.send(b"nobody listens there")
                with pytest.raises(ConnectionRefusedError):
                    async with asyncio.timeout(10):
                        await asyncio.get_running_loop().sock_recv(sock, 10)


@isolated
async def test_each_datagram_is_refused(tmp_path: Path) -> None:
    """Refusals have no bound in number: by them the proxy learns that nothing listens yet."""
    async with network_driver(tmp_path) as driver:
        one = await attached(driver, 1)
        router = await driver.ensure_router(router_of(1, egress=False))
        with socket_inside(router, socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect((str(one.ip4), 9))
            for _ in range(200):
                sock.send(b"nobody listens there")
                with pytest.raises(ConnectionRefusedError):
                    async with asyncio.timeout(10):
                        await asyncio.get_running_loop().sock_recv(sock, 10)


@isolated
async def test_flycast_and_dns_answer_ping(tmp_path: Path) -> None:
    """Every Flycast address of the network and both DNS addresses answer, unprivileged too."""
    async with network_driver(tmp_path) as driver:
        one = await attached(driver, 1)
        for target in (flycast_address(1, 1), flycast_address(1, 77), DNS_EVERYWHERE):
            assert await ping(one.netns, target)

        def as_nobody() -> None:
            pid = os.fork()
            if pid == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
                try:
                    socket.socket(socket.AF_INET6, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6)
                    socket.socket(socket.AF_INET6).bind(("::", 80))
                except OSError:
                    os._exit(1)
                os._exit(0)
            assert 0 == os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

        await inside(one.netns, as_nobody)


@isolated
async def test_the_router_reaches_a_machine(tmp_path: Path) -> None:
    """A connection from the router goes to the Machine's IPv4 address, from the gateway's."""
    async with network_driver(tmp_path) as driver:
        one = await attached(driver, 1)
        router = await driver.ensure_router(router_of(1, egress=False))
        with listen(one.netns, 8080) as server:
            assert GATEWAY4 == await source_seen(router, one.ip4, 8080, server)
        assert not await connects(router, one.ip4, 8080), "a closed port is refused"


@isolated
async def test_egress_goes_out_behind_the_host(tmp_path: Path) -> None:
    """With egress a Machine reaches the outside, which sees the host's address (v4 and v6)."""
    async with (
        outside_world(tmp_path / "outside", ip6=True) as outside,
        network_driver(tmp_path) as driver,
    ):
        assert (None, None) == (driver.egress_off, driver.egress6_off)
        one = await attached(driver, 1, egress=True)
        with listen(outside, 443) as server:
            assert HOST4 == await source_seen(one.netns, OUTSIDE4, 443, server)
            assert HOST6 == await source_seen(one.netns, OUTSIDE6, 443, server)
        assert await ping(one.netns, OUTSIDE4)


@isolated
async def test_egress_off_and_switched(tmp_path: Path) -> None:
    """Without egress nothing leaves; switching it takes effect on attached Machines."""
    async with (
        outside_world(tmp_path / "outside", ip6=False) as outside,
        network_driver(tmp_path) as driver,
    ):
        assert driver.egress6_off is not None
        one = await attached(driver, 1, egress=False)
        with listen(outside, 443):
            assert not await connects(one.netns, OUTSIDE4, 443, fence=one.fence)
            await driver.ensure_router(router_of(1, egress=True))
            assert await connects(one.netns, OUTSIDE4, 443)
            await driver.ensure_router(router_of(1, egress=False))
            assert not await connects(one.netns, OUTSIDE4, 443, fence=one.fence)


@isolated
async def test_the_host_and_other_uplinks_are_closed(tmp_path: Path) -> None:
    """Over its uplink a Machine reaches no port of the host, nor another network's router."""
    async with outside_world(tmp_path / "outside", ip6=False), network_driver(tmp_path) as driver:
        one = await attached(driver, 1, egress=True)
        await attached(driver, 1, network=2, egress=True)
        router2 = await driver.ensure_router(router_of(2))
        shown = await run_inside(router2, ["ip", "-4", "-o", "addr", "show", "uplink"])
        uplink2 = IPv4Address(shown.stdout.split()[3].split(b"/")[0].decode())
        host_end2 = uplink2 - 1
        with listen(HERE, 22), listen(router2, 22), capture(router2, "uplink") as seen:
            assert await connects(HERE, HOST4, 22)
            for target in (HOST4, host_end2, uplink2, IPv4Address("127.0.0.1")):
                assert not await connects(one.netns, target, 22, fence=one.fence)
            assert not await ping(one.netns, uplink2, fence=one.fence)
            assert [] == arrived(seen), "not even the other router's link saw it"


@isolated
async def test_the_outside_cannot_come_in(tmp_path: Path) -> None:
    """A host beyond that knows the uplink's address opens nothing towards routers or Machines."""
    async with (
        outside_world(tmp_path / "outside", ip6=False) as outside,
        network_driver(tmp_path) as driver,
    ):
        one = await attached(driver, 1, egress=True)
        router = await driver.ensure_router(router_of(1))
        for pool in ("100.64.0.0/10", "172.16.0.0/12"):
            await run_inside(outside, ["ip", "route", "add", pool, "via", str(HOST4)])
        shown = await run_inside(router, ["ip", "-4", "-o", "addr", "show", "uplink"])
        uplink = IPv4Address(shown.stdout.split()[3].split(b"/")[0].decode())

        async def fence() -> None:
            for _ in range(2):
                assert await ping(outside, HOST4)

        with (
            listen(router, 80),
            listen(one.netns, 80),
            listen(HERE, 80),
            capture(router, "uplink") as seen,
        ):
            assert await connects(outside, HOST4, 80)
            assert not await connects(outside, uplink, 80, fence=fence)
            assert not await connects(outside, one.ip4, 80, fence=fence)
            assert [] == arrived(seen), "not even the router's link saw it"


@isolated
async def test_metadata_services_are_out_of_reach(tmp_path: Path) -> None:
    """169.254.0.0/16 beyond the host, where clouds hand out credentials, is not reached."""
    async with (
        outside_world(tmp_path / "outside", ip6=False) as outside,
        network_driver(tmp_path) as driver,
    ):
        metadata = IPv4Address("169.254.169.254")
        await run_inside(outside, ["ip", "addr", "add", f"{metadata}/32", "dev", "lo"])
        one = await attached(driver, 1, egress=True)
        with listen(outside, 80):
            assert await connects(HERE, metadata, 80)
            assert await connects(one.netns, OUTSIDE4, 80)
            assert not await connects(one.netns, metadata, 80, fence=one.fence)


@isolated
async def test_proxy_traffic_is_not_tracked(tmp_path: Path) -> None:
    """Connection tracking holds entries for egress only, in a router that has it."""
    async with (
        outside_world(tmp_path / "outside", ip6=False) as outside,
        network_driver(tmp_path) as driver,
    ):
        one = await attached(driver, 1, egress=True)
        router = await driver.ensure_router(router_of(1))

        async def tracked() -> list[bytes]:
            def read() -> list[bytes]:
                return Path("/proc/thread-self/net/nf_conntrack").read_bytes().splitlines()

            return await inside(router, read)

        with listen(router, 80), listen(one.netns, 80), listen(outside, 443):
            assert await connects(one.netns, flycast_address(1, 1), 80)
            assert await connects(router, one.ip4, 80)
            assert [] == await tracked()
            assert await connects(one.netns, OUTSIDE4, 443)
            assert 1 == len(await tracked())


@isolated
async def test_two_roosts_on_one_host(tmp_path: Path) -> None:
    """Roosts with different homes use the same network ids and never meet; one may leave."""
    async with (
        outside_world(tmp_path / "outside", ip6=False) as outside,
        network_driver(tmp_path / "a") as first,
    ):
        one = await attached(first, 1, egress=True)
        with listen(outside, 443):
            async with network_driver(tmp_path / "b") as second:
                two = await attached(second, 2, egress=True)
                assert not await ping(one.netns, two.ip6, fence=one.fence)
                assert await connects(one.netns, OUTSIDE4, 443)
                assert await connects(two.netns, OUTSIDE4, 443)
            assert await connects(one.netns, OUTSIDE4, 443)
