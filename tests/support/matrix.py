"""Three organizations with two networks each, and who may reach whom in it by the documentation.

What is expected is written here from the documented rules alone: no code of Roost's decides it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

ORGS = ("personal", "acme", "zoo")
NETWORKS = ("default", "lab")
SERVED = (80, 5432)
"""External ports of every app's services; 81 is nobody's."""
INSIDE = 8080
"""Where programs listen for the service on port 80, and for 6PN."""
UDP = 9000
"""Where programs echo datagrams, directly; no service leads there."""


class Via(StrEnum):
    """How something is tried."""

    FLYCAST_NAME = "flycast name"
    INTERNAL_NAME = "internal name"
    TCP = "tcp"
    UDP = "udp"
    PING = "ping"


@dataclass(frozen=True, slots=True)
class Given:
    """One address of an app: the audience and the ports that answer (none: all).

    A public one's audience is outside: no organization and no network.
    """

    ip: str
    org: str
    network: str
    ports: tuple[int, ...] = ()

    @property
    def home(self) -> tuple[str, str]:
        """The network it is on."""
        return (self.org, self.network)


@dataclass(slots=True)
class Place:
    """One app with one Machine, and the addresses it has been given."""

    app: str
    org: str
    network: str
    machine: str = ""
    ip6: str = ""
    ip4: str = ""
    given: list[Given] = field(default_factory=list)

    @property
    def home(self) -> tuple[str, str]:
        """The network its Machine is on."""
        return (self.org, self.network)


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt of a caller, and what the documentation says of it."""

    target: str
    via: Via
    to: str
    port: int
    reaches: bool


def tries(caller: Place, target: Place) -> Iterator[Try]:
    """Everything that a caller tries of a target: by name, address and port."""
    yield from _by_name(caller, target)
    for given in target.given:
        yield from _flycast(caller, target, given)
    yield from _direct(caller, target)


def _by_name(caller: Place, target: Place) -> Iterator[Try]:
    # `my-app.flycast` resolves in exactly the networks that hold an address for the app.
    here = any(given.home == caller.home for given in target.given)
    yield Try(target.app, Via.FLYCAST_NAME, f"{target.app}.flycast", 0, here)
    # `.internal` names are of the caller's own network.
    own = caller.home == target.home
    yield Try(target.app, Via.INTERNAL_NAME, f"{target.app}.internal", 0, own)


def _flycast(caller: Place, target: Place, given: Given) -> Iterator[Try]:
    here = given.home == caller.home
    for port in (*SERVED, 81):
        answers = port in SERVED and (not given.ports or port in given.ports)
        yield Try(target.app, Via.TCP, given.ip, port, here and answers)
    # A service is of one protocol; the address itself answers ping, where it is.
    yield Try(target.app, Via.UDP, given.ip, 80, False)
    yield Try(target.app, Via.UDP, given.ip, UDP, here and not given.ports)
    yield Try(target.app, Via.PING, given.ip, 0, here)


def _direct(caller: Place, target: Place) -> Iterator[Try]:
    # 6PN is open within a network and closed to all others.
    own = caller.home == target.home
    yield Try(target.app, Via.TCP, target.ip6, INSIDE, own)
    yield Try(target.app, Via.UDP, target.ip6, UDP, own)
    yield Try(target.app, Via.PING, target.ip6, 0, own)
    # IPv4 is not routed between Machines. Numbers repeat from network to network, so another's
    # may be one's own.
    if target.ip4 != caller.ip4:
        yield Try(target.app, Via.TCP, target.ip4, INSIDE, False)
        yield Try(target.app, Via.UDP, target.ip4, UDP, False)
        yield Try(target.app, Via.PING, target.ip4, 0, False)


SERVER = f"""
import asyncio, socket

async def main():
    loop = asyncio.get_running_loop()
    for port in ({INSIDE}, 15432):
        sock = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
        await asyncio.start_server(lambda r, w: w.close(), sock=sock)

    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, peer):
            self.transport.sendto(data, peer)

    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("::", {UDP}))
    await loop.create_datagram_endpoint(Echo, sock=sock)
    await asyncio.Event().wait()

asyncio.run(main())
"""
"""The program of every Machine: accepts on two ports, echoes datagrams on one."""

PROBE = """
import asyncio, json, socket, struct, sys

PATIENCE = 1.0

async def resolves(name):
    loop = asyncio.get_running_loop()
    try:
        return bool(await loop.getaddrinfo(name, 1, family=socket.AF_INET6))
    except socket.gaierror:
        return False

async def tcp(host, port):
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(host, port)
            # The program closes at once. Accepted by the proxy and reset is not reached.
            ended = await reader.read(1)
            writer.close()
            return ended == b""
    except (OSError, TimeoutError):
        return False

async def datagram(family, kind, protocol, data, host, port, answers):
    loop = asyncio.get_running_loop()
    with socket.socket(family, kind, protocol) as sock:
        sock.setblocking(False)
        try:
            sock.connect((host, port))
            sock.send(data)
            async with asyncio.timeout(PATIENCE):
                return answers(await loop.sock_recv(sock, 512))
        except (OSError, TimeoutError):
            return False

def family(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET

async def udp(host, port):
    same = lambda reply: reply == b"hello"
    return await datagram(family(host), socket.SOCK_DGRAM, 0, b"hello", host, port, same)

async def ping(host):
    six = ":" in host
    body = struct.pack("!BBHHH", 128 if six else 8, 0, 0, 0, 1)
    protocol = socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP
    reply = lambda data: data[0] == (129 if six else 0)
    return await datagram(family(host), socket.SOCK_DGRAM, protocol, body, host, 1, reply)

async def one(via, to, port, room):
    async with room:
        match via:
            case "flycast name" | "internal name":
                return await resolves(to)
            case "tcp":
                return await tcp(to, port)
            case "udp":
                return await udp(to, port)
            case _:
                return await ping(to)

async def main():
    room = asyncio.Semaphore(64)
    asked = json.load(sys.stdin)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(*item, room)) for item in asked]
    print(json.dumps([task.result() for task in tasks]))

asyncio.run(main())
"""
"""What a caller runs: reads what to try from stdin as [via, to, port], prints what was reached."""
