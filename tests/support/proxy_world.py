"""A router namespace with Machines around it, for tests of the proxy; nothing on the host.

Each namespace is held by a small process and named by its /proc path, so it vanishes with it.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from roost.network import sysctl
from roost.network.netlink import Conversation
from roost.network.steps import await_ready
from tests.support.namespaces import call_inside
from tests.support.proxy_control import DEADLINE_S

FLYCAST = "fdaa:0:1:0:1::"
MACHINES = "fdaa:0:1:0:2:0:"
"""What Machines' addresses begin with; two more groups follow."""
IPV6_FREEBIND = 78
INTERNAL_PORT = 7000


@contextlib.contextmanager
def namespace() -> Iterator[Path]:
    """A new network namespace with loopback up, until the block ends."""
    # As in a Machine: the kernel refuses datagrams as often as they come.
    script = (
        f"echo {sysctl.REFUSALS_UNBOUNDED} >/proc/sys/net/{sysctl.BOUNDED_ERRORS}"
        " && ip link set lo up && echo ready && exec cat"
    )
    command = ["unshare", "--net", "sh", "-c", script]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"ready\n"
            yield Path(f"/proc/{holder.pid}/ns/net")
        finally:
            holder.kill()


def ip(netns: Path, *lines: str) -> None:
    """Runs lines of `ip` inside a namespace."""
    command = ["nsenter", f"--net={netns}", "ip", "-batch", "-"]
    subprocess.run(command, input="\n".join(lines), text=True, check=True)


class World:
    """A network's router namespace, and one namespace per Machine."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._count = 0
        self.router = stack.enter_context(namespace())
        ip(
            self.router,
            f"route add local {FLYCAST}/80 dev lo",
            # Callers of the tests may be any Machine.
            f"route add local {MACHINES}0:0/80 dev lo",
            "addr add 172.16.0.1/32 dev lo",
        )

    def add_machine(self) -> tuple[str, Path]:
        """A Machine's IPv4 address and namespace, linked to the router."""
        self._count += 1
        address = f"172.16.0.{10 + self._count}"
        inside = self._stack.enter_context(namespace())
        pid = inside.parts[2]
        link = f"m{self._count}"
        ip(
            self.router,
            f"link add {link} type veth peer name eth0 netns {pid}",
            f"link set {link} up",
            f"route add {address}/32 dev {link} src 172.16.0.1",
        )
        ip(
            inside,
            f"addr add {address}/32 dev eth0",
            "link set eth0 up",
            "route add 172.16.0.1/32 dev eth0",
        )
        for netns, name in ((self.router, link), (inside, "eth0")):
            call_inside(netns, partial(_ready, name))
        return address, inside

    def call(self, host: int, port: int = 5000, *, source: str | None = None) -> socket.socket:
        """A connection inside the network, from ``source``, to the Flycast address ``host``."""

        def connect() -> socket.socket:
            caller = socket.socket(socket.AF_INET6)
            caller.settimeout(DEADLINE_S)
            if source is not None:
                caller.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
                caller.bind((source, 0))
            try:
                caller.connect((f"{FLYCAST}{host:x}", port))
            except BaseException:
                caller.close()
                raise
            return caller

        return call_inside(self.router, connect)

    def datagrams(self, *, source: str | None = None) -> socket.socket:
        """A UDP socket inside the network, at ``source``."""

        def make() -> socket.socket:
            caller = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            caller.settimeout(DEADLINE_S)
            caller.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
            caller.bind((source or "::", 0))
            return caller

        return call_inside(self.router, make)

    def bind(self, inside: Path, port: int, ip: str = "0.0.0.0") -> socket.socket:
        """A UDP socket inside a Machine."""

        def make() -> socket.socket:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.settimeout(DEADLINE_S)
            sock.bind((ip, port))
            return sock

        return call_inside(inside, make)

    def listen(self, inside: Path, port: int = INTERNAL_PORT) -> socket.socket:
        """A listening socket inside a Machine."""

        def make() -> socket.socket:
            listener = socket.create_server(("0.0.0.0", port), backlog=512)
            listener.settimeout(DEADLINE_S)
            return listener

        return call_inside(inside, make)


def _ready(link: str) -> None:
    with Conversation() as here:
        await_ready(here, link)


@contextlib.contextmanager
def served(listener: socket.socket, serve: Callable[[socket.socket], None]) -> Iterator[None]:
    """Runs ``serve`` in a thread for each connection accepted, until the block ends."""
    threads: list[threading.Thread] = []

    def one(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(DEADLINE_S)
            serve(connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threads.append(threading.Thread(target=one, args=(connection,)))
                threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        accepting.join()
        listener.close()
        for thread in threads:
            thread.join()


def echo(connection: socket.socket) -> None:
    """Sends back what comes, then ends."""
    while data := connection.recv(65536):
        connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


def read_all(connection: socket.socket) -> bytes:
    """Everything until the other side ends."""
    parts = []
    while data := connection.recv(65536):
        parts.append(data)
    return b"".join(parts)


@contextlib.contextmanager
def udp_echo(sock: socket.socket, prefix: bytes = b"") -> Iterator[list[tuple[bytes, object]]]:
    """Sends back what comes, after `prefix`, until the block ends; yields what came, and from
    where.
    """
    came: list[tuple[bytes, object]] = []
    end, ended = os.pipe()

    def run() -> None:
        while end not in select.select([sock.fileno(), end], [], [])[0]:
            data, peer = sock.recvfrom(65536)
            came.append((data, peer))
            sock.sendto(prefix + data, peer)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield came
    finally:
        os.close(ended)
        thread.join()
        os.close(end)
        sock.close()
