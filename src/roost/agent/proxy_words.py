"""What one proxy process is told: the records of the store, and `Shown`, in the proxy's words."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roost.clock import Clock
from roost.control.certificate_desk import CertificateDesk
from roost.control.public_pool import PublicPool
from roost.errors import RoostError
from roost.model.certificates import Certificate, IssuedCertificate
from roost.model.machine_state import MachineState
from roost.model.records import Address, App, Machine, Network, Org, Record
from roost.proxyctl import view
from roost.store.base import Change, Delete, Put, Store

log = logging.getLogger("roost.agent.proxy")

OWN_NETWORK = Path("/proc/self/ns/net")
"""As the proxy opens it: the host's own network, which it shares."""


@dataclass(slots=True)
class Shown:
    """Facts that are not in the store.

    `overrides` are the states Machines are shown with between an act (a drain, a thaw) and the
    commit that records it: a late put of an older record would undo a drain, and route a request to
    a Machine that is being frozen.
    """

    routers: dict[int, Path] = field(default_factory=dict)
    overrides: dict[str, MachineState] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """Where what is told comes from; the same for every process."""

    store: Store
    clock: Clock
    region: str
    settings: dict[str, Any]
    public: PublicPool
    desk: Callable[[], CertificateDesk]
    shown: Shown


@dataclass(frozen=True, slots=True)
class Word:
    """A put of `value`, or the removal of `key` when there is none."""

    kind: str
    key: str
    value: view.Entity | None = None


class ProxyWords:
    """See the module. Remembers which settings of organizations were told with their apps."""

    def __init__(self, telling: Telling) -> None:
        self._store = telling.store
        self._clock = telling.clock
        self._public = telling.public
        self._desk = telling.desk
        self._shown = telling.shown
        self._orgs: dict[str, Org] = {}

    def everything(self) -> Iterator[Word]:
        """For a process that knows nothing."""
        self._orgs.clear()
        if self._public.networks:
            yield _put("network", view.public_network(OWN_NETWORK))
        for network in self._store.scan(Network):
            yield self.network(network.record)
        for app in self._store.scan(App):
            yield self._app(app.record)
        for machine in self._store.scan(Machine):
            if machine.record.state is not MachineState.DESTROYED:
                yield self.machine(machine.record)
        for record in self._certificates():
            yield from self.certificate(record)

    def of(self, change: Change) -> Iterator[Word]:
        """What a change of the store means."""
        match change:
            case Put(record=Machine() as machine):
                yield self.machine(machine)
            case Put(record=App() as app):
                yield self._app(app)
            case Put(record=Address(app=name)):
                yield from self._app_called(name)
            case Put(record=Org() as org):
                yield from self._apps_of(org)
            case Put(record=Network() as network):
                yield self.network(network)
            case Put(record=Certificate() | IssuedCertificate() as certificate):
                yield from self.certificate(certificate)
            case Delete(kind=kind, key=key):
                yield from self._end(kind, key)
            case _:
                pass

    def network(self, record: Network) -> Word:
        """A network, with its router namespace."""
        return _put("network", view.network(record, self._shown.routers.get(record.id)))

    def machine(self, machine: Machine) -> Word:
        """A Machine, in the state it is to be shown in."""
        if machine.state is MachineState.DESTROYED:
            return Word("machine", machine.id)
        shown = self._shown.overrides.get(machine.id)
        return _put("machine", view.machine(machine, state=shown))

    def certificate(self, record: Certificate | IssuedCertificate) -> Iterator[Word]:
        """A certificate, with its key; nothing when that cannot be opened."""
        try:
            key = self._desk().key_of(record)
        except RoostError as error:
            log.error("%s; it is not served", error)
            return
        yield _put("certificate", view.certificate(record, key))

    # Details

    def _certificates(self) -> Iterator[Certificate | IssuedCertificate]:
        now = self._clock.now_ms()
        for given in self._store.scan(Certificate):
            yield given.record
        for issued in self._store.scan(IssuedCertificate):
            if now < issued.record.not_after:
                yield issued.record

    def _end(self, kind: type[Record], key: str) -> Iterator[Word]:
        if kind in (Certificate, IssuedCertificate):
            yield Word("certificate", view.certificate_id(kind, key))
        elif kind is Machine:
            yield Word("machine", key)
        elif kind is App:
            yield Word("app", key)
        elif kind is Org:
            self._orgs.pop(key, None)
        # A released address or host name comes with a Put of its app.

    def _apps_of(self, org: Org) -> Iterator[Word]:
        """They carry what it lets replays do; they are told again when that has changed."""
        told = self._orgs.get(org.slug)
        self._orgs[org.slug] = org
        if told is not None and _about_replays(told) == _about_replays(org):
            return
        for stored in self._store.find(App, "org", org.slug):
            yield self._app(stored.record)

    def _app_called(self, name: str) -> Iterator[Word]:
        stored = self._store.get(App, name)
        if stored is not None:
            yield self._app(stored.record)

    def _app(self, app: App) -> Word:
        found = self._store.find(Address, "app", app.name)
        named = self._store.find(Certificate, "app", app.name)
        value = view.app(
            app,
            (item.record for item in found),
            now_ms=self._clock.now_ms(),
            domain=self._public.domain,
            hostnames=[item.record.hostname for item in named],
            org=self._org(app.org),
        )
        return _put("app", value)

    def _org(self, slug: str) -> Org | None:
        """An organization as the store had it when it was last looked at or changed."""
        if slug not in self._orgs:
            stored = self._store.get(Org, slug)
            if stored is None:
                return None
            self._orgs[slug] = stored.record
        return self._orgs[slug]


def _put(kind: str, value: view.Entity) -> Word:
    return Word(kind, str(value["id"]), value)


def _about_replays(org: Org) -> tuple[bool, tuple[str, ...]]:
    return org.cross_network_replays, org.replay_sources
