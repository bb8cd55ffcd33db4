"""What the proxy decides when somebody calls an address: the same rows, the same order, in words.

Works on the entities that `view` puts on the wire, so that an explanation cannot know of anything
the proxy does not. The proxy's own code is crates/core/src/table/call.rs (what is called, and who
may) and crates/proxy/src/dispatch.rs; tests let both answer.
Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from roost.model.ids import full_caller_name
from roost.proxyctl.view import Entity
from roost.proxyctl.ways import Way

SERVED_HANDLERS = frozenset({"http", "tls", "pg_tls", "proxy_proto"})
"""What the proxy does on a port; others are refused at accept, and `pg_tls` beside another."""


class Stage(StrEnum):
    """The deciding steps, in their order."""

    CALLER = "caller"
    NAME = "name"
    ADDRESS = "address"
    AUDIENCE = "audience"
    SERVICE = "service"
    GUARD = "guard"
    MACHINE = "machine"
    REPLAY = "replay"
    """Beside the others: it says nothing about a call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: whether it lets the call pass, and why, in a sentence."""

    stage: Stage
    passes: bool
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls: a network, and where known the app and Machine in it."""

    network: str
    """The proxy's id of it."""
    network_name: str
    app: str | None = None
    org: str = ""
    """The app's organization; the proxy may know it of apps only."""
    machine: str | None = None


Failing = Mapping[str, Collection[str]]
"""Machine id → names of the health checks of it that do not pass."""
_NONE: Failing = {}


def decide(
    caller: Caller,
    way: Way,
    port: int,
    machines: Iterable[Entity],
    *,
    org: str,
    failing: Failing = _NONE,
    protocol: str = "tcp",
) -> Iterator[Step]:
    """The steps from audience to Machine for a call to `way.ip` and `port`; ends with the first
    that refuses.

    `machines` are the called app's `machine` entities, `org` is its organization.
    """
    known = list(machines)
    serving = list(serving_of(known, port, protocol))
    for step in (
        _audience(caller, way),
        _service(way, port, serving, _none(known, port, protocol)),
        guard_of(caller, port, serving, org),
        _machine(port, serving, failing),
    ):
        yield step
        if not step.passes:
            return


def ports_of(machines: Iterable[Entity], way: Way) -> list[tuple[int, str]]:
    """External ports that answer at an address, with their protocol, those of TCP first; of a
    range the first that does.
    """
    spans = {
        (service["protocol"], port["port"], port.get("end_port", port["port"]))
        for machine in machines
        for service in machine["services"]
        for port in service["ports"]
    }
    found: set[tuple[str, int]] = set()
    for protocol, first, last in spans:
        chosen = [port for port in way.ports or (first,) if first <= port <= last]
        found.update((protocol, port) for port in chosen[:1])
    return [(port, protocol) for protocol, port in sorted(found)]


Serving = tuple[Entity, dict[str, Any], dict[str, Any]]
"""A Machine, its service and the port of that service."""


def serving_of(machines: Iterable[Entity], port: int, protocol: str) -> Iterator[Serving]:
    """What the Machines have on an external port."""
    for machine in machines:
        for service in machine["services"]:
            for one in service["ports"]:
                has = one["port"] <= port <= one.get("end_port", one["port"])
                if has and service["protocol"] == protocol:
                    yield machine, service, one


def _none(machines: list[Entity], port: int, protocol: str) -> str:
    """That nothing is on a port, and what is there over the other protocol."""
    why = f"no Machine of the app has a {protocol.upper()} service on port {port}"
    other = "udp" if protocol == "tcp" else "tcp"
    if any(serving_of(machines, port, other)):
        why += f"; it has one over {other.upper()}: ask for {port}/{other}"
    return why


def _audience(caller: Caller, way: Way) -> Step:
    same = way.network == caller.network
    where = f"network {caller.network_name}"
    why = f"{way.ip} is called from {where}" if same else f"{way.ip} is not on {where}"
    return Step(stage=Stage.AUDIENCE, passes=same, why=why)


def _service(way: Way, port: int, serving: list[Serving], none: str) -> Step:
    passes, why = False, none
    if serving and not way.offers(port):
        listed = ", ".join(map(str, way.ports))
        why = f"{way.ip} answers on port {listed} only, not on {port}"
    elif serving:
        _, service, one = min(serving, key=_rank)
        unserved = _unserved(one)
        if way.shared and one.get("accept_proxy_proto"):
            why = f"port {port} has accept_proxy_proto, which does not work at a shared address"
        elif unserved:
            why = f"port {port} has the handler {unserved[0]}, which is not served yet"
        else:
            passes, why = True, _leads(port, service, one)
    return Step(stage=Stage.SERVICE, passes=passes, why=why)


def _leads(port: int, service: dict[str, Any], one: dict[str, Any]) -> str:
    if service["protocol"] == "udp":
        return f"port {port} (UDP) leads to the same port of the Machine"
    return f"port {port} ({_how(one)}) leads to port {service['internal_port']} of the Machine"


def _how(port: dict[str, Any]) -> str:
    handlers = port.get("handlers", ())
    if "pg_tls" in handlers:
        return "PostgreSQL inside TLS"
    inside = "http" if "http" in handlers else "raw TCP"
    return f"{inside} inside TLS" if "tls" in handlers else inside


def _rank(row: Serving) -> tuple[bool, bool]:
    """The row with the lowest counts while Machines disagree how a port is handled."""
    _, _, one = row
    return "http" not in one.get("handlers", ()), bool(_unserved(one))


def _unserved(port: dict[str, Any]) -> list[str]:
    handlers = port.get("handlers", ())
    alone = set(handlers) <= {"pg_tls"}
    served = SERVED_HANDLERS if alone else SERVED_HANDLERS - {"pg_tls"}
    return [word for word in handlers if word not in served]


def guard_of(caller: Caller, port: int, serving: list[Serving], org: str) -> Step:
    """Whether the lists of allowed apps let the caller pass; `org` is the called app's."""
    lists = [
        {full_caller_name(name, org) for name in service["allowed_apps"]}
        for _, service, _ in serving
        if "allowed_apps" in service
    ]
    if not lists:
        why = "the source guard lets a Machine speak for itself only; the service allows every app"
        return Step(stage=Stage.GUARD, passes=True, why=why)
    # The strictest counts, so that a deploy in progress cannot reopen what it closes.
    allowed = lists[0].intersection(*lists[1:])
    listed = ", ".join(sorted(name.removeprefix(f"{org}/") for name in allowed)) or "nobody"
    if caller.app is None:
        why = f"port {port} allows {listed} only, and a network is no app"
        return Step(stage=Stage.GUARD, passes=False, why=why)
    name = full_caller_name(caller.app, caller.org)
    passes = name in allowed
    verb = "is among" if passes else "is not among"
    return Step(
        stage=Stage.GUARD,
        passes=passes,
        why=f"app {name.removeprefix(f'{org}/')} {verb} the allowed_apps of port {port}: {listed}",
    )


def _machine(port: int, serving: list[Serving], failing: Failing) -> Step:
    usable = [(m, service) for m, service, _ in serving if not m["cordoned"]]
    ill = {m["id"]: bad for m, service in usable if (bad := _ill(m, service, failing))}
    # A call is held for one on its way up until its port accepts.
    for state in ("started", "starting"):
        up = [m for m, _ in usable if m["state"] == state and m["id"] not in ill]
        if up:
            return Step(stage=Stage.MACHINE, passes=True, why=f"Machine {up[0]['id']} is {state}")
    waking = [m for m, service in usable if m["startable"] and service["autostart"]]
    if waking:
        why = f"Machine {waking[0]['id']} is {waking[0]['state']}: the call wakes it"
        return Step(stage=Stage.MACHINE, passes=True, why=why)
    if ill:
        machine, check = next(iter(ill.items()))
        why = f"Machine {machine} does not pass its health check {check}: calls wait until it does"
        return Step(stage=Stage.MACHINE, passes=False, why=why)
    states = ", ".join(f"{m['id']} is {m['state']}" for m, _, _ in serving[:3])
    return Step(
        stage=Stage.MACHINE,
        passes=False,
        why=f"no Machine on port {port} runs or may be woken ({states})",
    )


def _ill(machine: Entity, service: dict[str, Any], failing: Failing) -> str:
    """A check of the service that a running Machine does not pass, else ""."""
    if machine["state"] != "started":
        return ""
    names = (str(check["name"]) for check in service.get("checks", ()))
    return next((name for name in names if name in failing.get(machine["id"], ())), "")
