"""The words of `roost reach` and the deeds of the real proxy, over the same random rows."""

from __future__ import annotations

import contextlib
import os
import random
import select
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from roost.proxyctl.decide import Caller, decide
from roost.proxyctl.ways import Way
from tests.support.namespaces import call_inside
from tests.support.proxy_control import Control, Line, app_at, greeted, network
from tests.support.proxy_world import FLYCAST, IPV6_FREEBIND, MACHINES, World, served

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces, which needs root"),
]

CALLED = ("a", "b")
CALLERS = ("web", "other")
ORGS = {"a": "personal", "b": "acme", "web": "personal", "other": "acme"}
LISTED = (*CALLERS, "personal/web", "acme/other", "acme/web", "personal/other")
PORTS = (80, 5000)
NOT_OFFERED = 6000
NETWORKS = ("1", "2")
UP = ("started", "started", "starting")
ASLEEP = ("created", "stopped", "suspended", "stopping", "suspending")
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"
ROUNDS, CALLS = 30, 10

Handlers = dict[tuple[str, int], list[str]]
"""By app and external port."""


@dataclass(slots=True, kw_only=True)
class Rows:
    """What the proxy was told."""

    apps: dict[str, list[Way]] = field(default_factory=dict)
    machines: dict[str, Line] = field(default_factory=dict)

    def of(self, app: str) -> list[Line]:
        """The Machines of an app, in the order of their ids, as the store has them."""
        return [self.machines[name] for name in sorted(self.machines) if self.app_of(name) == app]

    def app_of(self, name: str) -> str:
        """The app of a Machine."""
        return str(self.machines[name]["app"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A running proxy, two networks, and one place where all Machines answer."""

    control: Control
    worlds: dict[str, World]
    address: str

    def tell(self, rows: Rows) -> None:
        """Replaces everything by `rows`."""
        self.control.call("snapshot", stage="begin")
        for name, world in self.worlds.items():
            # All test worlds have the addresses of network 1.
            value = network(str(world.router), number=int(name))
            self.control.put("network", value | {"prefix": "fdaa:0:1::/48"})
        for name, found in rows.apps.items():
            self.control.put("app", app_at(name, [_wire(way) for way in found], org=ORGS[name]))
        for value in rows.machines.values():
            self.control.put("machine", value)
        self.control.call("snapshot", stage="end")

    def outcome(self, caller: Caller, source: str, ip: str, port: int) -> str:
        """What becomes of a call: `reached`, `woken`, or `refused`."""
        self.control.events.clear()
        woken = False
        with contextlib.ExitStack() as stack:
            try:
                sock = stack.enter_context(self._connect(caller.network, source, ip, port))
                sock.sendall(REQUEST)
                while not select.select([sock], [], [], 0.01)[0]:
                    self.control.call("stats")
                    woken |= self._refuse_wakes()
                answered = _read(sock).startswith(b"HTTP/1.1 200")
            except ConnectionError:
                answered = False
        if woken:
            return "woken"
        return "reached" if answered else "refused"

    def _refuse_wakes(self) -> bool:
        """Lets every wake that is asked for fail, so that nobody waits for one in the end."""
        wakes = [line for line in self.control.events if line["ev"] == "wake"]
        self.control.events.clear()
        for line in wakes:
            machine = line["machine"]
            self.control.call("wake_failed", machine=machine, code="PM07", message="no")
        return bool(wakes)

    def _connect(self, of: str, source: str, ip: str, port: int) -> socket.socket:
        def connect() -> socket.socket:
            sock = socket.socket(socket.AF_INET6)
            sock.settimeout(20)
            try:
                sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
                sock.bind((source, 0))
                sock.connect((ip, port))
            except BaseException:
                sock.close()
                raise
            return sock

        return call_inside(self.worlds[of].router, connect)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with contextlib.ExitStack() as stack:
        worlds = {name: World(stack) for name in NETWORKS}
        address, inside = worlds["1"].add_machine()
        control = greeted(stack, tmp_path / "proxy.sock")
        stack.enter_context(served(worlds["1"].listen(inside), _answer))
        yield Stage(control=control, worlds=worlds, address=address)


def _answer(connection: socket.socket) -> None:
    # Ports that are only tried get no answer.
    if connection.recv(65536):
        connection.sendall(ANSWER)


def _read(sock: socket.socket) -> bytes:
    parts = []
    with contextlib.suppress(ConnectionError):
        while data := sock.recv(65536):
            parts.append(data)
    return b"".join(parts)


def _wire(way: Way) -> Line:
    return {"network": way.network, "ip": way.ip} | ({"ports": way.ports} if way.ports else {})


def _source(of: str, app: str | None) -> str:
    """Where the Machine of a calling app calls from: any address of its /112."""
    number = CALLERS.index(app) + 1 if app else 9
    return f"{MACHINES}{of}{number}:beef"


def _caller_machine(app: str, of: str) -> Line:
    return {
        "id": f"m-{app}-{of}",
        "app": app,
        "network": of,
        "region": "local",
        "state": "started",
        "ip6": _source(of, app).replace("beef", "2"),
        "ip4": "172.16.0.200",
        "services": [],
    }


def _ways(chance: random.Random, app: str) -> list[Way]:
    first = 2 + 16 * CALLED.index(app)
    return [
        Way(
            network=chance.choice(NETWORKS),
            ip=f"{FLYCAST}{first + number:x}",
            ports=chance.choice([(), (), (80,), (5000,), (80, 5000)]),
        )
        for number in range(chance.randint(1, 3))
    ]


def _handlers(chance: random.Random) -> list[str]:
    kinds: list[list[str]] = [[], ["http"], ["proxy_proto"], ["newer"], ["pg_tls", "http"]]
    return chance.choices(kinds, [3, 4, 2, 1, 1])[0]


def _machine(chance: random.Random, name: str, app: str, ip4: str, handlers: Handlers) -> Line:
    state = chance.choice(UP) if chance.random() < 0.4 else chance.choice(ASLEEP)
    services = [
        {
            "protocol": chance.choice(["tcp", "tcp", "tcp", "udp"]),
            "internal_port": 7000,
            "ports": [_span(chance, port) | {"handlers": _agreed(chance, handlers[(app, port)])}],
            "autostart": chance.random() < 0.7,
            "concurrency": {"type": "connections"},
            **_guard(chance),
        }
        for port in chance.sample(PORTS, chance.randint(0, 2))
    ]
    return {
        "id": name,
        "app": app,
        "network": "1",
        "region": "local",
        "instance": "01J",
        "state": state,
        "ip4": ip4,
        "cordoned": chance.random() < 0.2,
        "startable": state not in UP and chance.random() < 0.8,
        "services": services,
    }


def _span(chance: random.Random, port: int) -> Line:
    """A port, or now and then a range around it."""
    return {"port": port - 1, "end_port": port + 1} if chance.random() < 0.2 else {"port": port}


def _agreed(chance: random.Random, handlers: list[str]) -> list[str]:
    """Mostly what the others say, as in a deploy under way."""
    return handlers if chance.random() < 0.8 else _handlers(chance)


def _guard(chance: random.Random) -> Line:
    allowed = chance.sample(LISTED, chance.randint(0, 4))
    return {"allowed_apps": allowed} if chance.random() < 0.4 else {}


def _rows(chance: random.Random, ip4: str) -> Rows:
    rows = Rows()
    handlers = {(app, port): _handlers(chance) for app in CALLED for port in PORTS}
    for app in CALLERS:
        rows.apps[app] = []
        for of in NETWORKS:
            rows.machines[f"m-{app}-{of}"] = _caller_machine(app, of)
    for app in CALLED:
        rows.apps[app] = _ways(chance, app)
        for number in range(chance.randint(0, 3)):
            name = f"{app}{number}"
            rows.machines[name] = _machine(chance, name, app, ip4, handlers)
    return rows


@pytest.mark.parametrize("seed", range(3))
def test_reach_says_what_the_proxy_does(stage: Stage, seed: int) -> None:
    """For random rows and callers, a call passes all steps if and only if it is served or wakes."""
    chance = random.Random(seed)
    outcomes: set[str] = set()
    for turn in range(ROUNDS):
        rows = _rows(chance, stage.address)
        stage.tell(rows)
        for _ in range(CALLS):
            app = chance.choice(CALLED)
            way = chance.choice(rows.apps[app])
            port = chance.choice((*PORTS, *PORTS, NOT_OFFERED))
            who = chance.choice((*CALLERS, None))
            of = chance.choice((way.network, way.network, *NETWORKS))
            caller = Caller(network=of, network_name=of, app=who, org=ORGS.get(who or "", ""))
            steps = list(decide(caller, way, port, rows.of(app), org=ORGS[app]))
            outcome = stage.outcome(caller, _source(of, who), way.ip, port)
            outcomes.add(outcome)
            assert steps[-1].passes == (outcome != "refused"), (
                f"{turn=} {caller} {way} {port=} {outcome=} {steps=} {rows.of(app)}"
            )
    assert outcomes == {"reached", "woken", "refused"}


def _plain(name: str, ip4: str, state: str, handlers: list[str]) -> Line:
    service = {"internal_port": 7000, "protocol": "tcp", "autostart": True}
    service["ports"] = [{"port": 80, "handlers": handlers}]
    more = {"cordoned": False, "startable": False, "services": [service]}
    return {"id": name, "app": "a", "network": "1", "state": state, "ip4": ip4, **more}


def _told(stage: Stage, *machines: Line) -> tuple[Rows, Way]:
    way = Way(network="1", ip=f"{FLYCAST}2")
    rows = Rows(apps={"a": [way]}, machines={str(one["id"]): one for one in machines})
    stage.tell(rows)
    return rows, way


def test_a_starting_machine_is_waited_for(stage: Stage) -> None:
    """A call to a Machine on its way up is held until it accepts, and reach says so."""
    rows, way = _told(stage, _plain("m1", stage.address, "starting", []))
    caller = Caller(network="1", network_name="1")
    assert stage.outcome(caller, _source("1", None), way.ip, 80) == "reached"
    assert list(decide(caller, way, 80, rows.of("a"), org="personal"))[-1].passes


def test_a_machine_that_is_gone_says_nothing_of_a_port(stage: Stage) -> None:
    """Handlers of a port are those of a Machine that is there, as reach says."""
    rows, way = _told(
        stage,
        _plain("m1", stage.address, "started", []),
        _plain("m2", stage.address, "stopped", ["tls"]),
    )
    stage.control.call("del", kind="machine", id="m2")
    del rows.machines["m2"]
    caller = Caller(network="1", network_name="1")
    assert list(decide(caller, way, 80, rows.of("a"), org="personal"))[-1].passes
    assert stage.outcome(caller, _source("1", None), way.ip, 80) == "reached"
