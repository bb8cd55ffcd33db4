"""`roost reach`: whether one thing reaches another, and which step decides.

Finds out who calls and what is called; the decision itself is `proxyctl.decide`, over the rows that
the proxy is told. What the asker may not look at is treated as what the caller would see from
inside its network: a name that does not resolve, an address nobody has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address

from roost.control.context import Context
from roost.control.networks import Networks
from roost.control.reach_callers import Callers, MayLook
from roost.model.address_parts import Parts, Role, parts_of
from roost.model.addresses import network_prefix
from roost.model.checks import CheckStatus, with_unchecked
from roost.model.records import Address, App, Machine, Network, Org
from roost.plan.targets import Target, parse_target
from roost.proxyctl import view
from roost.proxyctl.decide import Caller, Stage, Step, decide, ports_of
from roost.proxyctl.decide_replay import decide_replay
from roost.proxyctl.ways import Way, ways

_MACHINES4 = IPv4Network("172.16.0.0/12")
_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Yes or no, with every step on the way; the last one decided.

    `replay` is beside them: whether the caller's app may send requests on to the app that is meant.
    """

    reaches: bool
    caller: str
    target: str
    steps: tuple[Step, ...]
    replay: Step | None = None


class Reach:
    """Explains."""

    def __init__(self, context: Context, networks: Networks) -> None:
        self._context = context
        self._store = context.store
        self._callers = Callers(context.store, networks)

    def explain(self, source: str, target: str, *, may_look: MayLook) -> Answer:
        """Whether `source` (app, Machine or network) reaches `target` (app, name or address, with
        `:port` or without).

        Raises NotFoundError (no such source that the asker may look at), InvalidError.
        """
        caller, network = self._callers.find(source, may_look)
        wanted = parse_target(target)
        steps = [_step(Stage.CALLER, True, _introduce(caller, network))]
        steps += self._steps(caller, network, wanted, may_look)
        return Answer(
            reaches=steps[-1].passes,
            caller=source,
            target=target,
            steps=tuple(steps),
            replay=self._replay(caller, wanted, may_look),
        )

    # What is called

    def _steps(
        self, caller: Caller, network: Network, wanted: Target, may_look: MayLook
    ) -> Iterator[Step]:
        match wanted.kind:
            case "flycast":
                yield from self._flycast(caller, wanted, may_look)
            case "internal":
                yield from self._internal(caller, network, wanted)
            case "address":
                yield from self._address(caller, network, wanted, may_look)

    def _flycast(self, caller: Caller, wanted: Target, may_look: MayLook) -> Iterator[Step]:
        name = f"{wanted.app}.flycast"
        stored = self._store.get(App, wanted.app)
        rows = self._ways(stored.record) if stored else []
        here = [row for row in rows if row.network == caller.network]
        if not here:
            why = f"{name} does not resolve on network {caller.network_name}: NXDOMAIN"
            if stored is not None and may_look(stored.record.org, stored.record, None):
                why += self._elsewhere(stored.record)
            yield _step(Stage.NAME, False, why)
            return
        listed = ", ".join(row.ip for row in here)
        yield _step(Stage.NAME, True, f"{name} resolves to {listed}")
        steps = self._best(caller, wanted, here, wanted.app)
        yield from self._told(wanted.app, steps, may_look)

    def _replay(self, caller: Caller, wanted: Target, may_look: MayLook) -> Step | None:
        """Whether the caller's app may replay there; None where one of them is no app, or not for
        the asker to look at.
        """
        if wanted.kind != "flycast" or wanted.protocol != "tcp" or caller.app is None:
            return None
        source, target = self._app(caller.app), self._app(wanted.app)
        if source is None or target is None or not may_look(target[0].org, target[0], None):
            return None
        return decide_replay(source[1], target[1], self._machines(wanted.app), wanted.port or 0)

    def _app(self, name: str) -> tuple[App, view.Entity] | None:
        """An app and what the proxy is told of it, but its addresses."""
        stored = self._store.get(App, name)
        if stored is None:
            return None
        org = self._store.get(Org, stored.record.org)
        settings = org.record if org else None
        return stored.record, view.app(stored.record, (), now_ms=0, org=settings)

    def _told(self, app: str, steps: list[Step], may_look: MayLook) -> list[Step]:
        """The steps as the asker may know them: of an app that it may not look at only what a call
        shows, which is whether anybody answers.
        """
        stored = self._store.get(App, app)
        if stored is not None and may_look(stored.record.org, stored.record, None):
            return steps
        audience = [step for step in steps if step.stage is Stage.AUDIENCE]
        if not all(step.passes for step in audience):
            return audience
        passes = steps[-1].passes
        why = f"app {app} answers" if passes else f"app {app} does not answer this call"
        return [*audience, _step(Stage.SERVICE, passes, why)]

    def _best(self, caller: Caller, wanted: Target, rows: list[Way], app: str) -> list[Step]:
        """The steps of the first address that answers, else those of the first one."""
        machines = self._machines(app)
        stored = self._store.get(App, app)
        org = stored.record.org if stored else ""
        explain = partial(decide, org=org, failing=self._failing(app))
        tried = []
        for row in rows:
            asked = [(wanted.port, wanted.protocol)]
            tried += [
                list(explain(caller, row, port, machines, protocol=protocol))
                for port, protocol in (asked if wanted.port else ports_of(machines, row))
            ]
        tried = tried or [list(explain(caller, rows[0], 0, machines))]
        chosen = next((steps for steps in tried if steps[-1].passes), tried[0])
        if not (machines and any(machine["services"] for machine in machines)):
            why = f"app {app} has no Machine with a service"
            chosen = [*chosen[:1], _step(Stage.SERVICE, False, why)]
        return chosen

    def _internal(self, caller: Caller, network: Network, wanted: Target) -> Iterator[Step]:
        name = wanted.text
        stored = self._store.get(App, wanted.app)
        if stored is None or stored.record.network_id != network.id:
            why = f"{name} does not resolve on network {caller.network_name}: NXDOMAIN"
            yield _step(Stage.NAME, False, why)
            return
        listed = [m for m in self._machines(wanted.app) if m["dns"]]
        running = [m for m in listed if m["state"] == "started"]
        chosen = [m for m in running if not wanted.field or m[wanted.field].lower() == wanted.value]
        if not chosen:
            why = f"{name} names no started Machine: 6PN wakes nobody, {wanted.app}.flycast would"
            yield _step(Stage.NAME, False, why)
            return
        yield _step(Stage.NAME, True, f"{name} resolves to {chosen[0]['ip6']}")
        yield from _six_pn(network, str(chosen[0]["id"]), str(chosen[0]["ip6"]))

    def _address(
        self, caller: Caller, network: Network, wanted: Target, may_look: MayLook
    ) -> Iterator[Step]:
        address = ip_address(wanted.text)
        if any(address in pool for pool in self._context.public.networks):
            why = f"{address} is this host's own: what leaves by egress may not come back in by it"
            yield _step(Stage.ADDRESS, False, why)
            return
        if isinstance(address, IPv4Address):
            yield _ipv4(network, address)
            return
        parts = parts_of(address)
        if parts is None:
            yield _outside(network, address)
        elif parts.network not in (None, network.id):
            prefix = network_prefix(network.id)
            why = f"{address} is not in {prefix}: there is no path to another network"
            yield _step(Stage.ADDRESS, False, why)
        elif parts.role is Role.FLYCAST:
            yield from self._flycast_address(caller, wanted, address, may_look)
        elif parts.role is Role.DNS:
            yield _step(Stage.ADDRESS, True, f"{address} is the network's name server (port 53)")
        else:
            yield from self._machine_address(network, parts, address)

    def _flycast_address(
        self, caller: Caller, wanted: Target, address: IPv6Address, may_look: MayLook
    ) -> Iterator[Step]:
        stored = self._store.get(Address, str(address))
        rows = ways([stored.record], self._context.clock.now_ms()) if stored else []
        if stored is None or not rows:
            yield _step(Stage.ADDRESS, False, f"{address} is no app's Flycast address")
            return
        app = stored.record.app
        yield _step(Stage.ADDRESS, True, f"{address} is a Flycast address of app {app}")
        yield from self._told(app, self._best(caller, wanted, rows, app), may_look)

    def _machine_address(
        self, network: Network, parts: Parts, address: IPv6Address
    ) -> Iterator[Step]:
        machine = self._machine_with(network, parts)
        if machine is None:
            yield _step(Stage.ADDRESS, False, f"{address} is no Machine's")
        elif machine.state != "started":
            why = f"{address} is Machine {machine.id}'s, which is {machine.state}"
            yield _step(Stage.ADDRESS, False, why)
        else:
            yield from _six_pn(network, machine.id, str(address))

    def _machine_with(self, network: Network, parts: Parts) -> Machine | None:
        """The Machine of these numbers, looked for in pages: a network may have very many."""
        after, wanted = "", str(network.id)
        while page := self._store.find(Machine, "network", wanted, after=after, limit=_PAGE):
            for stored in page:
                if (stored.record.host, stored.record.number) == (parts.host, parts.number):
                    return stored.record
            after = page[-1].record.key
        return None

    # Rows

    def _ways(self, app: App) -> list[Way]:
        found = (stored.record for stored in self._store.find(Address, "app", app.name))
        return ways(found, self._context.clock.now_ms())

    def _machines(self, app: str) -> list[view.Entity]:
        found = self._store.find(Machine, "app", app)
        return [
            view.machine(stored.record) for stored in found if stored.record.state != "destroyed"
        ]

    def _failing(self, app: str) -> dict[str, list[str]]:
        failing: dict[str, list[str]] = {}
        for stored in self._store.find(Machine, "app", app):
            machine = stored.record
            told = self._context.agent.health(machine.id, machine.instance_id)
            results = with_unchecked(machine.config, told, since=machine.updated_at)
            failing[machine.id] = [
                one.name for one in results if one.status is not CheckStatus.PASSING
            ]
        return failing

    def _elsewhere(self, app: App) -> str:
        found = [stored.record for stored in self._store.find(Address, "app", app.name)]
        private = [one for one in found if not one.type.public]
        if not private:
            return f"; app {app.name} has no private address (`roost ips allocate-v6 --private`)"
        listed = ", ".join(f"{one.org}/{one.network}" for one in private)
        return f"; its addresses are on {listed}"


def _introduce(caller: Caller, network: Network) -> str:
    where = f"on network {caller.network_name} ({network_prefix(network.id)})"
    if caller.machine:
        return f"Machine {caller.machine} of app {caller.app} is {where}"
    return f"app {caller.app} is {where}" if caller.app else f"somebody {where}"


def _six_pn(network: Network, machine: str, address: str) -> Iterator[Step]:
    yield _step(Stage.ADDRESS, True, f"{address} is Machine {machine}'s 6PN address")
    yield _step(Stage.AUDIENCE, True, f"both are on network {network.key}")
    yield _step(
        Stage.GUARD,
        True,
        "6PN is not filtered by port; the source guard lets a Machine speak for itself only",
    )


def _ipv4(network: Network, address: IPv4Address) -> Step:
    if address in _MACHINES4 or address.is_link_local or address.is_loopback:
        why = f"{address}: IPv4 is not routed between Machines, nor to the host's own services"
        return _step(Stage.ADDRESS, False, why)
    return _outside(network, address)


def _outside(network: Network, address: IPv4Address | IPv6Address) -> Step:
    ours = isinstance(address, IPv6Address) and int(address) >> 112 == 0xFDAA
    if ours or address.is_link_local:
        return _step(Stage.ADDRESS, False, f"{address} is nobody's: Roost never gives it out")
    if network.egress:
        return _step(Stage.ADDRESS, True, f"{address} is outside; network {network.key} has egress")
    return _step(Stage.ADDRESS, False, f"{address} is outside; network {network.key} has no egress")


def _step(stage: Stage, passes: bool, why: str) -> Step:
    return Step(stage=stage, passes=passes, why=why)
