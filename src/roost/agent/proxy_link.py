"""The agent's way to the proxy: one process that serves, and others whose connections still go on.

All are told the same (`proxy_peer`). What decides (drains, wakes, load) is the serving one's alone:
it counts what the others have under way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from roost.agent.proxy_peer import ProxyPeer
from roost.agent.proxy_words import Shown, Telling
from roost.clock import Clock
from roost.control.certificate_desk import CertificateDesk
from roost.control.public_pool import PublicPool
from roost.errors import RoostError
from roost.home import Home
from roost.model.certificates import Certificate, IssuedCertificate
from roost.model.machine_state import MachineState
from roost.model.records import Machine, Network
from roost.proxyctl.client import Message
from roost.store.base import Store

log = logging.getLogger("roost.agent.proxy")

_OF_ELDERS = frozenset({"log", "certificate"})
"""Events of a draining process that count; the others are in what the serving one says."""


class ProxyLink:
    """See the module. While the serving process is away every method is a no-op or False."""

    def __init__(
        self,
        store: Store,
        home: Home,
        region: str,
        settings: dict[str, Any],
        on_event: Callable[[Message], Awaitable[None]],
        *,
        clock: Clock,
        public: PublicPool,
        desk: Callable[[], CertificateDesk],
    ) -> None:
        self._store = store
        self._on_event = on_event
        self._shown = Shown()
        self._telling = Telling(
            store=store,
            clock=clock,
            region=region,
            settings=settings,
            public=public,
            desk=desk,
            shown=self._shown,
        )
        self._group: asyncio.TaskGroup | None = None
        self._tasks: dict[Path, asyncio.Task[None]] = {}
        self._calm = asyncio.Event()
        self._calm.set()
        self._drains: set[object] = set()
        self._drained = asyncio.Condition()
        self._peers: dict[Path, ProxyPeer] = {}
        self._serving = self._peer(home.proxy_socket)

    # What the agent says

    @property
    def connected(self) -> asyncio.Event:
        """Set while the serving process knows everything."""
        return self._serving.connected

    def router(self, record: Network, netns: Path | None) -> None:
        """A network's router namespace came (path) or goes (None)."""
        if netns is None:
            self._shown.routers.pop(record.id, None)
        else:
            self._shown.routers[record.id] = netns
        for peer in self._peers.values():
            peer.put_network(record)

    def override(self, machine: Machine, state: MachineState) -> None:
        """Show the Machine in this state, now and until `settle`."""
        self._shown.overrides[machine.id] = state
        for peer in self._peers.values():
            peer.put_machine(machine)

    def hold(self, machine_id: str, state: MachineState) -> None:
        """Show it so from the next put on, without one now (a drain follows)."""
        self._shown.overrides[machine_id] = state

    def settle(self, machine_id: str) -> None:
        """End the override and show what the store says."""
        self._shown.overrides.pop(machine_id, None)
        stored = self._store.get(Machine, machine_id)
        if stored is not None:
            for peer in self._peers.values():
                peer.put_machine(stored.record)

    def put_certificate(self, record: Certificate | IssuedCertificate) -> None:
        """Show a certificate, with its key."""
        for peer in self._peers.values():
            peer.put_certificate(record)

    async def drain(self, machine_id: str, *, if_idle: bool) -> bool:
        """No new work for it and no unused connection to it; False if it is not idle.

        With the proxy away: False for `if_idle` (nobody knows), else True.
        """
        async with self._a_drain():
            try:
                ack = await self._serving.send("drain", machine=machine_id, if_idle=if_idle)
            except RoostError as error:
                log.warning("drain of %s: %s", machine_id, error)
                return not if_idle
        return bool(ack.get("drained"))

    @asynccontextmanager
    async def _a_drain(self) -> AsyncIterator[None]:
        """A drain, which two processes must not both answer."""
        while not self._calm.is_set():  # Who waited may be late for the next comparison.
            await self._calm.wait()
        self._drains.add(drain := object())
        try:
            yield
        finally:
            self._drains.discard(drain)
            async with self._drained:
                self._drained.notify_all()

    def wake_failed(self, machine_id: str, code: str, message: str) -> None:
        """Tell those who wait for it."""
        self._serving.say("wake_failed", machine=machine_id, code=code, message=message)

    def certificate_failed(self, app: str, audience: str, message: str) -> None:
        """Tell those whose handshake waits for it."""
        for peer in self._peers.values():
            peer.say("certificate_failed", app=app, audience=audience, message=message)

    async def stats(self) -> dict[str, int]:
        """The serving process's own figures; {} while it is away."""
        return await self._serving.stats()

    # The processes

    async def run(self) -> None:
        """Keep every process told; for ever."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for peer in self._peers.values():
                self._start(peer)
            await asyncio.Event().wait()

    def peer(self, path: Path) -> ProxyPeer:
        """The process with this control socket, which is told everything from now on."""
        return self._peers.get(path) or self._peer(path)

    def serve_by(self, path: Path) -> None:
        """That process is the one that serves; what was news before, it tells again."""
        self._serving = self.peer(path)
        self._serving.say("tell")

    def drop(self, path: Path) -> None:
        """That process has ended. The serving one is not dropped."""
        if path != self._serving.path:
            self._peers.pop(path, None)
            task = self._tasks.pop(path, None)
            if task is not None:
                task.cancel()

    async def take_over(self, heir: ProxyPeer, elders: list[Path], drain_ms: int) -> int:
        """Have a process take over from others; gives how many sockets came.

        Raises UnavailableError or DeadlineError: nothing is certain then but that one of them
        serves, unless the heir is ended.
        """
        async with self._quiet():
            paths = [str(path) for path in elders]
            ack = await heir.send("take_over", **{"from": paths}, drain_ms=drain_ms)
        return int(ack.get("sockets", 0))

    @asynccontextmanager
    async def _quiet(self) -> AsyncIterator[None]:
        """Nothing new is said while two processes compare what they know: both know the same."""
        paused: list[ProxyPeer] = []
        self._calm.clear()
        try:
            async with self._drained:
                await self._drained.wait_for(lambda: not self._drains)
            for peer in list(self._peers.values()):
                await peer.pause()
                paused.append(peer)
            for peer in paused:
                peer.hold_back()
            for peer in paused:
                await peer.stats()
            yield
        finally:
            for peer in paused:
                peer.let_go()
            self._calm.set()

    def _peer(self, path: Path) -> ProxyPeer:
        async def heard(event: Message) -> None:
            if self._serving.path == path or event.get("ev") in _OF_ELDERS:
                await self._on_event(event)

        peer = ProxyPeer(path, self._telling, heard)
        self._peers[path] = peer
        self._start(peer)
        return peer

    def _start(self, peer: ProxyPeer) -> None:
        if self._group is not None and peer.path not in self._tasks:
            task = self._group.create_task(peer.run(), name=f"proxy-link:{peer.path.name}")
            self._tasks[peer.path] = task
