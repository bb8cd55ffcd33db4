"""What goes on when something is killed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.held import HeldConnection
from tests.support.rig import Caller, Rig, eventually
from tests.support.tomls import REDIS, tcp_app

pytestmark = pytest.mark.root


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


@pytest.fixture
def connection(caller: Caller, kept: str) -> Iterator[HeldConnection]:
    made = HeldConnection(caller, caller.rig.address("kept"))
    yield made
    made.close()


def test_daemon_killed(rig: Rig, caller: Caller, kept: str, connection: HeldConnection) -> None:
    """kill -9 of the daemon: open and new connections go on, the next `up` adopts everything."""
    before, address = run_id(caller), rig.address("kept")
    rig.kill("daemon")
    assert "+PONG" == connection.ping()
    new = HeldConnection(caller, address)
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
