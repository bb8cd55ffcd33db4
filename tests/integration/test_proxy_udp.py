"""UDP services through the real proxy: flows, waking, limits, who may call, and what is held."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.namespaces import call_inside
from tests.support.proxy_control import (
    DEADLINE_S,
    Control,
    ControlError,
    Line,
    app,
    app_at,
    greeted,
    machine,
    network,
    public_network,
)
from tests.support.proxy_world import FLYCAST, MACHINES, World, namespace, udp_echo

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces, which needs root"),
]

PORT = 5353
HOST = (f"{FLYCAST}2", PORT)
LONGEST = 65_507
"""Bytes of the longest datagram over IPv4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A running proxy that serves one network, the agent's connection to it, and a Machine."""

    world: World
    control: Control
    ip4: str
    inside: Path

    def put(self, state: str = "started", name: str = "m1", **more: object) -> Line:
        """Puts a Machine with a UDP service; `more` are the service's own keys."""
        value = machine(name, "a", self.ip4, state)
        ip4 = more.pop("ip4", self.ip4)
        service = {
            "protocol": "udp",
            "internal_port": PORT,
            "ports": [{"port": PORT}],
            "concurrency": {"type": "connections"},
        }
        value |= {"ip4": ip4, "services": [service | more]}
        self.control.put("machine", value)
        return value

    def load(self) -> tuple[int, int]:
        """Load now and peak of the service in the next report that has any."""
        report = self.control.wait(lambda line: line["ev"] == "load" and "m1" in line["machines"])
        now, peak = report["machines"]["m1"][f"{PORT}/udp"]
        return now, peak

    def stats(self) -> dict[str, int]:
        """The proxy's counters."""
        return dict(self.control.call("stats")["stats"])

    def await_stats(self, wanted: Callable[[dict[str, int]], bool]) -> dict[str, int]:
        """The counters once they are as wanted; each look waits for the proxy."""
        for _ in range(20_000):
            if wanted(found := self.stats()):
                return found
        raise ControlError(f"it did not come to that: {self.stats()}")

    def stays_held(self, size: int) -> None:
        """So many bytes are held, and go on being so while the Machine refuses them."""
        self.await_stats(lambda now: now["udp_held_bytes"] == size)
        assert {self.stats()["udp_held_bytes"] for _ in range(200)} == {size}


@contextlib.contextmanager
def staged(tmp_path: Path, files: int | None = None, **settings: object) -> Iterator[Stage]:
    with contextlib.ExitStack() as stack:
        world = World(stack)
        control = greeted(stack, tmp_path / "proxy.sock", files, **settings)
        control.put("network", network(str(world.router)))
        control.put("app", app("a", HOST[0]))
        ip4, inside = world.add_machine()
        yield Stage(world=world, control=control, ip4=ip4, inside=inside)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path) as made:
        yield made


def test_a_flow_goes_both_ways(stage: Stage) -> None:
    """Datagrams of any size go to one Machine by one socket and back from the address and port that
    was called, empty ones too.
    """
    stage.put()
    with udp_echo(stage.world.bind(stage.inside, PORT)) as came, stage.world.datagrams() as caller:
        for data in (b"hello", b"", os.urandom(1400), os.urandom(LONGEST), b"again"):
            caller.sendto(data, HOST)
            answer, peer = caller.recvfrom(65536)
            assert (answer, peer[:2]) == (data, HOST)
        assert len({peer for _, peer in came}) == 1
        assert stage.load() == (1, 1)


def test_callers_have_flows_of_their_own(stage: Stage) -> None:
    """Each caller's answers are its own, and each is a unit of load."""
    stage.put()
    with contextlib.ExitStack() as stack:
        came = stack.enter_context(udp_echo(stage.world.bind(stage.inside, PORT)))
        callers = [stack.enter_context(stage.world.datagrams()) for _ in range(40)]
        for number, caller in enumerate(callers):
            caller.sendto(b"%d" % number, HOST)
        for number, caller in enumerate(callers):
            assert caller.recv(100) == b"%d" % number
        assert len({peer for _, peer in came}) == 40
        assert stage.stats()["udp_flows"] == 40
        assert stage.load() == (40, 40)


def test_first_datagrams_are_held_while_a_machine_wakes(stage: Stage) -> None:
    """A sleeping Machine is woken; what comes meanwhile is held in order until the program listens,
    whenever that is after the start, and arrives once.
    """
    stage.put("stopped")
    with stage.world.datagrams() as caller:
        for number in range(5):
            caller.sendto(b"%d" % number, HOST)
        stage.control.event("wake", machine="m1")
        stage.put("starting")
        stage.put("started")
        stage.stays_held(5)
        assert stage.stats()["udp_flows"] == 1
        with udp_echo(stage.world.bind(stage.inside, PORT)) as came:
            assert [caller.recv(100) for _ in range(5)] == [b"%d" % number for number in range(5)]
            assert [data for data, _ in came] == [b"%d" % number for number in range(5)]
        assert stage.control.event("ready", machine="m1")["port"] == PORT


def test_only_one_flow_asks_a_machine_that_wakes(stage: Stage) -> None:
    """Many flows wait for a program that does not listen yet: all are served once it does."""
    stage.put("stopped")
    with contextlib.ExitStack() as stack:
        callers = [stack.enter_context(stage.world.datagrams()) for _ in range(100)]
        for number, caller in enumerate(callers):
            caller.sendto(b"%d" % number, HOST)
        stage.control.event("wake", machine="m1")
        stage.put("started")
        report = stage.control.wait(
            lambda line: line["ev"] == "load" and line["waiting"].get("a") == 99
        )
        assert report["machines"]["m1"][f"{PORT}/udp"][0] == 1
        stack.enter_context(udp_echo(stage.world.bind(stage.inside, PORT)))
        for number, caller in enumerate(callers):
            assert caller.recv(100) == b"%d" % number


def test_a_port_nobody_listens_on_does_not_keep_the_others(stage: Stage) -> None:
    """Who waits for a port of a range on which nobody ever listens has others served meanwhile."""
    ports = [{"port": 10_000, "end_port": 10_009}]
    stage.put("stopped", ports=ports)
    with stage.world.datagrams() as dead, stage.world.datagrams() as caller:
        dead.sendto(b"x", (HOST[0], 10_005))
        stage.control.event("wake", machine="m1")
        stage.put(ports=ports)
        assert stage.load()[1] == 1
        caller.sendto(b"y", (HOST[0], 10_001))
        with udp_echo(stage.world.bind(stage.inside, 10_001)):
            assert caller.recv(100) == b"y"
            line = stage.control.event("log", code="PC01")
            assert "UDP port 10005" in line["message"]
            for port in (10_006, 10_001):
                dead.sendto(b"z", (HOST[0], port))
            assert dead.recv(100) == b"z"


def test_what_no_machine_can_be_sent_is_dropped(stage: Stage) -> None:
    """IPv6 carries some bytes more than IPv4: such a datagram wakes nobody."""
    stage.put("stopped")
    with stage.world.datagrams() as caller:
        caller.sendto(bytes(LONGEST + 1), HOST)
        stage.await_stats(lambda now: now["udp_dropped"] == 1)
        assert stage.stats()["udp_flows"] == 0
        assert not any(line["ev"] == "wake" for line in stage.control.events)
        caller.sendto(bytes(LONGEST), HOST)
        stage.control.event("wake", machine="m1")


def test_what_is_held_is_bounded(stage: Stage) -> None:
    """Of one flow sixteen datagrams are held, of no more than 64 KiB; the rest is dropped and
    counted. Nothing stays held when nobody can be woken.
    """
    stage.put("stopped")
    with stage.world.datagrams() as small, stage.world.datagrams() as large:
        for number in range(40):
            small.sendto(b"%d" % number, HOST)
        for _ in range(8):
            large.sendto(bytes(10_000), HOST)
        found = stage.await_stats(lambda now: now["udp_dropped"] >= 26 and now["waiting"] == 2)
        assert found["udp_dropped"] == 24 + 2
        assert found["udp_held_bytes"] == sum(len(b"%d" % number) for number in range(16)) + 60_000
        stage.control.call("wake_failed", machine="m1", code="PM07", message="no")
        found = stage.await_stats(lambda now: now["udp_flows"] == 0)
        assert found["udp_held_bytes"] == 0
        assert stage.control.event("log", code="PM07")["app"] == "a"


def test_flows_that_wait_take_no_room_of_other_calls(tmp_path: Path) -> None:
    """What flows could hold does not count as held of all calls together, or a few datagrams to
    apps that never wake would leave no room for anybody's request.
    """
    with contextlib.ExitStack() as stack:
        stage = stack.enter_context(staged(tmp_path, max_held_bytes=1000))
        stage.put("stopped")
        callers = [stack.enter_context(stage.world.datagrams()) for _ in range(5)]
        for number, caller in enumerate(callers):
            caller.sendto(b"%d" % number, HOST)
        stage.control.event("wake", machine="m1")
        found = stage.await_stats(lambda now: now["waiting"] == 5)
        assert (found["held_bytes"], found["udp_held_bytes"]) == (0, 5)
        stage.put()
        stack.enter_context(udp_echo(stage.world.bind(stage.inside, PORT)))
        for number, caller in enumerate(callers):
            assert caller.recv(100) == b"%d" % number


def test_limits_are_exact(stage: Stage) -> None:
    """At the hard limit a flow waits, its datagrams held, until another one ends."""
    stage.put(concurrency={"type": "connections", "hard_limit": 2})
    with contextlib.ExitStack() as stack:
        stack.enter_context(udp_echo(stage.world.bind(stage.inside, PORT)))
        callers = [stack.enter_context(stage.world.datagrams()) for _ in range(3)]
        for caller in callers[:2]:
            caller.sendto(b"x", HOST)
            assert caller.recv(100) == b"x"
        callers[2].sendto(b"y", HOST)
        report = stage.control.wait(lambda line: line["ev"] == "load" and line["waiting"])
        assert report["machines"]["m1"][f"{PORT}/udp"] == [2, 2]
        stage.put(concurrency={"type": "connections", "hard_limit": 3})
        assert callers[2].recv(100) == b"y"


def test_an_idle_flow_ends(tmp_path: Path) -> None:
    """A flow without datagrams is no load any more after the time that is set; the next datagram
    begins another one.
    """
    with (
        staged(tmp_path, udp_idle_ms=400) as stage,
        udp_echo(stage.world.bind(stage.inside, PORT)) as came,
        stage.world.datagrams() as caller,
    ):
        stage.put()
        for _ in range(2):
            caller.sendto(b"x", HOST)
            assert caller.recv(100) == b"x"
            stage.await_stats(lambda now: now["udp_flows"] == 0)
        assert len({peer for _, peer in came}) == 2
        answer = stage.control.call("drain", machine="m1", if_idle=True)
        assert (answer["drained"], answer["load"]) == (True, 0)


def test_a_flow_is_use(stage: Stage) -> None:
    """A Machine with a flow is not idle."""
    stage.put()
    with udp_echo(stage.world.bind(stage.inside, PORT)), stage.world.datagrams() as caller:
        caller.sendto(b"x", HOST)
        assert caller.recv(100) == b"x"
        answer = stage.control.call("drain", machine="m1", if_idle=True)
        assert (answer["drained"], answer["load"]) == (False, 1)


def test_a_flow_leaves_a_machine_that_goes(stage: Stage) -> None:
    """When its Machine goes down, what a caller sends next goes to another one."""
    other, inside = stage.world.add_machine()
    stage.put()
    with (
        udp_echo(stage.world.bind(stage.inside, PORT), b"1"),
        udp_echo(stage.world.bind(inside, PORT), b"2"),
        stage.world.datagrams() as caller,
    ):
        caller.sendto(b"x", HOST)
        assert caller.recv(100) == b"1x"
        stage.put(name="m2", ip4=other)
        stage.put("stopping")
        caller.sendto(b"y", HOST)
        assert caller.recv(100) == b"2y"


def test_what_is_held_outlasts_a_machine_that_ends(stage: Stage) -> None:
    """A Machine that goes down before it took anything: what is held goes to it, in order and with
    what came since, once it is there again.
    """
    stage.put("stopped")
    with stage.world.datagrams() as caller:
        caller.sendto(b"0", HOST)
        stage.control.event("wake", machine="m1")
        stage.put()
        stage.stays_held(1)
        for state in ("stopping", "stopped"):
            stage.put(state)
        caller.sendto(b"1", HOST)
        stage.control.event("wake", machine="m1")
        stage.await_stats(lambda now: now["udp_held_bytes"] == 2)
        assert stage.stats()["udp_flows"] == 1
        with udp_echo(stage.world.bind(stage.inside, PORT)) as came:
            stage.put()
            assert [caller.recv(100) for _ in range(2)] == [b"0", b"1"]
            caller.sendto(b"2", HOST)
            assert caller.recv(100) == b"2"
            assert len({peer for _, peer in came}) == 1


def test_either_side_keeps_a_flow(tmp_path: Path) -> None:
    """A flow lives while its caller or its Machine says something, whoever of them is silent."""
    with contextlib.ExitStack() as stack:
        stage = stack.enter_context(staged(tmp_path, udp_idle_ms=1500))
        stage.put()
        asks, hears = (stack.enter_context(stage.world.datagrams()) for _ in range(2))
        inside = stack.enter_context(stage.world.bind(stage.inside, PORT))
        hears.sendto(b"begin", HOST)
        _, peer = inside.recvfrom(100)
        asks.sendto(b"0", HOST)
        _, asking = inside.recvfrom(100)
        ended = threading.Event()

        def talk() -> None:
            while not ended.wait(0.02):
                asks.sendto(b"0", HOST)
                inside.sendto(b"1", peer)

        talking = threading.Thread(target=talk)
        talking.start()
        try:
            for _ in range(4):
                stage.control.event("load")
            assert stage.stats()["udp_flows"] == 2
        finally:
            ended.set()
            talking.join()
        inside.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                assert inside.recvfrom(100)[1] == asking


def test_a_machine_that_goes_on_talking_is_let_go(stage: Stage) -> None:
    """A flow whose Machine takes nothing new ends soon, however much the Machine still says."""
    stage.put()
    ended = threading.Event()
    with stage.world.datagrams() as caller, stage.world.bind(stage.inside, PORT) as inside:
        caller.sendto(b"x", HOST)
        _, peer = inside.recvfrom(100)

        def talk() -> None:
            while not ended.wait(0.01):
                with contextlib.suppress(ConnectionRefusedError):
                    inside.sendto(b"news", peer)

        talking = threading.Thread(target=talk)
        talking.start()
        try:
            assert caller.recv(100) == b"news"
            assert stage.control.call("drain", machine="m1", if_idle=False)["load"] == 1
            stage.control.wait(
                lambda line: (
                    line["ev"] == "load"
                    and line["machines"].get("m1", {}).get(f"{PORT}/udp", [1])[0] == 0
                )
            )
        finally:
            ended.set()
            talking.join()


def test_a_refusal_is_told_and_tried_again(stage: Stage) -> None:
    """A program that stopped listening: the app's log names Machine and port, and what is sent next
    is held until it listens again.
    """
    stage.put()
    with stage.world.datagrams() as caller:
        caller.sendto(b"lost", HOST)
        line = stage.control.event("log", code="PC01")
        assert (line["app"], line["machine"]) == ("a", "m1")
        assert f"UDP port {PORT}" in line["message"]
        stage.await_stats(lambda now: now["udp_flows"] == 0)
        caller.sendto(b"held", HOST)
        stage.stays_held(4)
        with udp_echo(stage.world.bind(stage.inside, PORT)) as came:
            assert caller.recv(100) == b"held"
            assert [data for data, _ in came] == [b"held"]


def test_only_allowed_apps_may_send(stage: Stage) -> None:
    """Datagrams of an app that is not allowed wake and reach nobody; its log says who it was."""
    for number, name in enumerate(("web", "other"), 1):
        stage.control.put("app", app_at(name, []))
        value = machine(f"caller-{name}", name, "172.16.0.200", ports=[])
        stage.control.put("machine", value | {"ip6": f"{MACHINES}1{number}:2"})
    stage.put("stopped", allowed_apps=["web"])
    with (
        stage.world.datagrams(source=f"{MACHINES}12:beef") as denied,
        stage.world.datagrams(source=f"{MACHINES}11:beef") as allowed,
    ):
        denied.sendto(b"no", HOST)
        line = stage.control.event("log", code="RA01")
        assert "caller-other" in line["message"]
        assert stage.stats()["udp_flows"] == 0
        assert not any(line["ev"] == "wake" for line in stage.control.events)
        allowed.sendto(b"yes", HOST)
        stage.control.event("wake", machine="m1")


def test_one_source_cannot_take_all_flows(stage: Stage) -> None:
    """A Machine has its share of flows, whatever addresses of its own it uses, and no more."""
    stage.put(concurrency={"type": "connections"})
    with contextlib.ExitStack() as stack:
        came = stack.enter_context(udp_echo(stage.world.bind(stage.inside, PORT)))

        def taken(count: int) -> Callable[[dict[str, int]], bool]:
            return lambda now: now["udp_flows"] + now["udp_dropped"] == count

        for number in range(1, 2301):
            with stage.world.datagrams(source=f"{MACHINES}11:{number:x}") as caller:
                caller.sendto(b"x", HOST)
            if number % 50 == 0:
                # More at once might not fit into the kernel's buffer.
                stage.await_stats(taken(number))
        line = stage.control.event("log", code="RU01")
        assert "too many flows" in line["message"]
        # Two threads, each with a share.
        assert stage.stats()["udp_flows"] <= 2 * 1024
        before = len(came)
        with stage.world.datagrams(source=f"{MACHINES}12:1") as caller:
            caller.sendto(b"other", HOST)
            assert caller.recv(100) == b"other"
        assert len(came) > before


def test_ranges_and_single_ports_reach_their_port(stage: Stage) -> None:
    """A range leads each port to the same port of the Machine; answers come from the port that was
    called. TCP at the same number is another service.
    """
    stage.put(ports=[{"port": 10_000, "end_port": 19_999}])
    with (
        udp_echo(stage.world.bind(stage.inside, 10_000), b"a"),
        udp_echo(stage.world.bind(stage.inside, 19_999), b"b"),
        stage.world.datagrams() as caller,
        stage.world.datagrams() as other,
    ):
        for port, prefix in ((10_000, b"a"), (19_999, b"b"), (10_000, b"a")):
            for one in (caller, other):
                one.sendto(b"x", (HOST[0], port))
                answer, peer = one.recvfrom(100)
                assert (answer, peer[:2]) == (prefix + b"x", (HOST[0], port))
        assert stage.stats()["udp_flows"] == 4
        with pytest.raises(ConnectionRefusedError):
            stage.world.call(2, 10_000)


def test_a_port_nobody_has_is_refused(stage: Stage) -> None:
    """The kernel refuses datagrams to ports without a service; an address that has not the port
    gets nothing, nor one whose port has handlers.
    """
    stage.put()
    stage.control.put("app", app("b", f"{FLYCAST}3"))
    with stage.world.datagrams() as caller:
        caller.connect((HOST[0], PORT + 1))
        caller.send(b"x")
        with pytest.raises(ConnectionRefusedError):
            caller.recv(100)
    with stage.world.datagrams() as caller:
        caller.sendto(b"x", (f"{FLYCAST}3", PORT))
        line = stage.control.event("log", app="b")
        assert line["code"] == "PR01"
        assert stage.stats()["udp_flows"] == 0
    stage.put(ports=[{"port": PORT, "handlers": ["tls"]}])
    with stage.world.datagrams() as caller:
        caller.sendto(b"x", HOST)
        line = stage.control.event("log", app="a")
        assert (line["code"], "handler" in line["message"]) == ("PR01", True)
        assert stage.stats()["udp_flows"] == 0


def test_flows_end_with_the_address_they_came_by(stage: Stage) -> None:
    """When an address is taken from an app its flows end after the app's patience."""
    stage.put()
    with udp_echo(stage.world.bind(stage.inside, PORT)), stage.world.datagrams() as caller:
        caller.sendto(b"x", HOST)
        assert caller.recv(100) == b"x"
        stage.control.put("app", app_at("a", [], drain_ms=0))
        stage.await_stats(lambda now: now["udp_flows"] == 0)


def test_a_port_that_comes_back_is_heard_by_all(stage: Stage) -> None:
    """Flows may outlive the place they came by; when it is there again, nobody's datagrams go to
    sockets that no one reads.
    """
    stage.put()
    came_back = {"network": "1", "ip": f"{FLYCAST}3"}
    with contextlib.ExitStack() as stack:
        stack.enter_context(udp_echo(stage.world.bind(stage.inside, PORT)))

        def served(host: str) -> None:
            callers = [stack.enter_context(stage.world.datagrams()) for _ in range(20)]
            for caller in callers:
                caller.sendto(b"x", (host, PORT))
            for caller in callers:
                assert caller.recv(100) == b"x"

        served(HOST[0])
        stage.control.put("app", app_at("a", [], drain_ms=60_000))
        stage.control.put("app", app_at("a", [came_back]))
        served(came_back["ip"])
        assert stage.stats()["udp_flows"] == 40


def test_a_network_that_comes_back_is_served(stage: Stage) -> None:
    """Its flows of before are no reason to be left without an answer."""
    stage.put()
    with contextlib.ExitStack() as stack:
        came = stack.enter_context(udp_echo(stage.world.bind(stage.inside, PORT)))
        callers = [stack.enter_context(stage.world.datagrams()) for _ in range(10)]
        for _ in range(2):
            for caller in callers:
                caller.sendto(b"x", HOST)
            for caller in callers:
                assert caller.recv(100) == b"x"
            stage.control.call("del", kind="network", id="1")
            stage.control.put("network", network(str(stage.world.router)))
        assert len({peer for _, peer in came}) == 20


@pytest.mark.parametrize("ip", ["192.0.2.7", "2001:db8::7"])
def test_callers_from_outside(stage: Stage, ip: str) -> None:
    """At a public address, single ports and ranges, answers come from where was called; at one that
    apps share nobody is called.
    """
    shared = {"network": "public", "ip": "192.0.2.8", "shared": True}
    stage.control.put("network", public_network(str(stage.world.router)))
    stage.control.put("app", app_at("a", [{"network": "public", "ip": ip}, shared]))
    routes = "; ".join(f"ip route add local {one} dev lo" for one in (ip, shared["ip"]))
    assert call_inside(stage.world.router, lambda: os.system(routes)) == 0
    stage.put(ports=[{"port": PORT}, {"port": 6000, "end_port": 6009}])
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    ports = (PORT, 6000, 6009)
    with contextlib.ExitStack() as stack:
        for port in ports:
            stack.enter_context(udp_echo(stage.world.bind(stage.inside, port)))

        def make() -> socket.socket:
            return stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))

        caller = call_inside(stage.world.router, make)
        caller.settimeout(DEADLINE_S)
        for port in ports:
            caller.sendto(b"x", (ip, port))
            data, peer = caller.recvfrom(100)
            assert (data, peer[:2]) == (b"x", (ip, port))
        if family == socket.AF_INET:
            caller.sendto(b"no", (shared["ip"], PORT))
            caller.sendto(b"x", (ip, PORT))
            assert caller.recv(100) == b"x"
        assert stage.stats()["udp_flows"] == 3


def test_callers_from_outside_leave_flows_to_those_inside(tmp_path: Path) -> None:
    """However many addresses datagrams from outside bear, half of the flows are for Machines, and
    half of the connections from outside no flows.
    """
    with contextlib.ExitStack() as stack:
        stage = stack.enter_context(staged(tmp_path, files=1100))
        outside, ip = stack.enter_context(namespace()), "192.0.2.7"
        stage.control.put("network", public_network(str(outside)))
        own = {"network": "1", "ip": HOST[0]}
        stage.control.put("app", app_at("a", [{"network": "public", "ip": ip}, own]))
        assert call_inside(outside, lambda: os.system(f"ip addr add {ip} dev lo")) == 0
        stage.put()
        stack.enter_context(udp_echo(stage.world.bind(stage.inside, PORT)))
        most = stage.stats()["max_connections"]

        def storm() -> None:
            for number in range(most):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
                    caller.bind((f"127.0.1.{number}", 0))
                    caller.sendto(b"x", (ip, PORT))

        call_inside(outside, storm)
        found = stage.await_stats(lambda now: now["udp_flows"] + now["udp_dropped"] >= most)
        assert found["udp_flows"] == found["from_outside"] == most // 2 // 2
        line = stage.control.event("log", code="RU01")
        assert "there are too many flows" in line["message"]
        for _ in range(most // 2 - most // 2 // 2):
            caller = stack.enter_context(stage.world.datagrams())
            caller.sendto(b"y", HOST)
            assert caller.recv(100) == b"y"


def test_no_flow_goes_where_a_check_fails(stage: Stage) -> None:
    """A check of a UDP service asks the same port over TCP; a Machine that does not pass gets no
    new flow, and gets them again once it passes.
    """
    other, inside = stage.world.add_machine()
    check = {"name": "dns", "type": "tcp", "port": PORT, "interval_ms": 20, "timeout_ms": 1000}

    def told(machine: str, status: str) -> None:
        def fits(line: Line) -> bool:
            results = line["results"] if line["ev"] == "checks" else []
            return any(one["status"] == status and one["output"] for one in results)

        stage.control.wait(lambda line: fits(line) and line["machine"] == machine)

    with (
        udp_echo(stage.world.bind(stage.inside, PORT), b"1"),
        udp_echo(stage.world.bind(inside, PORT), b"2"),
        stage.world.listen(inside, PORT),
    ):
        stage.put(checks=[check])
        stage.put(name="m2", ip4=other, checks=[check])
        told("m1", "critical")
        told("m2", "passing")
        for _ in range(4):
            with stage.world.datagrams() as caller:
                caller.sendto(b"x", HOST)
                assert caller.recv(100) == b"2x"
        with stage.world.listen(stage.inside, PORT):
            told("m1", "passing")
            with stage.world.datagrams() as caller:
                caller.sendto(b"x", HOST)
                assert caller.recv(100) == b"1x"


def test_connections_and_flows_share_the_room(tmp_path: Path) -> None:
    """One source has half of the connections that open files allow, all together as many, flows
    among them: nothing is accepted beyond, and a flow is told of.
    """
    with contextlib.ExitStack() as stack:
        stage = stack.enter_context(staged(tmp_path, files=1100))
        value = machine("m1", "a", stage.ip4)
        udp = {"protocol": "udp", "internal_port": PORT, "ports": [{"port": PORT}]}
        value["services"].append(udp)
        stage.control.put("machine", value)
        stack.enter_context(stage.world.listen(stage.inside))
        most = stage.stats()["max_connections"]

        def connects(host: str, many: int) -> None:
            for _ in range(many):
                stack.enter_context(stage.world.call(2, source=f"{MACHINES}{host}"))

        connects("11:1", most // 2)
        stage.await_stats(lambda now: now["connections"] == most // 2)
        crowded = stack.enter_context(stage.world.call(2, source=f"{MACHINES}11:2"))
        with pytest.raises(ConnectionResetError):
            crowded.recv(1)
        assert stage.control.event("log", code="RA03")["app"] == "a"
        connects("12:1", most - most // 2)
        stage.await_stats(lambda now: now["connections"] == most)
        with stage.world.datagrams(source=f"{MACHINES}13:1") as caller:
            caller.sendto(b"x", HOST)
            line = stage.control.event("log", code="RU01")
            assert "there are too many flows" in line["message"]
        connects("13:1", 1)
        assert stage.stats()["connections"] == most
