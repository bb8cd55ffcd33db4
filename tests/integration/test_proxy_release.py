"""Open connections when an app loses the address they came by, with the real proxy."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.h2_peer import H2Peer
from tests.support.http_peer import Peer, get, ok
from tests.support.proxy_control import (
    Control,
    Line,
    app_at,
    greeted,
    machine,
    network,
)
from tests.support.proxy_world import FLYCAST, World

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces, which needs root"),
]

PORTS = [{"port": 5000, "handlers": []}, {"port": 80, "handlers": ["http"]}]
LONG, SHORT = 600_000, 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A running proxy, an app with the addresses 2 and 3, and its one Machine's listener."""

    world: World
    control: Control
    listener: socket.socket
    stack: contextlib.ExitStack

    def connect(self, host: int, port: int) -> Peer:
        """A connection to an address of the app."""
        return self.stack.enter_context(Peer(self.world.call(host, port)))

    def accept(self) -> Peer:
        """The Machine's next connection."""
        return self.stack.enter_context(Peer(self.listener.accept()[0]))

    def talk(self, host: int = 2) -> tuple[Peer, Peer]:
        """A raw connection that carries bytes: the caller's end and the Machine's."""
        caller = self.connect(host, 5000)
        inside = self.accept()
        caller.send("x")
        assert inside.take(1) == b"x"
        return caller, inside

    def released(self) -> None:
        """Returns when the Machine has no load."""
        self.control.wait(
            lambda line: (
                line["ev"] == "load"
                and all(now == 0 for now, _ in line["machines"].get("m1", {}).values())
            )
        )


def an_app(hosts: list[int], drain_ms: int) -> Line:
    """The app `a` with these addresses."""
    addresses: list[Line] = [{"network": "1", "ip": f"{FLYCAST}{host:x}"} for host in hosts]
    return app_at("a", addresses, drain_ms=drain_ms)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with contextlib.ExitStack() as stack:
        world = World(stack)
        control = greeted(stack, tmp_path / "proxy.sock")
        control.put("network", network(str(world.router)))
        control.put("app", an_app([2, 3], LONG))
        address, inside = world.add_machine()
        limits = {"type": "requests"}
        control.put("machine", machine("m1", "a", address, ports=PORTS, limits=limits))
        listener = stack.enter_context(world.listen(inside))
        peers = stack.enter_context(contextlib.ExitStack())
        yield Stage(world=world, control=control, listener=listener, stack=peers)


def expect_reset(peer: Peer) -> None:
    """The connection is reset, and nothing came before that."""
    with peer, pytest.raises(ConnectionResetError):
        assert peer.rest() == b"unreachable"


def test_nothing_new_is_accepted(stage: Stage) -> None:
    """A taken address accepts nothing once the message is answered; another one goes on."""
    stage.control.put("app", an_app([3], LONG))
    with pytest.raises(ConnectionResetError), stage.connect(2, 5000) as caller:
        caller.rest()
    with stage.connect(3, 5000), stage.accept():
        pass
    stage.control.put("app", an_app([], LONG))
    with pytest.raises(ConnectionRefusedError):
        stage.connect(3, 5000)


def test_raw_connections_go_on_for_a_while(stage: Stage) -> None:
    """Within drain_ms bytes pass both ways, and a connection may end by itself."""
    caller, inside = stage.talk()
    stage.control.put("app", an_app([3], LONG))
    for _ in range(3):
        caller.send("ping")
        assert inside.take(4) == b"ping"
        inside.send("pong")
        assert caller.take(4) == b"pong"
    caller.sock.shutdown(socket.SHUT_WR)
    assert inside.rest() == b""
    inside.close()
    assert caller.rest() == b""


@pytest.mark.parametrize("drain_ms", [0, SHORT])
def test_raw_connections_are_reset_when_it_is_over(stage: Stage, drain_ms: int) -> None:
    """After drain_ms both ends are reset and the unit of load is given back."""
    caller, inside = stage.talk()
    stage.control.put("app", an_app([3], drain_ms))
    expect_reset(caller)
    expect_reset(inside)
    stage.released()


def test_only_that_address_is_released(stage: Stage) -> None:
    """Connections by the app's other address, and by one that only lost ports, go on."""
    other, other_inside = stage.talk(host=3)
    caller, inside = stage.talk(host=2)
    addresses = [{"network": "1", "ip": f"{FLYCAST}3", "ports": [80]}]
    stage.control.put("app", app_at("a", addresses, drain_ms=0))
    expect_reset(caller)
    expect_reset(inside)
    other.send("y")
    assert other_inside.take(1) == b"y"


def test_an_address_that_comes_back_saves_nobody(stage: Stage) -> None:
    """Old connections end though the address is given again; new ones by it stay."""
    old, old_inside = stage.talk()
    stage.control.put("app", an_app([3], SHORT))
    stage.control.put("app", an_app([2, 3], LONG))
    new, new_inside = stage.talk()
    expect_reset(old)
    expect_reset(old_inside)
    new.send("y")
    assert new_inside.take(1) == b"y"


@pytest.mark.parametrize("way", ["del", "snapshot"])
def test_apps_that_go_release_their_addresses(stage: Stage, way: str) -> None:
    """A `del` of the app, and a snapshot without it, end its connections in its own drain_ms."""
    caller, inside = stage.talk()
    stage.control.put("app", an_app([2, 3], SHORT))
    caller.send("still")
    assert inside.take(5) == b"still"
    if way == "del":
        stage.control.call("del", kind="app", id="a")
    else:
        stage.control.call("snapshot", stage="begin")
        stage.control.put("network", network(str(stage.world.router)))
        stage.control.call("snapshot", stage="end")
    expect_reset(caller)
    expect_reset(inside)


def test_a_snapshot_with_the_address_ends_nothing(stage: Stage) -> None:
    """A returning agent that says the same as before leaves connections alone."""
    caller, inside = stage.talk()
    stage.control.call("snapshot", stage="begin")
    stage.control.put("network", network(str(stage.world.router)))
    stage.control.put("app", an_app([3, 2], 0))
    stage.control.call("snapshot", stage="end")
    caller.send("y")
    assert inside.take(1) == b"y"


def test_who_waits_for_a_machine_is_reset(stage: Stage) -> None:
    """A call that is held for a sleeping Machine ends with its address, and waits no more."""
    stage.control.put("machine", machine("m1", "a", "172.16.0.11", "stopped", ports=PORTS))
    caller = stage.connect(2, 5000)
    stage.control.event("wake")
    stage.control.put("app", an_app([3], SHORT))
    expect_reset(caller)
    stage.control.wait(lambda line: line["ev"] == "load" and line["waiting"] == {})


def test_idle_http_connections_close_at_once(stage: Stage) -> None:
    """A kept connection between two requests, or before its first, is closed in good order."""
    fresh, kept = stage.connect(2, 80), stage.connect(2, 80)
    kept.send(get())
    inside = stage.accept()
    inside.head()
    inside.send(ok("hi"))
    kept.answer()
    stage.control.put("app", an_app([3], LONG))
    assert kept.rest() == b""
    assert fresh.rest() == b""


def test_a_request_under_way_is_finished(stage: Stage) -> None:
    """A request that was begun is answered with Connection: close, and then the end."""
    caller = stage.connect(2, 80)
    caller.send(get())
    inside = stage.accept()
    inside.head()
    stage.control.put("app", an_app([3], LONG))
    inside.send(ok("done"))
    answer = caller.rest()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nConnection: close\r\n" in answer
    assert answer.endswith(b"done")


def test_a_response_begun_before_is_finished(stage: Stage) -> None:
    """A response whose head had left already arrives whole, and the connection ends after it."""
    caller = stage.connect(2, 80)
    caller.send(get())
    inside = stage.accept()
    inside.head()
    inside.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha")
    caller.head()
    stage.control.put("app", an_app([3], LONG))
    inside.send("lf")
    assert caller.rest() == b"half"


def test_what_follows_on_the_connection_is_not_taken_up(stage: Stage) -> None:
    """Requests sent ahead reach nobody once the address is gone; the one under way is answered."""
    caller = stage.connect(2, 80)
    caller.send(get() + get("/second"))
    inside = stage.accept()
    inside.head()
    inside.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha")
    caller.head()
    stage.control.put("app", an_app([3], LONG))
    inside.send("lf")
    assert caller.rest() == b"half"
    stage.released()
    inside.sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        assert inside.sock.recv(100) == b""


def test_errors_after_the_release_end_the_connection(stage: Stage) -> None:
    """What the proxy answers itself says close as well, and the next request wakes nobody."""
    stage.control.put("machine", machine("m1", "a", "172.16.0.11", "stopped", ports=PORTS))
    caller = stage.connect(2, 80)
    caller.send(get("/1") + get("/2"))
    stage.control.event("wake")
    stage.control.put("app", an_app([3], LONG))
    stage.control.call("wake_failed", machine="m1", code="PM07", message="no")
    answer = caller.rest()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nConnection: close\r\n" in answer
    assert answer.count(b"HTTP/1.1") == 1
    assert stage.control.call("stats")["stats"]["waiting"] == 0


def test_redirects_after_the_release_end_the_connection(stage: Stage) -> None:
    """A request whose head had begun is redirected with Connection: close."""
    ports = [{"port": 80, "handlers": ["http"], "force_https": True}]
    stage.control.put("machine", machine("m1", "a", "172.16.0.11", ports=ports))
    caller = stage.connect(2, 80)
    caller.send(get("/1") + "GET")
    assert caller.answer()[0].startswith("HTTP/1.1 301 ")
    stage.control.put("app", an_app([3], LONG))
    caller.send(get("/2").removeprefix("GET") + get("/3"))
    answer = caller.rest()
    assert answer.count(b"HTTP/1.1 301 ") == 1
    assert b"\r\nConnection: close\r\n" in answer


def test_requests_that_take_too_long_are_reset(stage: Stage) -> None:
    """After drain_ms a request without its answer is reset, a tunnel too, and the load goes."""
    caller, tunnel = stage.connect(2, 80), stage.connect(2, 80)
    caller.send(get())
    waiting = stage.accept()
    waiting.head()
    tunnel.send(get("/", "Connection: Upgrade\r\nUpgrade: websocket\r\n"))
    inside = stage.accept()
    inside.head()
    inside.send("HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    tunnel.head()
    stage.control.put("app", an_app([3], SHORT))
    expect_reset(caller)
    expect_reset(tunnel)
    assert waiting.rest() == inside.rest() == b""
    stage.released()


def test_streams_of_http2_are_finished(stage: Stage) -> None:
    """GOAWAY comes at once; what was begun, or was on its way meanwhile, is answered whole, and
    then the connection ends in good order. One without streams ends at once.
    """
    client, idle = H2Peer(stage.connect(2, 80)), H2Peer(stage.connect(2, 80))
    idle.ping()
    begun = client.fetch("/begun")
    inside = stage.accept()
    inside.head()
    inside.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha")
    client.head(begun)
    stage.control.put("app", an_app([3], LONG))
    raced = client.fetch("/raced")
    other = stage.accept()
    assert other.head().startswith("GET /raced ")
    client.until(lambda: client.goaway == 0)
    inside.send("lf")
    other.send(ok("raced"))
    assert client.response(begun).body == b"half"
    assert client.response(raced).body == b"raced"
    assert client.end() == idle.end() == 0
    stage.released()


def test_streams_of_http2_that_take_too_long_are_reset(stage: Stage) -> None:
    """After drain_ms the connection is reset with all its streams, and the load goes."""
    client = H2Peer(stage.connect(2, 80))
    client.fetch()
    inside = stage.accept()
    inside.head()
    stage.control.put("app", an_app([3], SHORT))
    with pytest.raises(ConnectionResetError):
        client.end()
    assert client.goaway == 0
    assert inside.rest() == b""
    stage.released()


def test_many_connections_end_together(stage: Stage) -> None:
    """Two hundred connections, spread over the threads, all end."""
    callers = [stage.connect(2, 5000) for _ in range(200)]
    inside = [stage.accept() for _ in callers]
    stage.control.put("app", an_app([3], SHORT))
    for peer in callers + inside:
        expect_reset(peer)
    stage.released()
    assert stage.control.call("stats")["stats"]["connections"] == 0
