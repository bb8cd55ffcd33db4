"""Attempts that need real sockets: connections out of a router, DNS, abstract Unix sockets.

All are made in the calling thread's network namespace and block, for as long as told at most.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address

from roost.canary.base import Name
from roost.canary.wire import TCP, Address, Packet

_DNS = 53
_AAAA, _INTERNET = 28, 1
_NXDOMAIN = 3
_REACHED = frozenset({0, errno.ECONNREFUSED})


@dataclass(frozen=True, slots=True)
class Reached:
    """How a connection attempt went: whether its target answered, and its two ends."""

    ok: bool
    packet: Packet | None


class Connecting:
    """A connection that is being opened, from here on without blocking."""

    def __init__(self, target: Address, port: int) -> None:
        family = socket.AF_INET6 if target.version == 6 else socket.AF_INET
        self._target, self._port = target, port
        self._socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._status = self._socket.connect_ex((str(target), port))
        self._packet = self._ends()

    def finish(self, until: float) -> Reached:
        """Wait for its end, at most until a moment of the monotonic clock. Once."""
        with self._socket:
            if self._status == errno.EINPROGRESS:
                wait = max(0.0, until - time.monotonic())
                if select.select([], [self._socket], [], wait)[1]:
                    self._status = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            return Reached(self._status in _REACHED, self._packet)

    def _ends(self) -> Packet | None:
        host, port = self._socket.getsockname()[:2]
        if not port:
            return None
        source = type(self._target)(host)
        return Packet(
            source=source, target=self._target, protocol=TCP, sport=port, dport=self._port
        )


def ask(server: IPv6Address, names: Iterable[Name], patience: float) -> Mapping[str, bool | None]:
    """Ask a DNS server for the AAAA records of names: whether each exists, None: no answer.

    `patience` in seconds is for all of them together.
    """
    asked = {number: name.text for number, name in enumerate(names)}
    found: dict[str, bool | None] = dict.fromkeys(asked.values())
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.connect((str(server), _DNS))
        until = time.monotonic() + patience
        try:
            for number, text in asked.items():
                sock.send(query(number, text))
            while None in found.values():
                sock.settimeout(max(0.001, until - time.monotonic()))
                number, exists = read_reply(sock.recv(4096))
                if number in asked:
                    found[asked[number]] = exists
        except OSError:
            pass  # those without an answer say so
    return found


def query(number: int, name: str) -> bytes:
    """A DNS query for the AAAA records of a name."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    head = struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0)
    return head + labels + struct.pack("!BHH", 0, _AAAA, _INTERNET)


def read_reply(data: bytes) -> tuple[int, bool | None]:
    """The number of a DNS reply, and whether it says that the name exists (None: an error)."""
    if len(data) < 12:
        return -1, None
    number, flags = struct.unpack_from("!HH", data)
    code = flags & 15
    return number, {0: True, _NXDOMAIN: False}.get(code)


def abstract_listener(name: str) -> socket.socket:
    """A listening abstract Unix socket."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(f"\0{name}")
    sock.listen()
    return sock


def abstract_connects(name: str) -> bool:
    """Whether an abstract Unix socket is reached from here."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        return sock.connect_ex(f"\0{name}") == 0


def loopback_connects(port: int) -> bool:
    """Whether something listens on a TCP port of the namespace's loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0
