"""Who may call what, with the real proxy: ports of an address, lists of apps that may call."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.proxy_control import (
    Control,
    app,
    app_at,
    greeted,
    machine,
    network,
)
from tests.support.proxy_world import FLYCAST, MACHINES, World, echo, served

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces, which needs root"),
]

BOTH = [{"port": 5000, "handlers": []}, {"port": 5001, "handlers": []}]
WEB = f"{MACHINES}5:2"
WEB_TOO = f"{MACHINES}5:beef"
OTHER = f"{MACHINES}6:2"
NOBODY = f"{MACHINES}7:2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A running proxy that serves one network, and the agent's connection to it."""

    world: World
    control: Control


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with contextlib.ExitStack() as stack:
        world = World(stack)
        control = greeted(stack, tmp_path / "proxy.sock")
        control.put("network", network(str(world.router)))
        yield Stage(world=world, control=control)


def expect_reset(stage: Stage, host: int, port: int = 5000, source: str | None = None) -> None:
    """A call is accepted and reset; whether before or after `connect` has returned is chance."""
    with (
        pytest.raises(ConnectionResetError),
        stage.world.call(host, port, source=source) as caller,
    ):
        caller.recv(1)


def answers(caller: socket.socket) -> bool:
    """Whether the echo at the other end answers."""
    with caller:
        caller.sendall(b"x")
        return caller.recv(1) == b"x"


def at(host: int, **more: object) -> dict[str, object]:
    """A Flycast address on network 1."""
    return {"network": "1", "ip": f"{FLYCAST}{host:x}", **more}


def test_an_address_offers_only_its_ports(stage: Stage) -> None:
    """A port answers at the addresses that offer it; elsewhere it is reset and logged PR01."""
    address, inside = stage.world.add_machine()
    stage.control.put("app", app_at("a", [at(2), at(3, ports=[5001])]))
    stage.control.put("machine", machine("m1", "a", address, ports=BOTH))
    with served(stage.world.listen(inside), echo):
        assert answers(stage.world.call(2, 5000))
        assert answers(stage.world.call(2, 5001))
        assert answers(stage.world.call(3, 5001))
        expect_reset(stage, 3, 5000)
    line = stage.control.event("log", app="a", code="PR01")
    assert line["message"] == f"port 5000 of the app is not offered at {FLYCAST}3"


def test_ports_that_no_address_offers_are_closed(stage: Stage) -> None:
    """A port is refused when no address offers it, opens when one does, and closes again."""
    address, inside = stage.world.add_machine()
    stage.control.put("app", app_at("a", [at(3, ports=[5001])]))
    stage.control.put("machine", machine("m1", "a", address, ports=BOTH))
    with served(stage.world.listen(inside), echo):
        with pytest.raises(ConnectionRefusedError):
            stage.world.call(3, 5000)
        stage.control.put("app", app_at("a", [at(3)]))
        assert answers(stage.world.call(3, 5000))
        stage.control.put("app", app_at("a", [at(3, ports=[])]))
        for port in (5000, 5001):
            with pytest.raises(ConnectionRefusedError):
                stage.world.call(3, port)


@pytest.fixture
def guarded(stage: Stage) -> Iterator[Stage]:
    """A stage with the callers `web` and `other`, and the app `db` that only `web` may call."""
    for name, ip6 in (("web", WEB), ("other", OTHER)):
        stage.control.put("app", app_at(name, []))
        caller = machine(f"m-{name}", name, "172.16.0.200", ip6=ip6, services=[])
        stage.control.put("machine", caller)
    address, inside = stage.world.add_machine()
    stage.control.put("app", app("db", f"{FLYCAST}2"))
    stage.control.put("machine", machine("m1", "db", address, allowed_apps=["web"]))
    with served(stage.world.listen(inside), echo):
        yield stage


def test_only_allowed_apps_may_call(guarded: Stage) -> None:
    """A listed app's Machine may call from any address of its /112; all others are reset."""
    assert answers(guarded.world.call(2, source=WEB))
    assert answers(guarded.world.call(2, source=WEB_TOO))
    for source in (OTHER, NOBODY, f"{FLYCAST}2"):
        expect_reset(guarded, 2, source=source)


@pytest.mark.parametrize(
    ("org", "listed", "may"),
    [
        ("acme", "web", False),
        ("acme", "personal/web", False),
        ("acme", "acme/web", True),
        ("personal", "acme/web", False),
        ("personal", "personal/web", True),
    ],
)
def test_a_bare_name_is_of_the_called_app_s_organization(
    stage: Stage, org: str, listed: str, may: bool
) -> None:
    """An app of another organization may call only where it is named with its organization."""
    stage.control.put("app", app_at("web", [], org=org))
    caller = machine("m-web", "web", "172.16.0.200", ip6=WEB, services=[])
    stage.control.put("machine", caller)
    address, inside = stage.world.add_machine()
    stage.control.put("app", app("db", f"{FLYCAST}2"))
    stage.control.put("machine", machine("m1", "db", address, allowed_apps=[listed]))
    with served(stage.world.listen(inside), echo):
        if may:
            assert answers(stage.world.call(2, source=WEB))
        else:
            expect_reset(stage, 2, source=WEB)


def test_who_may_not_call_is_logged(guarded: Stage) -> None:
    """The called app's log names the Machine and its app, or the address that no Machine has."""
    for source, message in (
        (OTHER, "machine m-other of the app other may not call port 5000"),
        (NOBODY, f"{NOBODY}, which is no known machine, may not call port 5000"),
    ):
        expect_reset(guarded, 2, source=source)
        line = guarded.control.event("log", app="db")
        assert (line["code"], line["level"], line["message"]) == ("RA01", "warn", message)


def test_the_strictest_list_counts(guarded: Stage) -> None:
    """While Machines have different lists a caller has to be in each, also those asleep."""
    guarded.control.put("app", app_at("web", []))
    second = machine("m2", "db", "172.16.0.99", "stopped", allowed_apps=["web", "other"])
    guarded.control.put("machine", second)
    assert answers(guarded.world.call(2, source=WEB))
    expect_reset(guarded, 2, source=OTHER)
    guarded.control.put("machine", {**second, "services": []})
    guarded.control.put("machine", machine("m3", "db", "172.16.0.98", "stopped", allowed_apps=[]))
    expect_reset(guarded, 2, source=WEB)
    guarded.control.call("del", kind="machine", id="m3")
    assert answers(guarded.world.call(2, source=WEB))


def test_who_may_not_call_wakes_nobody(guarded: Stage) -> None:
    """A call that is not allowed asks for no wake, an allowed one does."""
    guarded.control.put("app", app("cold", f"{FLYCAST}3"))
    asleep = machine("m9", "cold", "172.16.0.97", "stopped", allowed_apps=["web"])
    guarded.control.put("machine", asleep)
    expect_reset(guarded, 3, source=OTHER)
    guarded.control.event("log", app="cold", code="RA01")
    guarded.control.call("stats")
    assert not [line for line in guarded.control.events if line["ev"] == "wake"]
    with guarded.world.call(3, source=WEB):
        guarded.control.event("wake", machine="m9")
