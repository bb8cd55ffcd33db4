"""Private networks with a real roost-proxy to ask, and a resolver for it to ask in turn."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import dns.message
import dns.query
import dns.rrset

from tests.support.namespaces import call_inside, drop_network, inside, make_network, run_inside
from tests.support.proxy_control import Control, running_proxy

COMMON = "fdaa::3"
PATIENCE = 10.0

Answerer = Callable[[dns.message.Message, str], Sequence[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsNetwork:
    """One private network: its id and the namespace in which its Machines ask."""

    id: int
    netns: Path

    @property
    def server(self) -> str:
        """The network's own DNS address."""
        return f"fdaa:0:{self.id:x}::3"

    async def ask(
        self, name: str, kind: str = "AAAA", *, tcp: bool = False, server: str = COMMON
    ) -> dns.message.Message:
        """Ask as a Machine would, over UDP without EDNS, or over TCP; the reply is checked."""
        return await self.send(dns.message.make_query(name, kind), tcp=tcp, server=server)

    async def send(
        self, query: dns.message.Message, *, tcp: bool = False, server: str = COMMON
    ) -> dns.message.Message:
        """Send a query; the reply's id, question and source address are checked."""
        exchange = dns.query.tcp if tcp else dns.query.udp
        return await inside(self.netns, lambda: exchange(query, server, timeout=PATIENCE))

    async def raw(self, message: bytes) -> bytes:
        """Send a datagram of any bytes; the reply's bytes."""

        def exchange() -> bytes:
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
                sock.settimeout(PATIENCE)
                sock.connect((COMMON, 53))
                sock.send(message)
                return sock.recv(65535)

        return await inside(self.netns, exchange)

    def connect(self) -> socket.socket:
        """An open TCP connection to the server."""
        return call_inside(
            self.netns, lambda: socket.create_connection((COMMON, 53), timeout=PATIENCE)
        )

    async def dig(self, *words: str) -> str:
        """What `dig` prints."""
        done = await run_inside(self.netns, ["dig", f"@{COMMON}", "+time=10", "+tries=1", *words])
        return done.stdout.decode()


@dataclass(slots=True, kw_only=True)
class Upstream:
    """A resolver of the host whose answers a test decides; it remembers what it was asked."""

    port: int
    udp_queries: list[bytes] = field(default_factory=list)
    udp_ports: list[int] = field(default_factory=list)
    tcp_queries: list[bytes] = field(default_factory=list)

    @property
    def setting(self) -> str:
        """As the proxy's settings name it."""
        return f"127.0.0.1#{self.port}"


@dataclass(slots=True, kw_only=True)
class DnsWorld:
    """A running proxy and how to tell it things."""

    control: Control
    folder: Path
    stack: AsyncExitStack

    async def network(self, number: int) -> DnsNetwork:
        """A network whose namespace has its two DNS addresses; ready to be asked."""
        path = make_network(self.folder / f"net{number}")
        self.stack.callback(drop_network, path)
        network = DnsNetwork(id=number, netns=path)
        for address in (COMMON, network.server):
            argv = ["ip", "-6", "address", "add", f"{address}/128", "dev", "lo", "nodad"]
            assert (await run_inside(path, argv)).returncode == 0
            await _settled(path, address)
        self.put(
            "network",
            id=str(number),
            name=f"net{number}",
            org="personal",
            prefix=f"fdaa:0:{number:x}::/48",
            netns=str(path),
        )
        return network

    def app(self, name: str, network: int, *addresses: tuple[int, str]) -> None:
        """An app on `network`, with Flycast addresses (network, address)."""
        given = [{"network": str(net), "ip": ip} for net, ip in addresses]
        self.put("app", id=name, org="personal", network=str(network), addresses=given)

    def machine(
        self,
        number: int,
        app: str,
        network: int = 1,
        *,
        region: str = "local",
        state: str = "started",
        group: str = "app",
        dns: bool = True,
        metadata: Mapping[str, str] | None = None,
    ) -> str:
        """A Machine; its id is the number in hexadecimal, its address ends in `number:2`."""
        machine = f"{number:014x}"
        self.put(
            "machine",
            id=machine,
            app=app,
            network=str(network),
            region=region,
            instance="01J",
            state=state,
            ip6=address_of(number, network),
            ip4=None,
            cordoned=False,
            startable=True,
            dns=dns,
            group=group,
            metadata=dict(metadata or {}),
            services=[],
        )
        return machine

    def put(self, kind: str, **value: object) -> None:
        """Tell the proxy of one thing and wait until it has taken it."""
        self.control.put(kind, value)


def address_of(number: int, network: int = 1) -> str:
    """The 6PN address of a Machine of this world."""
    return f"fdaa:0:{network:x}:0:2:0:{number:x}:2"


def addresses(reply: dns.message.Message) -> list[str]:
    """The addresses of a reply, in the order they came."""
    return [item.address for rrset in reply.answer for item in rrset]


def text(reply: dns.message.Message) -> str:
    """The one logical string of a TXT reply."""
    (rrset,) = reply.answer
    (record,) = rrset
    return b"".join(record.strings).decode()


async def _settled(netns: Path, address: str) -> None:
    """Return once an address just added is routed to.

    The kernel does the last step of adding an IPv6 address in the background, and drops what is
    sent there until then.
    """
    async with asyncio.timeout(PATIENCE):
        while True:
            route = await run_inside(netns, ["ip", "-6", "route", "get", address])
            tentative = await run_inside(netns, ["ip", "-6", "address", "show", "tentative"])
            if route.stdout.startswith(b"local ") and not tentative.stdout:
                return


@asynccontextmanager
async def dns_world(folder: Path, *, resolvers: Sequence[str] = ()) -> AsyncIterator[DnsWorld]:
    """A proxy in region `local` that asks `resolvers`, ended at the end with all its networks."""
    async with AsyncExitStack() as stack:
        path = folder / "control.sock"
        stack.enter_context(running_proxy(path))
        control = Control(path)
        stack.callback(control.close)
        control.hello(resolvers=list(resolvers))
        yield DnsWorld(control=control, folder=folder, stack=stack)


@asynccontextmanager
async def upstream(answer: Answerer) -> AsyncIterator[Upstream]:
    """A resolver on loopback, over UDP and TCP.

    `answer` gets the query and `udp` or `tcp` and gives the messages to send, in order.
    """
    server = await asyncio.start_server(lambda r, w: _converse(r, w, known, answer), "127.0.0.1", 0)
    known = Upstream(port=server.sockets[0].getsockname()[1])
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Datagrams(known, answer), local_addr=("127.0.0.1", known.port)
    )
    try:
        yield known
    finally:
        transport.close()
        server.close()
        await server.wait_closed()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, known: Upstream, answer: Answerer) -> None:
        self._known = known
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._known.udp_queries.append(data)
        self._known.udp_ports.append(addr[1])
        for message in self._answer(dns.message.from_wire(data), "udp"):
            self._transport.sendto(message, addr)


async def _converse(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    known: Upstream,
    answer: Answerer,
) -> None:
    (length,) = struct.unpack("!H", await reader.readexactly(2))
    query = await reader.readexactly(length)
    known.tcp_queries.append(query)
    for message in answer(dns.message.from_wire(query), "tcp"):
        writer.write(struct.pack("!H", len(message)) + message)
    await writer.drain()
    writer.close()
    await writer.wait_closed()


def answer_a(query: dns.message.Message, *items: str) -> dns.message.Message:
    """An answer with A records."""
    reply = dns.message.make_response(query, recursion_available=True)
    name = query.question[0].name
    reply.answer.append(dns.rrset.from_text(name, 60, "IN", "A", *items))
    return reply
