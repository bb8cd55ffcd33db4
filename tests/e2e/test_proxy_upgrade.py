"""`roost proxy upgrade`, with the daemon, under open connections."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

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


@pytest.fixture
def connection(caller: Caller, kept: str) -> Iterator[HeldConnection]:
    made = HeldConnection(caller, caller.rig.address("kept"))
    assert "+PONG" == made.ping()
    yield made
    made.close()


def proxies(rig: Rig) -> list[dict[str, Any]]:
    """The proxy processes, the serving one first."""
    found: list[dict[str, Any]] = rig.json("proxy", "status")
    return found


def alone(rig: Rig) -> None:
    """Returns when no old process is left."""
    eventually(lambda: len(proxies(rig)) == 1, "the old proxy to leave")


def serves(caller: Caller) -> bool:
    """Whether a new connection is served."""
    return caller.run("redis-cli", "-h", "kept.flycast", "ping").out == "PONG\n"


def test_upgrade(rig: Rig, caller: Caller, connection: HeldConnection) -> None:
    """A new process takes over; open connections go on in the old one until they end, also when
    the daemon is killed meanwhile.
    """
    alone(rig)
    before = proxies(rig)[0]["pid"]
    done = rig.json("proxy", "upgrade", "--drain", "10m")
    assert done["before"]["pid"] == before
    assert done["sockets"] > 0
    assert "+PONG" == connection.ping()
    assert serves(caller)
    now, old = proxies(rig)
    assert (now["pid"], now["role"]) == (done["after"]["pid"], "serving")
    assert (old["pid"], old["role"], old["connections"]) == (before, "draining", 1)
    assert 0 < old["left_ms"] <= 600_000
    rig.kill("daemon")
    rig.up()
    eventually(lambda: [one["pid"] for one in proxies(rig)] == [now["pid"], before], "both")
    assert "+PONG" == connection.ping()
    connection.close()
    alone(rig)
    assert serves(caller)


def test_new_proxy_killed(rig: Rig, caller: Caller, connection: HeldConnection) -> None:
    """kill -9 of the one that took over: another serves, and the old one's connections go on."""
    alone(rig)
    done = rig.json("proxy", "upgrade")
    os.kill(done["after"]["pid"], signal.SIGKILL)
    assert "+PONG" == connection.ping()
    eventually(lambda: proxies(rig)[0]["pid"] not in (0, done["after"]["pid"]), "a third proxy")
    eventually(lambda: serves(caller), "the third proxy to serve")
    assert "+PONG" == connection.ping()
    assert [one["role"] for one in proxies(rig)] == ["serving", "draining"]


def test_new_proxy_killed_while_the_daemon_is_away(
    rig: Rig, caller: Caller, connection: HeldConnection
) -> None:
    """The next daemon finds only an old process: another serves, and its connections go on."""
    alone(rig)
    done = rig.json("proxy", "upgrade")
    rig.kill("daemon")
    os.kill(done["after"]["pid"], signal.SIGKILL)
    rig.up()
    eventually(lambda: serves(caller), "another proxy to serve")
    assert "+PONG" == connection.ping()
    assert [one["role"] for one in proxies(rig)] == ["serving", "draining"]


def test_at_most_four(rig: Rig, caller: Caller, kept: str) -> None:
    """A fifth process is refused with the reason, until one of the old ones has ended; `down` ends
    them all.
    """
    alone(rig)
    address = rig.address("kept")
    with contextlib.ExitStack() as stack:
        opened = []
        for _ in range(3):
            opened.append(HeldConnection(caller, address))
            stack.callback(opened[-1].close)
            rig.ok("proxy", "upgrade")
        refused = rig.cli("proxy", "upgrade")
        assert refused.code != 0
        assert "4 proxies run, and the old ones still have connections: pid" in refused.err
        assert ["+PONG"] * 3 == [one.ping() for one in opened]
        opened[1].close()
        eventually(lambda: len(proxies(rig)) == 3, "an old proxy to leave")
        rig.ok("proxy", "upgrade")
        assert "+PONG" == opened[0].ping() == opened[2].ping()
        rig.ok("down")
        assert [] == rig.leftovers()
