"""A real proxy between scripted HTTP peers: every byte on both sides is the test's own."""

from __future__ import annotations

import contextlib
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.namespaces import call_inside, drop_network, make_network
from tests.support.proxy_control import Control, app, machine, network, running_proxy

DEADLINE_S = 20.0
APP_IP = "fdaa:0:1:0:1::2"
CLIENT_IP = "fdaa:0:1:0:2:0:5:2"
MACHINE_IP = "127.0.0.2"
MACHINE_PORT = 7000


class Peer:
    """One end of a TCP connection. Blocks, at most ``DEADLINE_S`` seconds a call."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(DEADLINE_S)
        self.sock = sock
        self.buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def send(self, data: bytes | str) -> None:
        """Sends everything."""
        self.sock.sendall(data.encode() if isinstance(data, str) else data)

    def head(self) -> str:
        """The next head, with its empty line."""
        return self.until(b"\r\n\r\n").decode("latin-1")

    def until(self, mark: bytes) -> bytes:
        """All bytes up to and with ``mark``."""
        while mark not in self.buffer:
            self.more()
        end = self.buffer.index(mark) + len(mark)
        return self.take(end)

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        while len(self.buffer) < count:
            self.more()
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def rest(self) -> bytes:
        """All bytes until the other side closes; ConnectionResetError when it resets."""
        parts = [self.buffer]
        self.buffer = b""
        while data := self.sock.recv(1 << 16):
            parts.append(data)
        return b"".join(parts)

    def answer(self) -> tuple[str, bytes]:
        """The next response that has a Content-Length: head and body."""
        head = self.head()
        lengths = [
            line for line in head.lower().split("\r\n") if line.startswith("content-length:")
        ]
        return head, self.take(int(lengths[0].split(":")[1]))

    def close(self) -> None:
        """Closes."""
        self.sock.close()

    def reset(self) -> None:
        """Closes with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def more(self) -> None:
        """Reads what comes next; AssertionError at the end."""
        data = self.sock.recv(1 << 16)
        if not data:
            raise AssertionError(f"the connection ended after {self.buffer!r}")
        self.buffer += data


@dataclass(slots=True, kw_only=True)
class World:
    """A network with one app, one Machine played by the test, and the real proxy between."""

    netns: Path
    control: Control
    process: subprocess.Popen[bytes]
    listener: socket.socket
    open: list[Peer] = field(default_factory=list)

    def client(
        self,
        data: bytes | str = b"",
        *,
        to: str = APP_IP,
        port: int = 80,
        source: str | None = None,
        room: int | None = None,
    ) -> Peer:
        """A new connection to an app, with ``data`` sent on it, and ``room`` for what comes."""
        sock = call_inside(self.netns, lambda: socket.socket(socket.AF_INET6))
        if room is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        # Kept before it connects: one that is reset at once has to be closed too.
        peer = self.kept(sock)
        sock.bind((source or CLIENT_IP, 0))
        sock.connect((to, port))
        peer.send(data)
        return peer

    def accept(self) -> Peer:
        """The Machine's next connection."""
        return self.kept(self.listener.accept()[0])

    def add_address(self, address: str) -> None:
        """Another address to call from."""
        _inside(self.netns, "ip addr add", address, "dev lo nodad")

    def untouched(self) -> bool:
        """Whether no connection to the Machine waits to be accepted."""
        self.listener.setblocking(False)
        try:
            self.listener.accept()[0].close()
        except BlockingIOError:
            return True
        finally:
            self.listener.settimeout(DEADLINE_S)
        return False

    def peak_memory(self) -> int:
        """The most memory the proxy ever had resident, in bytes."""
        return self._status("VmHWM")

    def memory(self) -> int:
        """The memory that the proxy has resident, in bytes."""
        return self._status("VmRSS")

    def _status(self, name: str) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        line = next(line for line in status.splitlines() if line.startswith(f"{name}:"))
        return int(line.split()[1]) * 1024

    def queued(self, count: int) -> None:
        """Returns when ``count`` requests wait for a Machine."""
        self.counted("waiting", count)

    def counted(self, what: str, count: int) -> None:
        """Returns when the proxy counts ``count`` of something."""
        deadline = time.monotonic() + DEADLINE_S
        while self.control.call("stats")["stats"][what] != count:
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} is not {count}")

    def close(self) -> None:
        """Closes every connection."""
        for peer in self.open:
            peer.close()

    def kept(self, sock: socket.socket) -> Peer:
        """One end of a connection that is closed with the world."""
        peer = Peer(sock)
        self.open.append(peer)
        return peer


@contextlib.contextmanager
def http_world(
    folder: Path,
    *,
    settings: dict[str, Any] | None = None,
    limits: dict[str, Any] | None = None,
    port: dict[str, Any] | None = None,
    listening: bool = True,
    files: int | None = None,
    memory: int | None = None,
) -> Iterator[World]:
    """A world whose Machine has these limits and whose port 80 has these options; ``files`` and
    ``memory`` limit the proxy.
    """
    netns = make_network(folder / "net")
    with contextlib.ExitStack() as stack:
        stack.callback(drop_network, netns)
        _inside(netns, "ip addr add", CLIENT_IP, "dev lo nodad")
        _inside(netns, "ip route add local fdaa:0:1:0:1::/80 dev lo")
        listener = call_inside(netns, lambda: _listen(listening=listening))
        stack.enter_context(listener)
        running = running_proxy(folder / "control", threads=1, files=files, memory=memory)
        process = stack.enter_context(running)
        control = Control(folder / "control")
        stack.callback(control.close)
        control.hello(**(settings or {}))
        control.put("network", network(str(netns)))
        control.put("app", app("a", APP_IP))
        options = {"port": 80, "handlers": ["http"], **(port or {})}
        bounds = {"type": "requests", **(limits or {})}
        control.put("machine", machine("m1", "a", MACHINE_IP, port=options, limits=bounds))
        world = World(netns=netns, control=control, process=process, listener=listener)
        stack.callback(world.close)
        yield world


def get(path: str = "/", fields: str = "") -> str:
    """A GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: a.flycast\r\n{fields}\r\n"


def post(fields: str, body: str = "") -> str:
    """A POST request."""
    return f"POST / HTTP/1.1\r\nHost: a.flycast\r\n{fields}\r\n{body}"


def ok(body: str = "", fields: str = "") -> str:
    """A response with a Content-Length."""
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{fields}\r\n{body}"


def _listen(*, listening: bool) -> socket.socket:
    sock = socket.socket(socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((MACHINE_IP, MACHINE_PORT))
    if listening:
        sock.listen(64)
    sock.settimeout(DEADLINE_S)
    return sock


def _inside(netns: Path, *words: str) -> None:
    def run() -> None:
        subprocess.run([*" ".join(words).replace("ip ", "ip -6 ", 1).split()], check=True)

    call_inside(netns, run)
