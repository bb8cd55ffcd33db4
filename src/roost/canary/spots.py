"""The sockets with which a spot is shot from and watched. Each blocks for microseconds only.

They are made in the network namespace of the calling thread, and stay in it.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv6Address

from roost.canary import wire
from roost.canary.shots import Towards

_EVERYTHING, _IP4, _IP6, _ARP = 0x0003, 0x0800, 0x86DD, 0x0806
_SOL_PACKET, _IGNORE_OUTGOING, _ATTACH_FILTER, _OUTGOING = 263, 23, 26, 4
_MOST = 5000
"""Packets read at once from one spot: a bound, far above what a run can cause."""
_MACS = {Towards.ALL_NODES: b"\x33\x33\0\0\0\x01", Towards.EVERYBODY: b"\xff" * 6}
_LOAD_BYTE, _LOAD_HALF, _LOAD_WORD, _AND, _IF_EQUAL, _RETURN = 0x30, 0x28, 0x20, 0x54, 0x15, 0x06
_TAGGED = (
    (_LOAD_BYTE, 0, 0, 0),
    (_AND, 0, 0, 0xF0),
    (_IF_EQUAL, 0, 2, 0x40),
    (_LOAD_HALF, 0, 0, 4),
    (_IF_EQUAL, 4, 5, wire.TAG),
    (_IF_EQUAL, 0, 4, 0x60),
    (_LOAD_WORD, 0, 0, 0),
    (_AND, 0, 0, 0xFFFFF),
    (_IF_EQUAL, 0, 1, wire.TAG),
    (_RETURN, 0, 0, 2000),
    (_RETURN, 0, 0, 0),
)
"""Classic BPF: IPv4 or IPv6 packets with our tag; costs a busy link next to nothing."""

Seen = tuple[wire.Packet, bytes]
"""A packet and all bytes of it, in which a mark may be."""


class LinkWatch:
    """Sees what comes in over a link, before any filter, and puts packets on it as they are, past
    the namespace's own network stack.

    `tagged`: it sees packets of canaries only. `neighbour` is the other end's link-layer address.
    One socket for both, because closing one makes the kernel wait for some 15 ms.
    """

    def __init__(self, link: str, *, neighbour: bytes, tagged: bool) -> None:
        self._link = link
        self._neighbour = neighbour
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, 0)
        self._socket.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        if tagged:
            _attach_filter(self._socket)
        self._socket.bind((link, _EVERYTHING))

    def send(self, data: bytes, protocol: int, towards: Towards) -> None:
        """Send one packet. Raises OSError when the link is down or gone."""
        ethertype = _ARP if protocol == wire.ARP else _IP4 if data[0] >> 4 == 4 else _IP6
        mac = _MACS.get(towards, self._neighbour)
        self._socket.sendto(data, (self._link, ethertype, 0, 0, mac))

    def seen(self) -> Iterator[Seen]:
        """What came since the last look."""
        for data, address in _all(self._socket):
            _link, ethertype, direction = address[:3]
            if direction == _OUTGOING:
                continue
            packet = wire.read_arp(data) if ethertype == _ARP else wire.read(data)
            if packet is not None:
                yield packet, data

    def close(self) -> None:
        """Watch no longer."""
        self._socket.close()


class StackWatch:
    """Sees the ICMP messages of both families that a namespace takes in, behind its filter."""

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
        self._four = socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP)
        self._six = socket.socket(socket.AF_INET6, kind, socket.IPPROTO_ICMPV6)

    def seen(self) -> Iterator[Seen]:
        """What came since the last look; IPv6 targets are not known and read as `::`."""
        for data, _ in _all(self._four):
            packet = wire.read(data)
            if packet is not None:
                yield packet, data
        for data, address in _all(self._six):
            if not data:
                continue
            source = IPv6Address(address[0].partition("%")[0])
            packet = wire.Packet(
                source=source, target=IPv6Address("::"), protocol=wire.ICMP6, kind=data[0]
            )
            yield packet, data

    def close(self) -> None:
        """Watch no longer."""
        self._four.close()
        self._six.close()


class Fence:
    """Shows that everything sent before has been handled: by a ping that is answered after it."""

    def __init__(self, target: IPv6Address, patience: float) -> None:
        kind = socket.SOCK_DGRAM
        self._socket = socket.socket(socket.AF_INET6, kind, socket.IPPROTO_ICMPV6)
        self._socket.settimeout(patience)
        self._broken = False
        self._target = (str(target), 0)

    def passed(self, rounds: int) -> bool:
        """Whether that many pings in a row were answered; one that was not is waited for once."""
        if self._broken:
            return False
        try:
            for number in range(rounds):
                body = struct.pack("!BBHHH", wire.ECHO6, 0, 0, 0, number)
                self._socket.sendto(body, self._target)
                self._socket.recv(200)
        except OSError:
            self._broken = True
        return not self._broken

    def close(self) -> None:
        """No more fences here."""
        self._socket.close()


def _all(sock: socket.socket) -> Iterator[tuple[bytes, tuple[str, int, int]]]:
    for _ in range(_MOST):
        try:
            yield sock.recvfrom(2000)
        except BlockingIOError:
            return
        except OSError:
            continue  # its link went down, which is told once; what it saw before is still there


def _attach_filter(sock: socket.socket) -> None:
    code = b"".join(struct.pack("=HBBI", *step) for step in _TAGGED)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("@HP", len(_TAGGED), ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)
