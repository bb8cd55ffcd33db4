"""Port ranges through the real proxy: one listener for all, led to by the proxy's own rules."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Network
from pathlib import Path

import pytest

from roost.network import nft
from roost.network.addressed import router_of
from roost.network.namespaces import unshare_network
from roost.network.rules import RANGES_TABLE, ranges_rules, read_ranges
from tests.support.namespaces import call_inside
from tests.support.proxy_control import (
    DEADLINE_S,
    Control,
    Line,
    app,
    app_at,
    machine,
    network,
    public_network,
    running_proxy,
)
from tests.support.proxy_world import World, echo, served

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces, which needs root"),
]

FIRST, LAST = 10_000, 19_999
RANGE = {"port": FIRST, "end_port": LAST, "handlers": []}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A running proxy that serves one network, the agent's connection to it, and a Machine."""

    world: World
    control: Control
    pid: int
    ip4: str
    inside: Path

    def sockets(self) -> int:
        """How many sockets the proxy has."""
        files = Path(f"/proc/{self.pid}/fd").iterdir()
        return sum(str(file.readlink()).startswith("socket:") for file in files)

    def echoes(self, host: int, port: int) -> bool:
        """Whether what is sent to a Flycast address comes back."""
        with self.world.call(host, port) as caller:
            caller.sendall(b"hello")
            caller.shutdown(socket.SHUT_WR)
            return caller.recv(100) == b"hello"

    def rules(self) -> str:
        """The proxy's table in the router, as nft lists it."""
        return call_inside(self.world.router, lambda: nft.listing(RANGES_TABLE))


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with contextlib.ExitStack() as stack:
        world = World(stack)
        process = stack.enter_context(running_proxy(tmp_path / "proxy.sock"))
        control = stack.enter_context(contextlib.closing(Control(tmp_path / "proxy.sock")))
        control.hello()
        control.put("network", network(str(world.router)))
        control.put("app", app("a", "fdaa:0:1:0:1::2"))
        ip4, inside = world.add_machine()
        stack.enter_context(served(world.listen(inside), echo))
        yield Stage(world=world, control=control, pid=process.pid, ip4=ip4, inside=inside)


def refused(stage: Stage, host: int, port: int) -> bool:
    """Whether a connection is refused by the kernel."""
    try:
        stage.world.call(host, port).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_range_is_one_listener(stage: Stage) -> None:
    """Ten thousand ports lead to one internal port, for no more sockets than one port; the ports
    around are refused, and so are all when the range is gone.
    """
    stage.control.put("machine", machine("m1", "a", stage.ip4, port={"port": 81, "handlers": []}))
    one_port = stage.sockets()
    stage.control.put("machine", machine("m1", "a", stage.ip4, port=RANGE))
    assert stage.sockets() == one_port
    for port in (FIRST, FIRST + 1, 12_345, LAST):
        assert stage.echoes(2, port)
    assert all(refused(stage, 2, port) for port in (81, FIRST - 1, LAST + 1))
    stage.control.put("machine", machine("m1", "a", stage.ip4, ports=[]))
    assert all(refused(stage, 2, port) for port in (FIRST, 12_345, LAST))
    assert stage.rules() == ""


def test_ranges_follow_a_network_to_another_namespace(stage: Stage) -> None:
    """A router that was made anew gets the rules, and callers are heard there."""
    stage.control.put("machine", machine("m1", "a", stage.ip4, port=RANGE))
    before = stage.rules()
    with contextlib.ExitStack() as stack:
        anew = World(stack)
        stage.control.put("network", network(str(anew.router)))
        assert call_inside(anew.router, lambda: nft.listing(RANGES_TABLE)) == before != ""
        ip4, inside = anew.add_machine()
        assert ip4 == stage.ip4
        with served(anew.listen(inside), echo), anew.call(2, 12_345) as caller:
            caller.sendall(b"x")
            assert caller.recv(1) == b"x"


def test_ranges_meet_single_ports_and_each_other(stage: Stage) -> None:
    """Apps on one network may have ranges that overlap, and single ports within others' ranges:
    each is called at its own address, and one that has not the port resets.
    """
    other, inside = stage.world.add_machine()
    stage.control.put("app", app("b", "fdaa:0:1:0:1::3"))
    stage.control.put("machine", machine("m1", "a", stage.ip4, port=RANGE))
    ports = [{"port": 15_000, "end_port": 25_000}, {"port": 12_000}]
    stage.control.put("machine", machine("m2", "b", other, ports=ports))

    def name(connection: socket.socket) -> None:
        connection.sendall(b"b")

    with served(stage.world.listen(inside), name):
        for port in (12_000, 15_000, 19_999, 20_000, 25_000):
            with stage.world.call(3, port) as caller:
                assert caller.recv(1) == b"b"
        for port in (FIRST, 12_000, 15_000, LAST):
            assert stage.echoes(2, port)
        for host, port in ((2, 20_000), (3, 12_001)):
            with pytest.raises(ConnectionResetError), stage.world.call(host, port) as caller:
                caller.recv(1)


def test_an_address_may_offer_ports_of_a_range(stage: Stage) -> None:
    """Chosen ports of an address that lie in a range are listened at one by one."""
    address = {"network": "1", "ip": "fdaa:0:1:0:1::4", "ports": [12_000, 80]}
    stage.control.put("app", app_at("a", [address]))
    stage.control.put("machine", machine("m1", "a", stage.ip4, port=RANGE))
    assert stage.echoes(4, 12_000)
    assert refused(stage, 4, 12_001)
    assert refused(stage, 4, 80)
    assert stage.rules() == ""


def test_the_canary_knows_the_proxys_rules(stage: Stage) -> None:
    """The proxy's table is what the network room says it is, whatever the ranges."""
    udp = {"protocol": "udp", "internal_port": 7000, "ports": [RANGE]}
    value = machine("m1", "a", stage.ip4, ports=[RANGE, {"port": 40_000, "end_port": 65_535}])
    value["services"].append(udp)
    stage.control.put("machine", value)
    found = stage.rules()
    ranges = read_ranges(found)
    assert ranges == {"tcp": "10000-19999, 40000-65535", "udp": "10000-19999"}
    router = router_of(1)
    assert router.flycast == IPv6Network("fdaa:0:1:0:1::/80")

    def reference() -> str:
        unshare_network()
        nft.load("compare", ranges_rules(router, ranges))
        return nft.listing(RANGES_TABLE)

    assert call_inside(stage.world.router, reference) == found


def test_a_new_proxy_takes_over_the_rules(stage: Stage, tmp_path: Path) -> None:
    """A proxy that starts where another was killed replaces its rules by what it is told."""
    stage.control.put("machine", machine("m1", "a", stage.ip4, port=RANGE))
    os.kill(stage.pid, 9)
    path = tmp_path / "second.sock"
    with running_proxy(path), contextlib.closing(Control(path)) as control:
        control.hello()
        control.put("network", network(str(stage.world.router)))
        control.put("app", app("a", "fdaa:0:1:0:1::2"))
        ports = [{"port": 30_000, "end_port": 30_001}]
        control.put("machine", machine("m1", "a", stage.ip4, ports=ports))
        assert stage.echoes(2, 30_001)
        assert refused(stage, 2, FIRST)
        assert read_ranges(stage.rules()) == {"tcp": "30000-30001"}


def public(stage: Stage, ports: list[Line]) -> None:
    """The app at an address outside, for a test namespace that stands for the host's own."""
    stage.control.put("network", public_network(str(stage.world.router)))
    stage.control.put("app", app_at("a", [{"network": "public", "ip": "192.0.2.7"}]))
    stage.control.put("machine", machine("m1", "a", stage.ip4, ports=ports))


def test_a_range_at_a_public_address_is_small(stage: Stage) -> None:
    """At a public address each port of a range has a socket; one of too many ports is not served,
    nor what goes beyond the sum of all, and the app's log says so.
    """
    wide = [{"port": first, "end_port": first + 249} for first in range(2000, 7000, 1000)]
    public(stage, [{"port": 1000, "end_port": 1009}, RANGE, *wide])

    def call(port: int) -> int:
        with socket.socket() as caller:
            caller.settimeout(DEADLINE_S)
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
            return caller.connect_ex(("192.0.2.7", port))

    def all_calls() -> list[int]:
        os.system("ip route add local 192.0.2.7/32 dev lo 2>/dev/null")
        return [call(port) for port in (1000, 1009, 5249, 1010, 6000, FIRST)]

    reached = call_inside(stage.world.router, all_calls)
    assert [code == 0 for code in reached] == [True] * 3 + [False] * 3
    lines = [stage.control.event("log", code="RL01")["message"] for _ in range(2)]
    assert stage.rules() == ""
    stage.control.put("machine", machine("m1", "a", stage.ip4, ports=[]))
    assert all(call_inside(stage.world.router, all_calls))
    assert sorted(lines) == [
        "nobody can call 192.0.2.7:10000-19999: a range at a public address has at most 256 ports",
        "nobody can call 192.0.2.7:6000-6249: its ranges have at most 1024 ports together",
    ]


def test_groups_share_a_port_with_ports_of_their_own(stage: Stage) -> None:
    """Two process groups may serve one external port at different internal ports, and ports of
    their own besides.
    """
    other, inside = stage.world.add_machine()
    with served(stage.world.listen(inside, 9000), lambda one: one.sendall(b"web")):
        for name, ip4, internal, ports in (
            ("m1", stage.ip4, 7000, [{"port": 80}, {"port": 81}]),
            ("m2", other, 9000, [{"port": 80}, {"port": 82}]),
        ):
            value = machine(name, "a", ip4, ports=ports, group=name)
            value["services"][0]["internal_port"] = internal
            stage.control.put("machine", value)
        assert stage.echoes(2, 81)
        with stage.world.call(2, 82) as caller:
            assert caller.recv(3) == b"web"
        with stage.world.call(2, 80) as one, stage.world.call(2, 80) as two:
            for caller in (one, two):
                caller.sendall(b"raw")
            # The one that has a unit of load less is taken.
            assert {one.recv(3), two.recv(3)} == {b"raw", b"web"}
