"""Real packets for network tests: pings, connections, and forged ones, from inside a namespace.

That something does *not* arrive is shown without waiting: a second, permitted exchange over the
same link (the fence) is completed after it, and packets of one link are handled in order.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import subprocess
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from roost.canary.wire import checksum
from tests.support.namespaces import inside, socket_inside

Address = IPv4Address | IPv6Address
Fence = Callable[[], Awaitable[None]]

_ETHERTYPE = {4: 0x0800, 6: 0x86DD}
ARP = 0x0806
_SECONDS = 10
ICMP6 = 58
TCP = 6
UDP = 17


def family_of(address: Address) -> socket.AddressFamily:
    """The socket family of an address."""
    return socket.AF_INET6 if address.version == 6 else socket.AF_INET


async def ping(netns: Path, target: Address, *, fence: Fence | None = None) -> bool:
    """Whether an echo request is answered; without a fence waits (10 s at most) for the answer."""
    kind, protocol = (128, socket.IPPROTO_ICMPV6) if target.version == 6 else (8, 1)
    with socket_inside(netns, family_of(target), socket.SOCK_DGRAM, protocol) as sock:
        body = struct.pack("!BBHHH", kind, 0, 0, 0, 1) + b"roost"
        if target.version == 4:
            body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
        try:
            sock.sendto(body, (str(target), 0))
            if fence is None:
                async with asyncio.timeout(_SECONDS):
                    await asyncio.get_running_loop().sock_recv(sock, 512)
                return True
            await fence()
            return bool(sock.recv(512))
        except (OSError, TimeoutError):
            return False


def fence_by_ping(netns: Path, target: Address) -> Fence:
    """A fence: two answered pings from `netns` to a target it may ping."""

    async def fence() -> None:
        for _ in range(2):
            assert await ping(netns, target)

    return fence


async def connects(netns: Path, target: Address, port: int, *, fence: Fence | None = None) -> bool:
    """Whether a TCP connection opens; without a fence waits (10 s at most) for it."""
    with socket_inside(netns, family_of(target), socket.SOCK_STREAM) as sock:
        if fence is None:
            try:
                async with asyncio.timeout(_SECONDS):
                    await asyncio.get_running_loop().sock_connect(sock, (str(target), port))
            except (OSError, TimeoutError):
                return False
            return True
        sock.connect_ex((str(target), port))
        await fence()
        try:
            sock.getpeername()
        except OSError:
            return False
        return True


async def source_seen(netns: Path, target: Address, port: int, listener: socket.socket) -> Address:
    """The source address that a listener sees of a connection opened from `netns`."""
    loop = asyncio.get_running_loop()
    with socket_inside(netns, family_of(target), socket.SOCK_STREAM) as sock:
        async with asyncio.timeout(_SECONDS):
            await loop.sock_connect(sock, (str(target), port))
            accepted, peer = await loop.sock_accept(listener)
        accepted.close()
    return ip_address(str(peer[0]).removeprefix("::ffff:"))


def listen(
    netns: Path, port: int, *, kind: socket.SocketKind = socket.SOCK_STREAM
) -> socket.socket:
    """A socket bound to [::]:port (IPv4 too) inside a namespace, listening if it can."""
    sock = socket_inside(netns, socket.AF_INET6, kind)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("::", port))
    if kind == socket.SOCK_STREAM:
        sock.listen()
    return sock


def capture(netns: Path, link: str, *, ethertype: int = _ETHERTYPE[4]) -> socket.socket:
    """A socket that sees every packet (IPv4) coming in over a link, before any filter."""
    sock = socket_inside(netns, socket.AF_PACKET, socket.SOCK_DGRAM)
    sock.bind((link, ethertype))
    return sock


def arrived(sock: socket.socket) -> list[bytes]:
    """All datagrams (at most 2,000 bytes each) that wait in a non-blocking socket."""
    found = []
    while True:
        try:
            found.append(sock.recv(2000))
        except BlockingIOError:
            return found


async def send_frame(
    netns: Path, packet: bytes, *, mac: bytes | None = None, ethertype: int | None = None
) -> None:
    """Put a packet on a Machine's eth0 as it is, past the Machine's own IP stack.

    Without `mac` it goes to the router's link-layer address; without `ethertype` it is IP.
    """
    target = mac or await inside(netns, _router_mac)
    kind = ethertype or _ETHERTYPE[packet[0] >> 4]

    def send() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as sock:
            sock.sendto(packet, ("eth0", kind, 0, 0, target))

    await inside(netns, send)


def _router_mac() -> bytes:
    shown = subprocess.run(
        ["ip", "-j", "neigh", "show", "dev", "eth0"], capture_output=True, check=True
    )
    return bytes.fromhex(json.loads(shown.stdout)[0]["lladdr"].replace(":", ""))


def udp(source: Address, target: Address, port: int, payload: bytes) -> bytes:
    """A whole IP packet with one UDP datagram; the source may be anybody's."""
    head = struct.pack("!HHHH", 4000, port, 8 + len(payload), 0)
    return _ip(source, target, UDP, _summed(source, target, UDP, head + payload, 6))


def tcp_ack(source: Address, target: Address, port: int, sequence: int) -> bytes:
    """A whole IP packet with a TCP segment that belongs to no connection (ACK only)."""
    head = struct.pack("!HHIIBBHHH", 4000, port, sequence, 1, 5 << 4, 0x10, 1000, 0, 0)
    return _ip(source, target, TCP, _summed(source, target, TCP, head, 16))


def router_advertisement(source: IPv6Address) -> bytes:
    """A whole packet that announces its sender as default router for half an hour."""
    target = IPv6Address("ff02::1")
    body = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
    return _ip(source, target, ICMP6, _summed(source, target, ICMP6, body, 2), hops=255)


def _summed(source: Address, target: Address, protocol: int, body: bytes, at: int) -> bytes:
    pseudo = source.packed + target.packed
    pseudo += struct.pack("!IHBB", len(body), 0, 0, protocol)
    return body[:at] + struct.pack("!H", checksum(pseudo + body)) + body[at + 2 :]


def _ip(source: Address, target: Address, protocol: int, body: bytes, *, hops: int = 64) -> bytes:
    if source.version == 6:
        head = struct.pack("!IHBB", 6 << 28, len(body), protocol, hops)
        return head + source.packed + target.packed + body
    number = os.getpid() & 0xFFFF
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), number, 0, hops, protocol, 0)
    head += source.packed + target.packed
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body
