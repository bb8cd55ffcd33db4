"""Keeps one roost-proxy process told: a snapshot on every connection, then a put for every change.

It watches the store, so nobody else has to remember to publish. What is not in the store is in
`Shown`, which all processes share.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from roost.clock import Clock
from roost.control.certificate_desk import CertificateDesk
from roost.control.public_pool import PublicPool
from roost.errors import ConflictError, RoostError, UnavailableError
from roost.model.certificates import Certificate, IssuedCertificate
from roost.model.machine_state import MachineState
from roost.model.records import Address, App, Machine, Network, Org, Record
from roost.proxyctl import view
from roost.proxyctl.client import Message, ProxyConnection
from roost.store.base import Change, Delete, Put, Store

log = logging.getLogger("roost.agent.proxy")

PROTOCOL = 1
_FLUSH_EVERY = 100
_RETRY_SECONDS = 0.05
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


class ProxyPeer:
    """The connection to one process; while it is down every method is a no-op or raises."""

    def __init__(
        self, path: Path, telling: Telling, on_event: Callable[[Message], Awaitable[None]]
    ) -> None:
        self.path = path
        self._store = telling.store
        self._clock = telling.clock
        self._public = telling.public
        self._desk = telling.desk
        self._shown = telling.shown
        self._region = telling.region
        self._settings = telling.settings
        self._on_event = on_event
        self._connection: ProxyConnection | None = None
        self._orgs: dict[str, Org] = {}
        self._held: list[Callable[[], object]] | None = None
        self.connected = asyncio.Event()
        """Set while it knows everything."""
        self.greeting: Message = {}
        """What it said of itself on the newest connection: `version`, `pid`, `role`."""

    # What the agent says

    def put_network(self, record: Network) -> None:
        """Show a network, with its router namespace."""
        self._post_put("network", view.network(record, self._shown.routers.get(record.id)))

    def put_machine(self, machine: Machine) -> None:
        """Show a Machine, in the state it is to be shown in."""
        if machine.state is MachineState.DESTROYED:
            self._post("del", kind="machine", id=machine.id)
        else:
            self._post_put("machine", self._machine_view(machine))

    def say(self, op: str, **fields: Any) -> None:
        """Say something that needs no answer, if it can hear now."""
        if self.connected.is_set():
            self._post(op, **fields)

    async def send(self, op: str, **fields: Any) -> Message:
        """Say something and wait for its ack. Raises UnavailableError, DeadlineError."""
        if self._connection is None or not self.connected.is_set():
            raise UnavailableError(f"roost-proxy at {self.path} is not connected")
        return await self._connection.send(op, **fields)

    async def stats(self) -> dict[str, int]:
        """The process's own figures; {} while it is away."""
        try:
            return dict((await self.send("stats")).get("stats", {}))
        except RoostError:
            return {}

    def hold_back(self) -> None:
        """Keep what is to be told until `let_go`."""
        self._held = []

    def let_go(self) -> None:
        """Tell what was held back, in its order."""
        held, self._held = self._held or [], None
        for tell in held:
            tell()

    def put_certificate(self, record: Certificate | IssuedCertificate) -> None:
        """Show a certificate, with its key; one that cannot be opened is not shown."""
        try:
            key = self._desk().key_of(record)
        except RoostError as error:
            log.error("%s; it is not served", error)
            return
        self._post_put("certificate", view.certificate(record, key))

    # The connection

    async def run(self) -> None:
        """Connect, tell everything, follow changes and events; for ever."""
        while True:
            try:
                connection = await ProxyConnection.connect(self.path)
            except UnavailableError:
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            try:
                await self._serve(connection)
            except RoostError as error:
                log.warning("roost-proxy: %s; connecting again", error)
            finally:
                connection.close()
                self._connection = None
                self.connected.clear()
            # A proxy that refuses us (of another version, say) must not be asked without a pause.
            await asyncio.sleep(_RETRY_SECONDS)

    async def _serve(self, connection: ProxyConnection) -> None:
        async with asyncio.TaskGroup() as group:
            follower = group.create_task(self._follow(connection), name="proxy-follow")
            async for event in connection.events():
                if event.get("ev") == "hello":
                    self.greeting = event
                try:
                    await self._on_event(event)
                except Exception:
                    log.exception("event %r was not understood; going on", event.get("ev"))
            follower.cancel()

    async def _follow(self, connection: ProxyConnection) -> None:
        try:
            await connection.send(
                "hello", protocol=PROTOCOL, region=self._region, settings=self._settings
            )
            while True:
                revision = await self._snapshot(connection)
                try:
                    async for commit in self._store.watch(revision):
                        for change in commit.changes:
                            self._publish(change)
                        await connection.flush()
                except ConflictError:
                    log.info("fell behind the store; sending the proxy a new snapshot")
        except RoostError as error:
            log.warning("roost-proxy: %s", error)
            connection.close()

    async def _snapshot(self, connection: ProxyConnection) -> int:
        revision = self._store.revision()
        self._orgs.clear()
        connection.post("snapshot", stage="begin")
        self._connection = connection
        sent = 0
        for kind, value in self._everything():
            self._post_put(kind, value)
            sent += 1
            if sent % _FLUSH_EVERY == 0:
                await connection.flush()
        for record in self._certificates():
            self.put_certificate(record)
            sent += 1
            if sent % _FLUSH_EVERY == 0:
                await connection.flush()
        await connection.send("snapshot", stage="end")
        self.connected.set()
        log.info("told roost-proxy %d entities", sent)
        return revision

    def _everything(self) -> Any:
        if self._public.networks:
            yield "network", view.public_network(OWN_NETWORK)
        for network in self._store.scan(Network):
            record = network.record
            yield "network", view.network(record, self._shown.routers.get(record.id))
        for app in self._store.scan(App):
            yield "app", self._app_view(app.record)
        for machine in self._store.scan(Machine):
            if machine.record.state is not MachineState.DESTROYED:
                yield "machine", self._machine_view(machine.record)

    def _certificates(self) -> Iterator[Certificate | IssuedCertificate]:
        now = self._clock.now_ms()
        for given in self._store.scan(Certificate):
            yield given.record
        for issued in self._store.scan(IssuedCertificate):
            if now < issued.record.not_after:
                yield issued.record

    def _publish(self, change: Change) -> None:
        match change:
            case Put(record=Machine() as machine):
                self.put_machine(machine)
            case Put(record=App() as app):
                self._post_put("app", self._app_view(app))
            case Put(record=Address(app=name)):
                self._put_app(name)
            case Put(record=Org() as org):
                self._put_org(org)
            case Put(record=Network() as network):
                self.put_network(network)
            case Put(record=Certificate() | IssuedCertificate() as certificate):
                self.put_certificate(certificate)
            case Delete(kind=kind, key=key):
                self._publish_end(kind, key)
            case _:
                pass

    def _publish_end(self, kind: type[Record], key: str) -> None:
        if kind in (Certificate, IssuedCertificate):
            self._post("del", kind="certificate", id=view.certificate_id(kind, key))
        elif kind is Machine:
            self._post("del", kind="machine", id=key)
        elif kind is App:
            self._post("del", kind="app", id=key)
        elif kind is Org:
            self._orgs.pop(key, None)
        # A released address or host name comes with a Put of its app.

    def _put_org(self, org: Org) -> None:
        """Its apps carry what it lets replays do; they are told again when that has changed."""
        told = self._orgs.get(org.slug)
        self._orgs[org.slug] = org
        if told is not None and _about_replays(told) == _about_replays(org):
            return
        for stored in self._store.find(App, "org", org.slug):
            self._post_put("app", self._app_view(stored.record))

    def _put_app(self, name: str) -> None:
        stored = self._store.get(App, name)
        if stored is not None:
            self._post_put("app", self._app_view(stored.record))

    def _app_view(self, app: App) -> view.Entity:
        found = self._store.find(Address, "app", app.name)
        return view.app(
            app,
            (item.record for item in found),
            now_ms=self._clock.now_ms(),
            domain=self._public.domain,
            hostnames=self._hostnames(app.name),
            org=self._org(app.org),
        )

    def _hostnames(self, app: str) -> list[str]:
        return [s.record.hostname for s in self._store.find(Certificate, "app", app)]

    def _org(self, slug: str) -> Org | None:
        """An organization as the store had it when it was last looked at or changed."""
        if slug not in self._orgs:
            stored = self._store.get(Org, slug)
            if stored is None:
                return None
            self._orgs[slug] = stored.record
        return self._orgs[slug]

    def _machine_view(self, machine: Machine) -> view.Entity:
        return view.machine(machine, state=self._shown.overrides.get(machine.id))

    def _post_put(self, kind: str, value: view.Entity) -> None:
        if self._held is not None:
            self._held.append(partial(self._post_put, kind, value))
            return
        answer = self._post("put", kind=kind, value=value)
        if answer is not None:
            answer.add_done_callback(partial(self._refused, self._connection, kind, value["id"]))

    def _refused(
        self,
        connection: ProxyConnection | None,
        kind: str,
        key: str,
        answer: asyncio.Future[Message],
    ) -> None:
        """What the proxy cannot take must not go on as it was before: it may have been narrowed."""
        if answer.cancelled() or "error" not in answer.result():
            return
        if connection is None or connection.closed:
            return  # The next connection is told everything anew.
        log.error(
            "roost-proxy does not take %s %s, which is not served now: %s",
            kind,
            key,
            answer.result()["error"],
        )
        if kind not in ("network", "certificate"):  # an older certificate hurts nobody
            self._post("del", kind=kind, id=key)

    def _post(self, op: str, **fields: Any) -> asyncio.Future[Message] | None:
        if self._held is not None:
            self._held.append(partial(self._post, op, **fields))
            return None
        if self._connection is not None:
            try:
                return self._connection.post(op, **fields)
            except UnavailableError:
                self._connection = None
        return None


def _about_replays(org: Org) -> tuple[bool, tuple[str, ...]]:
    return org.cross_network_replays, org.replay_sources
