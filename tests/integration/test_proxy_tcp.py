"""Raw TCP through the real proxy: relaying, waking, limits, draining and a returning agent."""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.http_peer import Peer
from tests.support.namespaces import call_inside
from tests.support.proxy_control import (
    DEADLINE_S,
    Control,
    ControlError,
    app,
    greeted,
    machine,
    network,
    running_proxy,
)
from tests.support.proxy_world import World, echo, read_all, served

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces, which needs root"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A running proxy that serves one network, and the agent's connection to it."""

    world: World
    control: Control
    socket_path: Path


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with contextlib.ExitStack() as stack:
        world = World(stack)
        control = greeted(stack, tmp_path / "proxy.sock")
        control.put("network", network(str(world.router)))
        control.put("app", app("a", "fdaa:0:1:0:1::2"))
        yield Stage(world=world, control=control, socket_path=tmp_path / "proxy.sock")


def expect_reset(stage: Stage, host: int) -> None:
    """A call is accepted and reset; whether before or after `connect` has returned is chance."""
    with pytest.raises(ConnectionResetError), stage.world.call(host) as caller:
        caller.recv(1)


def send_and_end(connection: socket.socket, data: bytes) -> None:
    """Sends everything, then ends the sending side."""
    connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


def test_relays_both_ways_and_keeps_half_close(stage: Stage) -> None:
    """Bulk goes both ways unchanged, and an answer sent after the caller's end arrives."""
    address, inside = stage.world.add_machine()
    stage.control.put("machine", machine("m1", "a", address))
    payload = os.urandom(8 << 20)

    def backend(connection: socket.socket) -> None:
        data = read_all(connection)
        connection.sendall(data)

    with served(stage.world.listen(inside), backend), stage.world.call(2) as caller:
        sender = threading.Thread(target=send_and_end, args=(caller, payload))
        sender.start()
        received = read_all(caller)
        sender.join()
    assert received == payload


def test_machine_may_end_first(stage: Stage) -> None:
    """A Machine that ends its sending side still receives what the caller sends later."""
    address, inside = stage.world.add_machine()
    stage.control.put("machine", machine("m1", "a", address))
    late: list[bytes] = []

    def backend(connection: socket.socket) -> None:
        connection.sendall(b"first")
        connection.shutdown(socket.SHUT_WR)
        late.append(read_all(connection))

    with served(stage.world.listen(inside), backend), stage.world.call(2) as caller:
        assert read_all(caller) == b"first"
        caller.sendall(b"later")
        caller.shutdown(socket.SHUT_WR)
    assert late == [b"later"]


def test_reset_is_passed_on(stage: Stage) -> None:
    """A connection that the Machine resets is reset for the caller too, not ended in good order."""
    address, inside = stage.world.add_machine()
    stage.control.put("machine", machine("m1", "a", address))

    def backend(connection: socket.socket) -> None:
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with served(stage.world.listen(inside), backend), stage.world.call(2) as caller:
        caller.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            caller.recv(1)


def test_unknown_port_and_address_are_refused(stage: Stage) -> None:
    """A port nobody serves is refused; one that another app serves is reset and logged PR01."""
    address, inside = stage.world.add_machine()
    stage.control.put("machine", machine("m1", "a", address))
    stage.control.put("app", app("b", "fdaa:0:1:0:1::3"))
    with served(stage.world.listen(inside), echo):
        with pytest.raises(ConnectionRefusedError):
            stage.world.call(2, 5999)
        for host in (3, 4):
            expect_reset(stage, host)
    assert stage.control.event("log", app="b")["code"] == "PR01"


def test_wakes_and_holds(stage: Stage) -> None:
    """A call to a sleeping app asks for a wake and is held until the Machine listens."""
    address, inside = stage.world.add_machine()
    asleep = machine("m1", "a", address, "stopped")
    stage.control.put("machine", asleep)
    callers = [stage.world.call(2) for _ in range(5)]
    for number, caller in enumerate(callers):
        caller.sendall(b"%d" % number)
    assert stage.control.event("wake")["machine"] == "m1"
    stage.control.put("machine", {**asleep, "state": "starting"})
    stage.control.put("machine", {**asleep, "state": "started"})
    with served(stage.world.listen(inside), echo):
        ready = stage.control.event("ready", machine="m1")
        assert ready["port"] == 7000
        assert ready["after_us"] > 0
        for number, caller in enumerate(callers):
            assert caller.recv(10) == b"%d" % number
            caller.close()


def test_first_connection_of_a_woken_machine_is_the_callers(stage: Stage) -> None:
    """A program that serves exactly one connection after its start serves the caller."""
    address, inside = stage.world.add_machine()
    asleep = machine("m1", "a", address, "stopped")
    stage.control.put("machine", asleep)
    with stage.world.call(2) as caller:
        stage.control.event("wake")
        stage.control.put("machine", {**asleep, "state": "starting"})
        listener = stage.world.listen(inside)
        connection, _ = listener.accept()
        listener.close()
        connection.sendall(b"hello")
        assert caller.recv(5) == b"hello"
        connection.close()


def test_caller_that_goes_ends_the_wait(stage: Stage) -> None:
    """A held caller that resets is forgotten: nothing waits any more."""
    address, _ = stage.world.add_machine()
    stage.control.put("machine", machine("m1", "a", address, "stopped"))
    caller = stage.world.call(2)
    stage.control.event("wake")
    stage.control.wait(lambda line: line["ev"] == "load" and line["waiting"] == {"a": 1})
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    caller.close()
    stage.control.wait(lambda line: line["ev"] == "load" and line["waiting"] == {})


def test_hard_limit_is_exact(stage: Stage) -> None:
    """Of 200 calls never more than 10 are at a Machine with hard limit 10; all are served."""
    address, inside = stage.world.add_machine()
    limits = {"soft_limit": 5, "hard_limit": 10}
    stage.control.put("machine", machine("m1", "a", address, limits=limits))
    lock = threading.Lock()
    now: set[int] = set()
    most = [0]

    def finish(caller: socket.socket) -> bytes:
        caller.sendall(b"x")
        caller.shutdown(socket.SHUT_WR)
        return read_all(caller)

    def counted(connection: socket.socket) -> None:
        data = connection.recv(16)
        with lock:
            now.add(id(connection))
            most[0] = max(most[0], len(now))
        assert connection.recv(16) == b""
        connection.sendall(data)
        with lock:
            now.discard(id(connection))

    with served(stage.world.listen(inside), counted):
        callers = [stage.world.call(2) for _ in range(200)]
        full = stage.control.wait(
            lambda line: line["ev"] == "load" and line["waiting"] == {"a": 190}
        )
        assert full["machines"] == {"m1": {"7000": [10, 10]}}
        with contextlib.ExitStack() as stack:
            answers: list[bytes] = []
            threads = []
            for caller in callers:
                stack.enter_context(caller)
                thread = threading.Thread(target=lambda one=caller: answers.append(finish(one)))
                thread.start()
                threads.append(thread)
            for thread in threads:
                thread.join()
    assert answers == [b"x"] * 200
    assert 1 <= most[0] <= 10


def test_drain_if_idle_only_when_idle(stage: Stage) -> None:
    """A used Machine is not drained if_idle; an unused one is, and then a call wakes it instead."""
    address, inside = stage.world.add_machine()
    running = machine("m1", "a", address)
    stage.control.put("machine", running)
    with served(stage.world.listen(inside), echo):
        with stage.world.call(2) as caller:
            caller.sendall(b"x")
            assert caller.recv(1) == b"x"
            busy = stage.control.call("drain", machine="m1", if_idle=True)
            assert (busy["drained"], busy["load"]) == (False, 1)
        stage.control.wait(
            lambda line: line["ev"] == "load" and line["machines"].get("m1") == {"7000": [0, 1]}
        )
        idle = stage.control.call("drain", machine="m1", if_idle=True)
        assert (idle["drained"], idle["load"]) == (True, 0)
        with stage.world.call(2) as caller:
            caller.sendall(b"y")
            stage.control.event("wake", machine="m1")
            stage.control.put("machine", running)
            assert caller.recv(1) == b"y"


def test_refused_wake_ends_the_wait(stage: Stage) -> None:
    """When the agent says that the wake failed, the caller is reset and the log has its code."""
    address, _ = stage.world.add_machine()
    stage.control.put("machine", machine("m1", "a", address, "stopped"))
    with stage.world.call(2) as caller:
        stage.control.event("wake")
        stage.control.call("wake_failed", machine="m1", code="PM07", message="no image")
        with pytest.raises(ConnectionResetError):
            caller.recv(1)
    line = stage.control.event("log", app="a", code="PM07")
    assert line["message"] == "no image"


def test_machine_that_never_listens(stage: Stage) -> None:
    """A started Machine whose port stays closed costs the caller a reset and a PM05 line."""
    stage.control.hello(wake_timeout_ms=300)
    address, _ = stage.world.add_machine()
    stage.control.put("machine", machine("m1", "a", address))
    expect_reset(stage, 2)
    assert "0.0.0.0:7000" in stage.control.event("log", app="a", code="PM05")["message"]


def test_no_machine_may_be_woken(stage: Stage) -> None:
    """Without autostart a sleeping app's caller is reset at once, and nobody is asked to wake."""
    address, _ = stage.world.add_machine()
    stage.control.put("machine", machine("m1", "a", address, "stopped", autostart=False))
    expect_reset(stage, 2)
    assert stage.control.event("log", app="a")["code"] == "PM08"


def test_second_machine_serves_when_first_is_unreachable(stage: Stage) -> None:
    """A Machine that cannot be reached costs nothing: another one serves the call."""
    address, inside = stage.world.add_machine()
    stage.control.put("machine", machine("m1", "a", address))
    stage.control.put("machine", machine("m2", "a", "172.16.9.9"))
    with served(stage.world.listen(inside), echo):
        for _ in range(6):
            with stage.world.call(2) as caller:
                caller.sendall(b"x")
                assert caller.recv(1) == b"x"


def test_returning_agent_finds_waiters_and_routes(stage: Stage) -> None:
    """While the agent is away traffic goes on; back again it hears of the wakes still wanted."""
    address, inside = stage.world.add_machine()
    stage.control.put("machine", machine("m1", "a", address))
    sleeping = machine("m2", "b", "172.16.0.99", "stopped")
    stage.control.put("app", app("b", "fdaa:0:1:0:1::3"))
    stage.control.put("machine", sleeping)
    stage.control.close()
    with served(stage.world.listen(inside), echo):
        with stage.world.call(2) as caller, stage.world.call(3):
            caller.sendall(b"x")
            assert caller.recv(1) == b"x"
            control = Control(stage.socket_path)
            control.hello()
            control.call("snapshot", stage="begin")
            control.put("network", network(str(stage.world.router)))
            control.put("app", app("b", "fdaa:0:1:0:1::3"))
            control.put("machine", sleeping)
            control.call("snapshot", stage="end")
            assert control.event("wake")["machine"] == "m2"
            caller.sendall(b"y")
            assert caller.recv(1) == b"y"
            counters = control.call("stats")["stats"]
            assert (counters["apps"], counters["machines"]) == (1, 1)
            expect_reset(stage, 2)
        control.close()


def test_bad_lines_are_answered(stage: Stage) -> None:
    """A malformed line, an unknown op and a huge line get an error, and the connection goes on."""
    for line in (b"{\n", b'{"seq":900,"op":"dance"}\n', b"x" * (2 << 20) + b"\n"):
        stage.control.send_raw(line)
        answer = stage.control.wait(lambda line: line["ev"] == "ack" and "error" in line)
        assert answer["seq"] in {0, 900}
    with pytest.raises(ControlError, match="no machine"):
        stage.control.call("drain", machine="nobody", if_idle=True)
    stage.control.call("stats")


def test_listeners_follow_the_table(stage: Stage) -> None:
    """A port is open while a Machine serves it and the network has a namespace."""
    address, inside = stage.world.add_machine()
    stage.control.put("machine", machine("m1", "a", address))
    with served(stage.world.listen(inside), echo):
        stage.world.call(2).close()
        stage.control.put("network", network(None))
        with pytest.raises(ConnectionRefusedError):
            stage.world.call(2)
        stage.control.put("network", network(str(stage.world.router)))
        stage.world.call(2).close()
        stage.control.call("del", kind="machine", id="m1")
        with pytest.raises(ConnectionRefusedError):
            stage.world.call(2)


def test_a_listener_that_cannot_open_is_retried_once_a_second(tmp_path: Path) -> None:
    """However often a network is put, one retry waits; when the port is free it opens."""
    with contextlib.ExitStack() as stack:
        world = World(stack)
        path = tmp_path / "proxy.sock"
        running = running_proxy(path, threads=1, stderr=subprocess.PIPE)
        process = stack.enter_context(running)
        assert process.stderr is not None
        control = Control(path)
        stack.callback(control.close)
        other = call_inside(world.router, lambda: socket.socket(socket.AF_INET6))
        stack.callback(other.close)
        other.bind(("::", 5000))
        control.put("app", app("a", "fdaa:0:1:0:1::2"))
        address, inside = world.add_machine()
        control.put("machine", machine("m1", "a", address))
        for _ in range(30):
            control.put("network", network(str(world.router)))
        failures = (line for line in process.stderr if b"cannot listen" in line)
        for _ in range(30):
            next(failures)
        retries = [logged_at(next(failures)) for _ in range(3)]
        assert all(later - sooner > 0.9 for sooner, later in itertools.pairwise(retries))
        other.close()
        with served(world.listen(inside), echo):
            # The next retry opens it: nothing else does.
            caller = wait_until_open(world)
            with caller:
                assert asked(caller) == b"x"


def logged_at(line: bytes) -> float:
    """The time of a line that the proxy wrote about itself, in seconds."""
    stamp = line.decode().split()[0].removesuffix("Z")
    return datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp()


def wait_until_open(world: World) -> socket.socket:
    """Calls until somebody listens."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            return world.call(2)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline


def test_survives_running_out_of_descriptors(tmp_path: Path) -> None:
    """More callers than descriptors: those that fit are served, the rest once there is room."""
    with contextlib.ExitStack() as stack:
        world = World(stack)
        path = tmp_path / "proxy.sock"
        process = stack.enter_context(running_proxy(path))
        limit = 1024 + 2 * 20
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (limit, limit))
        control = Control(path)
        stack.callback(control.close)
        control.put("network", network(str(world.router)))
        control.put("app", app("a", "fdaa:0:1:0:1::2"))
        address, inside = world.add_machine()
        control.put("machine", machine("m1", "a", address))
        stack.enter_context(served(world.listen(inside), echo))
        callers: list[socket.socket] = []
        for _ in range(600):
            # One that finds no descriptor for its way to the Machine is reset, perhaps at once.
            with contextlib.suppress(ConnectionResetError):
                callers.append(stack.enter_context(world.call(2)))
        answers = [asked(caller) for caller in callers]
        assert b"x" in answers
        assert set(answers) <= {b"x", b""}
        wait_until_unused(control)
        with world.call(2) as caller:
            assert asked(caller) == b"x"


def test_pipes_for_bulk_have_a_bound_of_their_own(tmp_path: Path) -> None:
    """However many connections carry bulk, pipes leave room for others, and all bytes arrive."""
    with contextlib.ExitStack() as stack:
        world = World(stack)
        path = tmp_path / "proxy.sock"
        process = stack.enter_context(running_proxy(path, files=1100))
        control = Control(path)
        stack.callback(control.close)
        control.put("network", network(str(world.router)))
        control.put("app", app("a", "fdaa:0:1:0:1::2"))
        address, inside = world.add_machine()
        control.put("machine", machine("m1", "a", address))
        stack.enter_context(served(world.listen(inside), echo))
        data, step = b"x" * (400 << 10), 32 << 10
        before = pipe_ends(process.pid)
        for _ in range(10):
            caller = stack.enter_context(Peer(world.call(2)))
            for at in range(0, len(data), step):
                part = data[at : at + step]
                caller.send(part)
                assert caller.take(len(part)) == part
        # An eighth of what 1100 leaves: four pipes.
        assert 0 < pipe_ends(process.pid) - before <= 8


def pipe_ends(pid: int) -> int:
    """How many ends of pipes a process has open."""
    folder = Path(f"/proc/{pid}/fd")
    return sum(str(one.readlink()).startswith("pipe:") for one in folder.iterdir())


def asked(caller: socket.socket) -> bytes:
    """Sends a byte, takes the answer and closes; nothing when the connection was reset."""
    with contextlib.suppress(ConnectionResetError, BrokenPipeError), caller:
        caller.sendall(b"x")
        return caller.recv(1)
    return b""


def wait_until_unused(control: Control) -> None:
    """Asks the proxy for its counters until no client connection is open."""
    deadline = time.monotonic() + DEADLINE_S
    while control.call("stats")["stats"]["connections"] > 0:
        assert time.monotonic() < deadline


def test_stop_lets_connections_end(tmp_path: Path) -> None:
    """After `stop` nothing new is accepted, an open connection goes on, and the exit is 0."""
    with contextlib.ExitStack() as stack:
        world = World(stack)
        path = tmp_path / "proxy.sock"
        process = stack.enter_context(running_proxy(path))
        control = Control(path)
        stack.callback(control.close)
        control.put("network", network(str(world.router)))
        control.put("app", app("a", "fdaa:0:1:0:1::2"))
        address, inside = world.add_machine()
        control.put("machine", machine("m1", "a", address))
        with served(world.listen(inside), echo):
            with world.call(2) as caller:
                caller.sendall(b"x")
                assert caller.recv(1) == b"x"
                control.call("stop", grace_ms=20_000)
                with pytest.raises(ConnectionRefusedError):
                    world.call(2)
                caller.sendall(b"y")
                assert caller.recv(1) == b"y"
            assert process.wait(DEADLINE_S) == 0
