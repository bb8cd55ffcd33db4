"""What goes on when something is killed."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.support.rig import Caller, Rig, eventually
from tests.support.tomls import REDIS, tcp_app

pytestmark = pytest.mark.root

ECHO = """
import socket, sys
s = socket.create_connection(("kept.flycast", 6379), timeout=20)
print("open", flush=True)
for line in sys.stdin:
    s.sendall(b"PING\\r\\n")
    print(s.recv(64).decode().strip(), flush=True)
"""


@pytest.fixture(scope="module")
def kept(rig: Rig, caller: Caller) -> str:
    """A redis app that stays awake; its Machine's id."""
    folder = rig.folder("kept", tcp_app("kept", REDIS, 6379))
    rig.ok("launch", "--copy-config", "--flycast", "--ha=false", "--yes", cwd=folder)
    assert "PONG\n" == caller.run("redis-cli", "-h", "kept.flycast", "ping").out
    return rig.wait("kept", "started")


def run_id(caller: Caller) -> str:
    """What redis calls this very run of itself; "" while it does not answer."""
    done = caller.run("redis-cli", "-h", "kept.flycast", "info", "server")
    found = [line for line in done.out.splitlines() if line.startswith("run_id:")]
    return found[0] if found else ""


class OpenConnection:
    """A connection held by a Machine's program; `ping` uses it."""

    def __init__(self, caller: Caller, address: str) -> None:
        script = ECHO.replace("kept.flycast", address)
        self.process = caller.popen(sys.executable, "-c", script)
        assert self.process.stdout is not None
        assert "open\n" == self.process.stdout.readline()

    def ping(self) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("x\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def connection(caller: Caller, kept: str) -> Iterator[OpenConnection]:
    made = OpenConnection(caller, caller.rig.address("kept"))
    yield made
    made.close()


def test_daemon_killed(rig: Rig, caller: Caller, kept: str, connection: OpenConnection) -> None:
    """kill -9 of the daemon: open and new connections go on, the next `up` adopts everything."""
    before, address = run_id(caller), rig.address("kept")
    rig.kill("daemon")
    assert "+PONG" == connection.ping()
    new = OpenConnection(caller, address)
    assert "+PONG" == new.ping()
    new.close()
    assert "no Roost is running" in rig.cli("apps", "list").err
    rig.up()
    rig.wait("kept", "started", kept)
    assert before == run_id(caller)
    assert "+PONG" == connection.ping()


def test_proxy_killed(rig: Rig, caller: Caller, kept: str) -> None:
    """kill -9 of the proxy: a new one serves, and the Machine's program is untouched."""
    before, old = run_id(caller), rig.pid("proxy")
    rig.kill("proxy")
    eventually(lambda: rig.pid("proxy") != old, "a new proxy")
    eventually(lambda: run_id(caller) == before, "the new proxy to serve the same program")
    assert "started" == rig.call("GET", f"/v1/apps/kept/machines/{kept}")["state"]


def test_program_killed(rig: Rig, caller: Caller, kept: str) -> None:
    """kill -9 of a Machine's program: its restart policy starts it again and the exit is told."""
    before = run_id(caller)
    rig.ok("machine", "exec", kept, "pkill -9 redis-server", "-a", "kept")
    eventually(lambda: run_id(caller) not in ("", before), "the restart")
    events = rig.call("GET", f"/v1/apps/kept/machines/{kept}")["events"]
    exits = [event for event in events if event["type"] == "exit"]
    assert 137 == exits[0]["request"]["exit_event"]["exit_code"]
