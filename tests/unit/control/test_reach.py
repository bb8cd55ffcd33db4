"""`roost reach`: yes or no, by the step that decides; nothing is told of what one may not see."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

import pytest

from roost.control.address_request import AddressRequest
from roost.control.public_pool import PublicPool
from roost.control.reach import Answer
from roost.control.reach_callers import MayLook
from roost.control.service import Control
from roost.errors import InvalidError, NotFoundError
from roost.model.records import App
from tests.support.control_bench import Bench, with_bench

WEB: dict[str, Any] = {"internal_port": 8080, "ports": [{"port": 80, "handlers": ["http"]}]}
RAW: dict[str, Any] = {"internal_port": 5432, "ports": [{"port": 5432}]}
TLS: dict[str, Any] = {"internal_port": 9000, "ports": [{"port": 443, "handlers": ["tls"]}]}


def everything(org: str, app: App | None, _machine: str | None) -> bool:
    """The operator's view."""
    return bool(org) or app is None


def only(*orgs: str) -> MayLook:
    """Somebody who may look at these organizations."""
    return lambda org, _app, _machine: org in orgs


async def world(bench: Bench) -> None:
    """`web` and `api` on the default network, `lab` on its own, `far` of another organization."""
    await bench.machine("web", services=[WEB, RAW, TLS])
    await bench.control.apps.create("api")
    await bench.control.apps.create("lab", network="lab")
    await bench.control.orgs.create("acme")
    await bench.control.apps.create("far", org="acme")
    await bench.control.addresses.allocate("web")


def ask(bench: Bench, source: str, target: str, may_look: MayLook = everything) -> Answer:
    return bench.control.reach.explain(source, target, may_look=may_look)


def stages(answer: Answer) -> list[str]:
    return [str(step.stage) for step in answer.steps]


def test_yes_with_every_step(tmp_path: Path) -> None:
    """From caller to Machine, each deciding step is there and passes."""

    async def body(bench: Bench) -> None:
        await world(bench)
        answer = ask(bench, "api", "web:80")
        assert answer.reaches
        wanted = ["caller", "name", "audience", "service", "guard", "machine"]
        assert wanted == stages(answer)
        assert answer.steps[1].why == "web.flycast resolves to fdaa:0:1:0:1::1"
        assert all(step.passes for step in answer.steps)

    with_bench(tmp_path, body)


@pytest.mark.parametrize(
    ("source", "target", "stage", "why"),
    [
        ("api", "web:81", "service", "no Machine of the app has a TCP service on port 81"),
        ("api", "web:443", "machine", ""),
        ("lab", "web:80", "name", "does not resolve on network personal/lab"),
        ("far", "web", "name", "its addresses are on personal/default"),
        ("personal/lab", "[fdaa:0:1:0:1::1]:80", "address", "there is no path"),
        ("api", "api", "name", "app api has no private address"),
        ("api", "nothing", "name", "nothing.flycast does not resolve"),
        ("api", "[fdaa:0:1:0:1::9]:80", "address", "is no app's Flycast address"),
        ("api", "fdaa:0:1:0:2:0:9:2", "address", "is no Machine's"),
        ("api", "172.16.0.2:22", "address", "IPv4 is not routed between Machines"),
        ("api", "169.254.169.254:80", "address", "nor to the host's own services"),
        ("api", "fe80::1", "address", "is nobody's"),
        ("api", "fdaa:ffff::1", "address", "is nobody's"),
        ("lab", "web.internal", "name", "NXDOMAIN"),
        ("api", "web.internal", "address", ""),
    ],
)
def test_the_step_that_decides(
    tmp_path: Path, source: str, target: str, stage: str, why: str
) -> None:
    """Each refusal ends with its step and a reason; a 6PN name is a yes."""

    async def body(bench: Bench) -> None:
        await world(bench)
        answer = ask(bench, source, target)
        if not why:
            assert answer.reaches
            return
        assert not answer.reaches
        assert stage == answer.steps[-1].stage
        assert why in answer.steps[-1].why
        assert all(step.passes for step in answer.steps[:-1])

    with_bench(tmp_path, body)


def test_ports_of_an_address(tmp_path: Path) -> None:
    """An address of chosen ports answers on them alone; without a port any that answers will do."""

    async def body(bench: Bench) -> None:
        await world(bench)
        await bench.control.addresses.allocate("web", AddressRequest(ports=(5432,)))
        assert ask(bench, "api", "[fdaa:0:1:0:1::2]:5432").reaches
        refused = ask(bench, "api", "[fdaa:0:1:0:1::2]:80")
        assert "answers on port 5432 only" in refused.steps[-1].why
        assert ask(bench, "api", "[fdaa:0:1:0:1::2]").reaches
        assert ask(bench, "api", "web:80").reaches

    with_bench(tmp_path, body)


def test_allowed_apps(tmp_path: Path) -> None:
    """Only those named pass; of two Machines' lists the stricter counts; a network is no app."""

    async def body(bench: Bench) -> None:
        await bench.control.apps.create("api")
        await bench.control.apps.create("job")
        await bench.machine("web", services=[{**WEB, "allowed_apps": ["api", "job"]}])
        await bench.control.addresses.allocate("web")
        assert ask(bench, "api", "web:80").reaches
        assert ask(bench, "job", "web:80").reaches
        refused = ask(bench, "web", "web:80")
        assert ("guard", False) == (refused.steps[-1].stage, refused.reaches)
        assert "a network is no app" in ask(bench, "personal/default", "web").steps[-1].why
        await bench.machine("web", services=[{**WEB, "allowed_apps": ["api"]}])
        assert not ask(bench, "job", "web:80").reaches
        await bench.machine("web", services=[{**WEB, "allowed_apps": ["personal/api"]}])
        assert ask(bench, "api", "web:80").reaches
        await bench.machine("web", services=[WEB])
        assert not ask(bench, "job", "web:80").reaches

    with_bench(tmp_path, body)


def test_machines(tmp_path: Path) -> None:
    """A sleeping Machine is a yes that wakes it; one that may not be woken, or cordoned, a no."""

    async def body(bench: Bench) -> None:
        await bench.control.apps.create("api")
        machine = await bench.machine("web", services=[WEB])
        await bench.control.addresses.allocate("web")
        await bench.control.machines.stop("web", machine.id)
        bench.host.settle(machine.id)
        assert "the call wakes it" in ask(bench, "api", "web:80").steps[-1].why
        await bench.control.machines.cordon("web", machine.id, True)
        answer = ask(bench, "api", "web:80")
        assert not answer.reaches
        assert "machine" == answer.steps[-1].stage

    with_bench(tmp_path, body)


def test_an_app_without_services(tmp_path: Path) -> None:
    """An address without a service leads nowhere."""

    async def body(bench: Bench) -> None:
        await world(bench)
        await bench.control.addresses.allocate("api")
        answer = ask(bench, "web", "api")
        assert "app api has no Machine with a service" == answer.steps[-1].why

    with_bench(tmp_path, body)


def test_a_shared_app_is_reached_where_it_is_shared(tmp_path: Path) -> None:
    """From the other organization's network by that address, and from its own by none."""

    async def body(bench: Bench) -> None:
        await world(bench)
        await bench.machine("solo", services=[WEB])
        grant = await bench.control.grants.give("solo", AddressRequest(org="acme"), actor="a")
        assert ask(bench, "far", "solo:80", only("acme")).reaches
        assert ask(bench, "far", f"[{grant.ip}]:80", only("acme")).reaches
        assert "its addresses are on acme/default" in ask(bench, "api", "solo").steps[-1].why
        await bench.control.addresses.release("solo", grant.ip)
        assert not ask(bench, "far", "solo:80").reaches

    with_bench(tmp_path, body)


def test_an_address_past_its_date_is_none(tmp_path: Path) -> None:
    """Also before the sweep."""

    async def body(bench: Bench) -> None:
        await bench.machine("web", services=[WEB])
        await bench.control.addresses.allocate("web", AddressRequest(lifetime_ms=1000))
        assert ask(bench, "web", "web:80").reaches
        bench.clock.forward(1)
        assert not ask(bench, "web", "web:80").reaches

    with_bench(tmp_path, body)


@pytest.mark.parametrize("target", ["web", "nothing", "web:80", "[fdaa:0:1:0:1::1]:80"])
def test_nothing_is_told_of_others(tmp_path: Path, target: str) -> None:
    """For who may look at acme alone, personal's app answers like one that does not exist."""

    async def body(bench: Bench) -> None:
        await world(bench)
        told = ask(bench, "far", target, only("acme")).steps[-1].why
        assert "personal" not in told.replace("network acme/default", "")
        unknown = target.replace("web", "nothing")
        same = ask(bench, "far", unknown, only("acme")).steps[-1].why
        assert told.replace("web", "nothing") == same

    with_bench(tmp_path, body)


@pytest.mark.parametrize(
    "source", ["web", "api", "personal/default", "default", "nobody", "acme/x"]
)
def test_an_unknown_source_and_one_of_others_are_the_same(tmp_path: Path, source: str) -> None:
    """A source that the asker may not look at is not found."""

    async def body(bench: Bench) -> None:
        await world(bench)
        with pytest.raises(NotFoundError, match=f"no app, Machine or network '{source}'"):
            ask(bench, source, "far", only("acme"))

    with_bench(tmp_path, body)


def test_public_addresses_of_the_host(tmp_path: Path) -> None:
    """They are for outside: not reached from a Machine, whether an app has them or not."""

    async def body(bench: Bench) -> None:
        await world(bench)
        pool = PublicPool(v4=(IPv4Network("198.51.100.8/30"),), v6=(IPv6Network("2001:db8::/64"),))
        control = Control(replace(bench.control.context, public=pool))
        for target in ("198.51.100.9:80", "[2001:db8::1]:80"):
            answer = control.reach.explain("api", target, may_look=everything)
            assert not answer.reaches
            assert "this host's own" in answer.steps[-1].why
        assert control.reach.explain("api", "198.51.100.1", may_look=everything).reaches

    with_bench(tmp_path, body)


def test_sources(tmp_path: Path) -> None:
    """A Machine, an app and a network are told apart, by prefix where a name is two things."""

    async def body(bench: Bench) -> None:
        await world(bench)
        machine = bench.control.machines.list("web")[0].id
        assert f"Machine {machine} of app web" in ask(bench, machine, "web").steps[0].why
        assert "app lab is on" in ask(bench, "lab", "web").steps[0].why
        assert "somebody on network personal/lab" in ask(bench, "network:lab", "web").steps[0].why
        assert "app api" in ask(bench, "app:api", "web").steps[0].why
        with pytest.raises(InvalidError):
            ask(bench, "api", "web.example.com")

    with_bench(tmp_path, body)


def test_another_organizations_app_is_a_closed_box(tmp_path: Path) -> None:
    """Who is let in learns whether a call is answered, and nothing of callers, ports, Machines."""

    async def body(bench: Bench) -> None:
        guarded = RAW | {"allowed_apps": ["partner-of-ours"]}
        await bench.machine("web", services=[WEB, guarded])
        await bench.control.orgs.create("acme")
        await bench.control.apps.create("far", org="acme")
        grant = await bench.control.grants.give("web", AddressRequest(org="acme"), actor="both")
        for target, reaches in [("web:80", True), ("web:5432", False), ("web:81", False)]:
            for name in (target, f"[{grant.ip}]:{target[4:]}"):
                theirs = ask(bench, "far", name, only("acme"))
                assert (stages(theirs)[-1], theirs.reaches) == ("service", reaches)
                assert "answer" in theirs.steps[-1].why
                told = " ".join(step.why for step in theirs.steps)
                assert not any(secret in told for secret in ("partner", "8080", "Machine"))
                assert ask(bench, "far", name).reaches is reaches
        assert "partner-of-ours" in ask(bench, "far", "web:5432").steps[-1].why

    with_bench(tmp_path, body)


def test_names_of_machines_leave_out_what_dns_leaves_out(tmp_path: Path) -> None:
    """A Machine that does not register has no name; a region or group without Machines neither."""

    async def body(bench: Bench) -> None:
        await world(bench)
        assert ask(bench, "api", "local.web.internal").reaches
        assert ask(bench, "api", "app.process.web.internal").reaches
        assert not ask(bench, "api", "fra.web.internal").reaches
        assert not ask(bench, "api", "worker.process.web.internal").reaches
        await bench.machine("shy", dns={"skip_registration": True})
        assert not ask(bench, "api", "shy.internal").reaches

    with_bench(tmp_path, body)


def test_a_machine_that_does_not_pass_its_checks_is_not_reached(tmp_path: Path) -> None:
    """The step says which check; once it passes the answer is yes. Other services do not mind."""
    checked = WEB | {"checks": [{"type": "http"}]}

    async def body(bench: Bench) -> None:
        machine = await bench.machine("web", services=[checked, RAW])
        await bench.control.apps.create("api")
        await bench.control.addresses.allocate("web")
        refused = ask(bench, "api", "web:80")
        assert not refused.reaches
        assert (
            f"Machine {machine.id} does not pass its health check servicecheck-00-http-8080"
            in refused.steps[-1].why
        )
        assert ask(bench, "api", "web:5432").reaches
        bench.host.tell(machine, "passing")
        assert ask(bench, "api", "web:80").reaches

    with_bench(tmp_path, body)


def test_whether_a_replay_may_go_there(tmp_path: Path) -> None:
    """Beside the steps stands whether the one app may replay to the other and by which setting; not
    for a network, nor for who may not look at the target.
    """

    def said(bench: Bench, source: str, target: str, word: str, may: MayLook = everything) -> bool:
        replay = ask(bench, source, target, may).replay
        assert replay is not None
        assert word in replay.why
        return replay.passes

    async def body(bench: Bench) -> None:
        await world(bench)
        assert said(bench, "web", "web", "its own Machines")
        assert said(bench, "api", "web", "on one network")
        assert said(bench, "api", "web:80", "on one network")
        assert not said(bench, "api", "web:81", "has a service on port 81")
        assert not said(bench, "api", "web:5432", "no http handler")
        assert not said(bench, "web", "api", "no Machine of the app api has a port")
        assert not said(bench, "lab", "web", "cross-network-replays enable --org personal")
        await bench.control.replays.set_cross_network("personal", True)
        assert said(bench, "lab", "web", "lets replays cross")
        assert not said(bench, "far", "web", "replay-sources add acme --org personal")
        await bench.control.replays.change_sources("personal", add=["acme"])
        assert said(bench, "far", "web", "lists acme")
        await bench.machine("web", services=[{**WEB, "allowed_apps": ["lab"]}])
        assert not said(bench, "api", "web", "is not among the allowed_apps of port 80")
        assert said(bench, "lab", "web", "lets replays cross")
        assert ask(bench, "personal/default", "web").replay is None
        assert ask(bench, "api", "web.internal").replay is None
        assert ask(bench, "far", "web", only("acme")).replay is None

    with_bench(tmp_path, body)
