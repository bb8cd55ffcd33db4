"""Machines with health checks around a real proxy, for tests: servers whose answers a test sets."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.proxy_control import Control, Line, app, greeted, machine, network
from tests.support.proxy_world import FLYCAST, World, served

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SICK = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nsick"
GET = b"GET / HTTP/1.1\r\nHost: a.flycast\r\nConnection: close\r\n\r\n"
HTTP_PORT = {"port": 5000, "handlers": ["http"]}
LINGER_NONE = struct.pack("ii", 1, 0)


@dataclass
class Server:
    """What a Machine's program answers (None: a reset), and which requests it has seen."""

    name: str
    check: bytes = OK
    call: bytes | None = OK
    checks: int = 0
    calls: int = 0
    requests: list[bytes] = field(default_factory=list)
    hold: threading.Event | None = None
    """The connection stays open after an answer until this is set."""

    def serve(self, connection: socket.socket) -> None:
        """One request of one connection."""
        request = b""
        while b"\r\n\r\n" not in request:
            data = connection.recv(65536)
            if not data:
                return
            request += data
        is_check = b"roost-health-check" in request
        if is_check:
            self.checks += 1
            self.requests.append(request)
            answer: bytes | None = self.check
        else:
            self.calls += 1
            answer = self.call
        if answer is None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
            return
        connection.sendall(answer)
        if self.hold is not None:
            self.hold.wait()


def check(**more: Any) -> Line:
    """An HTTP check of port 7000 each 20 ms, unless ``more`` says otherwise."""
    return {
        "name": "web",
        "type": "http",
        "port": 7000,
        "interval_ms": 20,
        "timeout_ms": 5000,
        "grace_ms": 0,
        **more,
    }


class Checked:
    """App `a` on a proxy, with Machines that are made one by one."""

    def __init__(self, stack: contextlib.ExitStack, folder: Path, **settings: Any) -> None:
        self._stack = stack
        self.path = folder / "p.sock"
        self.world = World(stack)
        self.control: Control = greeted(stack, self.path, **settings)
        self.control.put("network", self.network)
        self.control.put("app", self.app)

    @property
    def network(self) -> Line:
        """The network's value."""
        return network(str(self.world.router))

    @property
    def app(self) -> Line:
        """The app's value."""
        return app("a", f"{FLYCAST}1")

    def serve(self, name: str) -> tuple[Server, str]:
        """A server in a namespace of its own, and the address of the Machine that it stands for."""
        address, inside = self.world.add_machine()
        server = Server(name)
        self._stack.enter_context(served(self.world.listen(inside), server.serve))
        return server, address

    def machine(self, name: str, address: str, state: str = "started", **more: Any) -> Line:
        """A Machine with one HTTP check, on an HTTP port; put at once."""
        more.setdefault("port", HTTP_PORT)
        more.setdefault("service_checks", [check()])
        value = machine(name, "a", address, state, **more)
        self.control.put("machine", value)
        return value

    def result(self, machine: str, status: str, name: str = "web") -> Line:
        """Waits for a check's result that was run, and gives it."""

        def fits(one: Line) -> bool:
            return bool(one["name"] == name and one["status"] == status and one["output"])

        line = self.control.wait(
            lambda line: (
                line["ev"] == "checks"
                and line["machine"] == machine
                and any(map(fits, line["results"]))
            )
        )
        return next(one for one in line["results"] if fits(one))

    def get(self) -> bytes:
        """The answer to one request."""
        with self.world.call(1) as caller:
            caller.sendall(GET)
            answer = b""
            while data := caller.recv(65536):
                answer += data
        return answer
