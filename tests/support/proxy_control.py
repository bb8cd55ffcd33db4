"""A small agent for tests of the proxy: speaks protocol/control.md over the real socket."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

DEADLINE_S = 20.0
ROOT = Path(__file__).resolve().parents[2]

Line = dict[str, Any]


class ControlError(AssertionError):
    """The proxy did not say in time what the test waits for, or refused a message."""


class Control:
    """One connection to a proxy's control socket. Blocks, at most ``DEADLINE_S`` seconds a call."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(DEADLINE_S)
        self._socket.connect(str(path))
        self._buffer = b""
        self._seq = 0
        self.events: list[Line] = []
        self.greeting = self._read(time.monotonic() + DEADLINE_S)

    def close(self) -> None:
        """Goes away, as a killed agent would."""
        self._socket.close()

    def send(self, op: str, **fields: Any) -> int:
        """Sends one message and gives its number."""
        self._seq += 1
        line = json.dumps({"seq": self._seq, "op": op, **fields})
        # When the proxy has closed, reading tells so.
        with contextlib.suppress(ConnectionError):
            self._socket.sendall(line.encode() + b"\n")
        return self._seq

    def send_raw(self, line: bytes) -> None:
        """Sends bytes as they are."""
        self._socket.sendall(line)

    def ack(self, seq: int) -> Line:
        """The answer to one message."""
        return self.wait(lambda line: line["ev"] == "ack" and line["seq"] == seq)

    def call(self, op: str, **fields: Any) -> Line:
        """Sends one message, waits for its answer; raises ControlError when it was not taken."""
        answer = self.ack(self.send(op, **fields))
        if "error" in answer:
            raise ControlError(str(answer["error"]))
        return answer

    def wait(self, wanted: Callable[[Line], bool]) -> Line:
        """Takes the first event that fits, waiting for it at most ``DEADLINE_S`` seconds."""
        deadline = time.monotonic() + DEADLINE_S
        for at, line in enumerate(self.events):
            if wanted(line):
                return self.events.pop(at)
        while True:
            line = self._read(deadline)
            if wanted(line):
                return line
            self.events.append(line)

    def event(self, ev: str, **fields: Any) -> Line:
        """Takes the first event of a kind whose fields have these values."""
        return self.wait(
            lambda line: line["ev"] == ev and all(line.get(k) == v for k, v in fields.items())
        )

    def hello(self, **settings: Any) -> None:
        """Says hello with these settings."""
        self.call("hello", protocol=1, region="local", settings=settings)

    def put(self, kind: str, value: Line) -> None:
        """Puts one thing; every worker has done its part when this returns."""
        self.call("put", kind=kind, value=value)

    def _read(self, deadline: float) -> Line:
        while b"\n" not in self._buffer:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                raise ControlError(f"nothing fitted in time; seen: {self.events}") from None
            except ConnectionError:
                data = b""
            if not data:
                raise ControlError("the proxy closed the control connection")
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        parsed: Line = json.loads(line)
        return parsed


def greeted(
    stack: contextlib.ExitStack, path: Path, files: int | None = None, **settings: Any
) -> Control:
    """Starts a proxy and says hello to it with these settings; both end with the stack."""
    stack.enter_context(running_proxy(path, files=files))
    control = Control(path)
    stack.callback(control.close)
    control.hello(**settings)
    return control


def proxy_binary() -> Path:
    """The newest built proxy; raises ControlError when there is none."""
    chosen = os.environ.get("ROOST_PROXY_BIN")
    if chosen is not None:
        return Path(chosen)
    built = [ROOT / "target" / kind / "roost-proxy" for kind in ("release", "debug")]
    there = [path for path in built if path.exists()]
    if not there:
        raise ControlError("no proxy is built: run `cargo build --release -p roost-proxy`")
    return max(there, key=lambda path: path.stat().st_mtime)


@contextlib.contextmanager
def running_proxy(
    path: Path,
    *,
    threads: int = 2,
    stderr: int | None = None,
    files: int | None = None,
    memory: int | None = None,
    standby: bool = False,
) -> Iterator[subprocess.Popen[bytes]]:
    """A proxy with its control socket at ``path``, killed at the end; ``stderr`` as in Popen,
    ``files`` limits its open files, ``memory`` its bytes of data, ``standby`` has it wait for
    `take_over`.
    """
    command = [str(proxy_binary()), "--control", str(path), "--threads", str(threads)]
    if standby:
        command.append("--standby")
    if files is not None:
        command = ["prlimit", f"--nofile={files}:{files}", *command]
    if memory is not None:
        command = ["prlimit", f"--data={memory}:{memory}", *command]
    with subprocess.Popen(command, stderr=stderr) as process:
        try:
            deadline = time.monotonic() + DEADLINE_S
            while not _listens(path):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise ControlError("the proxy does not listen on its control socket")
            yield process
        finally:
            process.kill()


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def network(netns: str | None, *, number: int = 1) -> Line:
    """A network's value."""
    return {
        "id": str(number),
        "name": f"net-{number}",
        "org": "personal",
        "prefix": f"fdaa:0:{number:x}::/48",
        "netns": netns,
    }


def app(name: str, address: str, *, number: int = 1) -> Line:
    """An app's value with one Flycast address on its own network."""
    return app_at(name, [{"network": str(number), "ip": address}], network=str(number))


def app_at(name: str, addresses: list[Line], **more: Any) -> Line:
    """An app's value with any addresses, on network 1 unless ``more`` says otherwise."""
    return {
        "id": name,
        "org": "personal",
        "network": "1",
        "addresses": addresses,
        **more,
    }


def public_network(netns: str) -> Line:
    """The value of a network whose callers come from outside; its id is ``public``."""
    return {
        "id": "public",
        "name": "public",
        "org": "",
        "prefix": "",
        "netns": netns,
        "public": True,
    }


def machine(name: str, of: str, ip4: str, state: str = "started", **more: Any) -> Line:
    """A Machine's value: port 5000 raw to 7000, unless ``port`` or others say otherwise."""
    limits = more.pop("limits", {})
    port = more.pop("port", {"port": 5000, "handlers": []})
    ports = more.pop("ports", [port])
    autostart = more.pop("autostart", True)
    allowed = more.pop("allowed_apps", None)
    checks = more.pop("service_checks", [])
    service = {
        "protocol": "tcp",
        "internal_port": 7000,
        "ports": ports,
        "autostart": autostart,
        "concurrency": {"type": "connections", **limits},
        "allowed_apps": allowed,
        "checks": checks,
    }
    value = {
        "id": name,
        "app": of,
        "network": "1",
        "region": "local",
        "instance": "01J",
        "state": state,
        "ip6": None,
        "ip4": ip4,
        "startable": True,
        "services": [service],
    }
    return {**value, **more}
