"""Keeps one roost-proxy process told: a snapshot on every connection, then a put for every change.

It watches the store, so nobody else has to remember to publish (`proxy_words` has what is said).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from roost.agent.proxy_words import ProxyWords, Telling, Word
from roost.errors import ConflictError, DeadlineError, RoostError, UnavailableError
from roost.model.certificates import Certificate, IssuedCertificate
from roost.model.records import Machine, Network
from roost.proxyctl.client import Message, ProxyConnection

log = logging.getLogger("roost.agent.proxy")

PROTOCOL = 1
_FLUSH_EVERY = 100
_RETRY_SECONDS = 0.05
_SNAPSHOT_SECONDS = 30.0
"""How long a snapshot may take that others wait for."""


class ProxyPeer:
    """The connection to one process; while it is down every method is a no-op or raises."""

    def __init__(
        self, path: Path, telling: Telling, on_event: Callable[[Message], Awaitable[None]]
    ) -> None:
        self.path = path
        self._store = telling.store
        self._region = telling.region
        self._settings = telling.settings
        self._words = ProxyWords(telling)
        self._on_event = on_event
        self._connection: ProxyConnection | None = None
        self._whole = asyncio.Lock()
        """Held while a snapshot is told, and while none may be."""
        self._held: list[Callable[[], object]] | None = None
        self.connected = asyncio.Event()
        """Set while it knows everything."""
        self.greeting: Message = {}
        """What it said of itself on the newest connection: `version`, `pid`, `role`."""
        self.trouble = ""
        """Why the last connection ended, when the process did not want it."""

    # What the agent says

    def put_network(self, record: Network) -> None:
        """Show a network, with its router namespace."""
        self._tell(self._words.network(record))

    def put_machine(self, machine: Machine) -> None:
        """Show a Machine, in the state it is to be shown in."""
        self._tell(self._words.machine(machine))

    def put_certificate(self, record: Certificate | IssuedCertificate) -> None:
        """Show a certificate, with its key; one that cannot be opened is not shown."""
        for word in self._words.certificate(record):
            self._tell(word)

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

    async def pause(self) -> None:
        """Begin no snapshot until `let_go`; one that is under way is ended first.

        Raises DeadlineError when that takes too long.
        """
        try:
            async with asyncio.timeout(_SNAPSHOT_SECONDS):
                await self._whole.acquire()
        except TimeoutError:
            raise DeadlineError(
                f"roost-proxy at {self.path} did not take a snapshot within "
                f"{_SNAPSHOT_SECONDS:.0f} s"
            ) from None

    def hold_back(self) -> None:
        """Keep what is to be told until `let_go`; after `pause`, since half a snapshot would take
        away what it does not have.
        """
        self._held = []

    def let_go(self) -> None:
        """Tell what was held back, in its order; after `pause`."""
        held, self._held = self._held or [], None
        self._whole.release()
        for tell in held:
            tell()

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
                async with self._whole:
                    revision = await self._snapshot(connection)
                try:
                    async for commit in self._store.watch(revision):
                        for change in commit.changes:
                            self._tell_all(self._words.of(change))
                        await connection.flush()
                except ConflictError:
                    log.info("fell behind the store; sending the proxy a new snapshot")
        except RoostError as error:
            log.warning("roost-proxy: %s", error)
            self.trouble = str(error)
            connection.close()

    async def _snapshot(self, connection: ProxyConnection) -> int:
        revision = self._store.revision()
        connection.post("snapshot", stage="begin")
        self._connection = connection
        sent = 0
        for word in self._words.everything():
            self._tell(word)
            sent += 1
            if sent % _FLUSH_EVERY == 0:
                await connection.flush()
        await connection.send("snapshot", stage="end")
        self.trouble = ""
        self.connected.set()
        log.info("told roost-proxy %d entities", sent)
        return revision

    def _tell_all(self, words: Iterable[Word]) -> None:
        for word in words:
            self._tell(word)

    def _tell(self, word: Word) -> None:
        if word.value is None:
            self._post("del", kind=word.kind, id=word.key)
        elif self._held is not None:
            self._held.append(partial(self._tell, word))
        elif answer := self._post("put", kind=word.kind, value=word.value):
            answer.add_done_callback(partial(self._refused, self._connection, word))

    def _refused(
        self, connection: ProxyConnection | None, word: Word, answer: asyncio.Future[Message]
    ) -> None:
        """What the proxy cannot take must not go on as it was before: it may have been narrowed."""
        if answer.cancelled() or "error" not in answer.result():
            return
        if connection is None or connection.closed:
            return  # The next connection is told everything anew.
        log.error(
            "roost-proxy does not take %s %s, which is not served now: %s",
            word.kind,
            word.key,
            answer.result()["error"],
        )
        if word.kind not in ("network", "certificate"):  # an older certificate hurts nobody
            self._post("del", kind=word.kind, id=word.key)

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
