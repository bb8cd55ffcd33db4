"""Health checks and passive ejection of the real proxy, with real servers in namespaces."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.certificates import make_authority
from tests.support.checked_world import GET, OK, SICK, Checked, check
from tests.support.proxy_control import Control, app_at, machine
from tests.support.proxy_world import served

pytestmark = pytest.mark.root


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    """What is closed at the end."""
    with contextlib.ExitStack() as made:
        yield made


@pytest.fixture
def world(stack: contextlib.ExitStack, tmp_path: Path) -> Checked:
    """A proxy that waits 300 ms at most."""
    return Checked(stack, tmp_path, queue_timeout_ms=300)


def test_calls_go_where_checks_pass(world: Checked) -> None:
    """A Machine whose check fails gets no call, and gets calls again after its first pass."""
    one, address = world.serve("m1")
    other, other_address = world.serve("m2")
    world.machine("m1", address)
    world.machine("m2", other_address)
    world.result("m1", "passing")
    world.result("m2", "passing")
    one.check = SICK
    failed = world.result("m1", "critical")
    assert failed["output"] == "GET http://a.flycast:7000/: 503 Service Unavailable: sick"
    for _ in range(6):
        assert world.get().endswith(b"ok")
    assert (one.calls, other.calls) == (0, 6)
    one.check, other.check = OK, SICK
    world.result("m1", "passing")
    world.result("m2", "critical")
    assert world.get().endswith(b"ok")
    assert (one.calls, other.calls) == (1, 6)


def test_a_call_is_refused_when_nobody_is_healthy(world: Checked) -> None:
    """All failing: HTTP gets 503, raw TCP is closed; the log has PR01 and the check's name."""
    server, address = world.serve("m1")
    server.check = SICK
    raw = {"port": 5001, "handlers": []}
    world.machine("m1", address, ports=[{"port": 5000, "handlers": ["http"]}, raw])
    world.result("m1", "critical")
    answer = world.get()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"PR01 no machine passes its health checks (m1: web" in answer
    assert world.control.event("log", code="PR01")["app"] == "a"
    with world.world.call(1, 5001) as caller, pytest.raises(ConnectionResetError):
        caller.recv(1)
    assert "m1: web" in world.control.event("log", code="PR01")["message"]
    assert server.calls == 0


def test_a_held_call_goes_on_with_the_first_pass(
    stack: contextlib.ExitStack, tmp_path: Path
) -> None:
    """A call that came while all failed is served when one passes."""
    world = Checked(stack, tmp_path)
    server, address = world.serve("m1")
    server.check = SICK
    world.machine("m1", address)
    world.result("m1", "critical")
    with world.world.call(1) as caller:
        caller.sendall(GET)
        world.control.wait(lambda line: line["ev"] == "load" and line["waiting"] == {"a": 1})
        server.check = OK
        assert caller.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_a_woken_machine_is_checked_at_once(world: Checked) -> None:
    """Who wakes a Machine does not wait for grace period or interval: its checks are run when the
    port accepts, and again soon until they pass.
    """
    server, address = world.serve("m1")
    server.check = SICK
    slow = [check(interval_ms=3_600_000, grace_ms=3_600_000)]
    world.machine("m1", address, "stopped", service_checks=slow)
    with world.world.call(1) as caller:
        caller.sendall(GET)
        world.control.event("wake", machine="m1")
        world.machine("m1", address, "starting", service_checks=slow)
        world.control.event("ready", machine="m1")
        world.machine("m1", address, "started", service_checks=slow)
        world.result("m1", "critical")
        server.check = OK
        assert caller.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert world.result("m1", "passing")["output"].endswith(": 200 OK: ok")


def came_up(world: Checked, name: str, address: str, **more: object) -> None:
    """Puts a Machine that has just started, with one check."""
    checks = [check(**more)]
    for state in ("starting", "started"):
        world.machine(name, address, state, service_checks=checks)


def test_nobody_asks_before_the_grace_period_is_over(world: Checked) -> None:
    """A Machine that has just started is not checked before, when no call waits for it."""
    patient, address = world.serve("m1")
    other, other_address = world.serve("m2")
    came_up(world, "m1", address, grace_ms=3_600_000)
    came_up(world, "m2", other_address)
    world.result("m2", "passing")
    other.check = SICK
    world.result("m2", "critical")
    assert patient.checks == 0


@pytest.mark.parametrize("grace_ms", [0, 3_600_000])
def test_failing_early_is_not_yet(
    stack: contextlib.ExitStack, tmp_path: Path, grace_ms: int
) -> None:
    """For a call that waits a Machine that fails is on its way up while its grace period lasts;
    after that another one is woken.
    """
    world = Checked(stack, tmp_path)
    server, address = world.serve("m1")
    _, sleeping = world.serve("m2")
    server.check = SICK
    came_up(world, "m1", address, grace_ms=grace_ms)
    world.machine("m2", sleeping, "stopped", service_checks=[check()])
    with world.world.call(1) as caller:
        caller.sendall(GET)
        if grace_ms == 0:
            world.control.event("wake", machine="m2")
        else:
            world.result("m1", "critical")
            world.control.wait(lambda line: line["ev"] == "load" and line["waiting"] == {"a": 1})
            assert not [line for line in world.control.events if line["ev"] == "wake"]
        server.check = OK
        assert caller.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_what_was_news_is_told_again(world: Checked) -> None:
    """After `tell` every result comes once more, and the wakes in flight: nobody may have listened
    when they were told first.
    """
    _, address = world.serve("m1")
    _, sleeping = world.serve("m2")
    hourly = [check(interval_ms=3_600_000)]
    world.machine("m1", address, service_checks=hourly)
    told = world.result("m1", "passing")
    world.control.call("tell")
    assert world.result("m1", "passing") == told
    other = {"port": 5001, "handlers": []}
    world.machine("m2", sleeping, "stopped", port=other, service_checks=hourly)
    with world.world.call(1, 5001):
        world.control.event("wake", machine="m2")
        world.control.call("tell")
        assert "wake" in [line["ev"] for line in world.control.events]


def test_checks_neither_wake_nor_count(world: Checked) -> None:
    """A sleeper is not checked; a Machine that is only checked has no load and counts as idle."""
    server, address = world.serve("m1")
    sleeper, sleeping = world.serve("m2")
    world.machine("m2", sleeping, "suspended")
    value = world.machine("m1", address)
    world.result("m1", "passing")
    for _ in range(2):
        assert world.control.event("load") == {"ev": "load", "machines": {}, "waiting": {}}
    assert server.checks > 1
    assert world.control.call("drain", machine="m1", if_idle=True)["drained"] is True
    world.control.put("machine", {**value, "state": "suspended"})
    assert sleeper.checks == 0
    assert not [line for line in world.control.events if line["ev"] == "wake"]


def test_top_level_checks_tell_and_do_not_route(world: Checked) -> None:
    """A check of the Machine itself, of a port that nobody listens on, is told of; calls go on."""
    server, address = world.serve("m1")
    own = check(name="db", type="tcp", port=7001)
    world.machine("m1", address, checks=[own])
    failed = world.result("m1", "critical", "db")
    assert failed["output"] == "cannot connect to port 7001: connection refused"
    world.result("m1", "passing")
    assert world.get().endswith(b"ok")
    assert server.calls == 1


def test_a_new_agent_hears_of_every_result(world: Checked) -> None:
    """After its snapshot an agent that is new is told of all results, without their being news."""
    _, address = world.serve("m1")
    value = world.machine("m1", address)
    before = world.result("m1", "passing")
    world.control = Control(world.path)
    with contextlib.closing(world.control):
        world.control.hello()
        world.control.call("snapshot", stage="begin")
        world.control.put("network", world.network)
        world.control.put("app", world.app)
        world.control.put("machine", value)
        world.control.call("snapshot", stage="end")
        assert world.result("m1", "passing")["at"] == before["at"]


def test_the_request_is_what_was_asked_for(world: Checked) -> None:
    """Method, path and headers are the check's; host and agent are usual unless it has its own."""
    server, address = world.serve("m1")
    http = {"method": "PUT", "path": "/up?deep=1", "headers": [["X-Check", "1"], ["Host", "other"]]}
    world.machine("m1", address, service_checks=[check(http=http)])
    world.result("m1", "passing")
    lines = server.requests[0].decode().split("\r\n")
    assert lines[0] == "PUT /up?deep=1 HTTP/1.1"
    assert lines[1].startswith("user-agent: roost-health-check/")
    assert lines[2:] == [
        "accept: */*",
        "X-Check: 1",
        "Host: other",
        "content-length: 0",
        "connection: close",
        "",
        "",
    ]


def _endless_head(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"a: b\r\n" * 1000)


def _endless_body(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 500 No\r\n\r\n")
    while True:
        connection.sendall(b"\x1b[31m" * 1000)


def _redirect(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")


def _junk(connection: socket.socket) -> None:
    connection.sendall(bytes(range(256)) * 100)


def _silent(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def _mute(connection: socket.socket) -> None:
    connection.recv(65536)


HOSTILE: list[tuple[Callable[[socket.socket], None], str]] = [
    (_endless_head, "a bad response"),
    (_endless_body, "500 Internal Server Error: \ufffd[31m"),
    (_redirect, "302 Found"),
    (_junk, "a bad response"),
    (_silent, "no answer within 100 ms"),
    (_mute, "closed without an answer"),
]


def test_hostile_answers_fail_within_bounds(world: Checked) -> None:
    """Endless, slow, senseless and missing answers fail their check with one bounded, printable
    line, and the checks of another Machine go on.
    """
    address, inside = world.world.add_machine()
    good, good_address = world.serve("good")
    world.machine("good", good_address, service_checks=[check(name="good")])
    with contextlib.ExitStack() as servers:
        checks = []
        for number, (serve, _) in enumerate(HOSTILE):
            listener = world.world.listen(inside, 7100 + number)
            servers.enter_context(served(listener, serve))
            checks.append(check(name=f"h{number}", port=7100 + number, timeout_ms=100))
        value = world.machine("m1", address, checks=checks, service_checks=[])
        for number, (_, said) in enumerate(HOSTILE):
            output = world.result("m1", "critical", f"h{number}")["output"]
            assert said in output, number
            assert output.isprintable(), number
            assert len(output.encode()) <= 1024, number
        world.control.put("machine", {**value, "state": "stopped"})
    good.check = SICK
    world.result("good", "critical", "good")


def test_https_checks(
    stack: contextlib.ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate must be of an authority that the host trusts and for the name, unless the check
    does not mind.
    """
    authority = make_authority(tmp_path)
    files = authority.issue()
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as tls:
            tls.recv(65536)
            tls.sendall(OK)

    world = Checked(stack, tmp_path)
    address, inside = world.world.add_machine()
    stack.enter_context(served(world.world.listen(inside), serve))
    kinds = {
        "named": {"tls": True, "tls_server_name": "localhost"},
        "other": {"tls": True, "tls_server_name": "other.example"},
        "skip": {"tls": True, "tls_skip_verify": True},
    }
    checks = [check(name=name, http=http) for name, http in kinds.items()]
    world.machine("m1", address, service_checks=[], checks=checks)
    assert world.result("m1", "passing", "named")["output"].endswith(": 200 OK: ok")
    world.result("m1", "passing", "skip")
    assert "no TLS: invalid peer certificate" in world.result("m1", "critical", "other")["output"]


def test_a_machine_that_resets_calls_is_left_alone(world: Checked) -> None:
    """After three calls in a row that were reset a Machine gets none while another takes them; a
    while later one call tries it, and it gets calls again from the first byte of its answer on. The
    log says both.
    """
    bad, address = world.serve("m1")
    good, good_address = world.serve("m2")
    bad.call = None
    world.machine("m1", address, service_checks=[])
    world.machine("m2", good_address, service_checks=[])
    while bad.calls < 3:
        world.get()
    told = world.control.event("log", level="warn", machine="m1")
    assert told["code"] == "PC03"
    assert "gets none for 1 s" in told["message"]
    seen = good.calls
    for _ in range(10):
        assert world.get().endswith(b"ok")
    assert (bad.calls, good.calls) == (3, seen + 10)
    bad.call, bad.hold = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", threading.Event()
    for _ in range(2):  # Loads come once a second.
        world.control.event("load")
    with contextlib.ExitStack() as callers:
        callers.callback(bad.hold.set)
        while bad.calls < 4:
            caller = callers.enter_context(world.world.call(1))
            caller.sendall(GET)
            assert caller.recv(65536).startswith(b"HTTP/1.1 200 ")
        line = world.control.event("log", level="info", machine="m1")
        assert "gets calls again" in line["message"]


def test_a_replay_is_an_answer(world: Checked) -> None:
    """Resets before and after a response that sends a request elsewhere are not in a row."""
    router, address = world.serve("m1")
    _, other = world.serve("m2")
    for name, at in (("m1", address), ("m2", other)):
        world.machine(name, at, service_checks=[])
    replay = b"HTTP/1.1 200 OK\r\nfly-replay: elsewhere=true\r\nContent-Length: 0\r\n\r\n"
    for said, until in ((None, 2), (replay, 3), (None, 5)):
        router.call = said
        while router.calls < until:
            world.get()
    # Lines are written after the answer, and the first report may be older.
    world.control.event("load")
    world.control.event("load")
    lines = [line["message"] for line in world.control.events if line["ev"] == "log"]
    assert lines
    assert not [line for line in lines if "gets none" in line]


def test_the_last_machine_goes_on_being_called(world: Checked) -> None:
    """A Machine that resets every call is called even so when there is no other."""
    bad, address = world.serve("m1")
    bad.call = None
    world.machine("m1", address, service_checks=[])
    for count in range(1, 6):
        assert b"502" in world.get()
        assert bad.calls == count


def test_many_checks_share_a_few_places(world: Checked) -> None:
    """However many checks of an app hang, another app's are run."""
    address, inside = world.world.add_machine()
    listener = world.world.listen(inside)
    waiting = threading.Event()

    def hang(connection: socket.socket) -> None:
        waiting.set()
        connection.recv(65536)
        connection.recv(65536)

    with served(listener, hang):
        checks = [check(name=f"c{number}", timeout_ms=60_000) for number in range(64)]
        values = [
            world.machine(f"h{number}", address, service_checks=[], checks=checks)
            for number in range(4)
        ]
        assert waiting.wait(20)
        server, other = world.serve("m1")
        world.control.put("machine", {**world.machine("m1", other), "app": "b"})
        world.result("m1", "passing")
        assert server.checks > 0
        for value in values:
            world.control.put("machine", {**value, "state": "stopped"})


def test_what_the_host_cannot_ask_says_nothing(world: Checked) -> None:
    """While the proxy's host cannot reach into the network, a Machine's result stays as it was."""
    server, address = world.serve("m1")
    world.machine("m1", address)
    world.result("m1", "passing")
    world.control.put("network", {**world.network, "netns": None})
    asked = server.checks
    for _ in range(3):  # Loads come once a second, and the first was on its way.
        world.control.event("load")
    assert server.checks <= asked + 1
    assert not [line for line in world.control.events if line["ev"] == "checks"]
    server.check = SICK
    world.control.put("network", world.network)
    assert world.result("m1", "critical")["output"].endswith("503 Service Unavailable: sick")


def test_no_organization_has_all_places(world: Checked) -> None:
    """However many checks of how many apps of one organization hang, those of others are run."""
    address, inside = world.world.add_machine()
    with world.world.listen(inside):
        hanging = [check(name=f"c{number}", timeout_ms=60_000) for number in range(64)]
        values = []
        for number in range(9):
            name = f"acme-{number}"
            world.control.put("app", app_at(name, [], org="acme"))
            value = machine(f"h{number}", name, address, checks=hanging, services=[])
            world.control.put("machine", value)
            values.append(value)
        for _ in range(2):
            world.control.event("load")
        server, other = world.serve("m1")
        world.machine("m1", other)
        world.result("m1", "passing")
        assert server.checks > 0
        for value in values:
            world.control.put("machine", {**value, "state": "stopped"})
