"""A daemon's care for proxy processes, without the rest of a daemon; the processes outlive it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from roost.agent.proxies import Proxies, ProxyStatus
from roost.agent.proxy_link import ProxyLink
from roost.clock import Clock
from roost.control.certificate_desk import CertificateDesk
from roost.control.public_pool import NO_POOL
from roost.errors import RoostError
from roost.home import Home
from roost.model.records import Network
from roost.proxyctl.client import Message
from roost.proxyctl.process import processes
from roost.store.base import Store
from roost.store.memory import MemoryStore
from tests.support.agent_rig import TestClock

DRAIN_MS = 60_000


@dataclass(frozen=True)
class Daemon:
    """What it has of proxies; its clock moves by hand."""

    home: Home
    clock: TestClock
    link: ProxyLink
    proxies: Proxies
    group: asyncio.TaskGroup

    async def serving(self) -> ProxyStatus:
        """The process that serves, once it knows everything."""
        await self.link.connected.wait()
        return (await self.proxies.status())[0]

    async def fails(self, error: type[RoostError], *, clock_stands: bool) -> str:
        """What an upgrade says that has to fail."""

        async def trying() -> str:
            with pytest.raises(error) as raised:
                await self.proxies.upgrade(DRAIN_MS)
            return str(raised.value)

        task = self.group.create_task(trying())
        if not clock_stands:
            await self.meanwhile(task.done)
        return await task

    async def meanwhile(self, done: Callable[[], bool]) -> None:
        """Let time pass until something has happened (at most 10 s of the host's own time)."""
        async with asyncio.timeout(10):
            while not done():
                await self.clock.tick(1)
                await asyncio.sleep(0)


def no_desk() -> CertificateDesk:
    raise AssertionError


async def ignore(_event: Message) -> None:
    return


@asynccontextmanager
async def daemon(
    home: Home,
    *,
    store: Store | None = None,
    clock: Clock | None = None,
    routers: dict[Path, Network] | None = None,
) -> AsyncIterator[Daemon]:
    """A daemon's part; the processes outlive it, and so does a `store` that is given."""
    kept, by_hand = store or MemoryStore(), TestClock()
    used = clock or by_hand
    link = ProxyLink(kept, home, "local", {}, ignore, clock=used, public=NO_POOL, desk=no_desk)
    for netns, network in (routers or {}).items():
        link.router(network, netns)
    proxies = Proxies(home, used, link)
    await proxies.find()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(link.run()), group.create_task(proxies.supervise())]
        yield Daemon(home, by_hand, link, proxies, group)
        for task in tasks:
            task.cancel()
    if store is None:
        await kept.close()


@contextmanager
def dies_at(words: str) -> Iterator[None]:
    """What says these words in the log of proxies gets no further, as after kill -9."""
    log, level = logging.getLogger("roost.proxy"), logging.getLogger("roost.proxy").level
    death = _Death(words)
    log.addHandler(death)
    log.setLevel(logging.INFO)
    try:
        with pytest.raises(asyncio.CancelledError):
            yield
    finally:
        log.removeHandler(death)
        log.setLevel(level)


class _Death(logging.Handler):
    def __init__(self, words: str) -> None:
        super().__init__()
        self._words = words

    def emit(self, record: logging.LogRecord) -> None:
        if self._words in record.getMessage():
            raise asyncio.CancelledError


def run(home: Path, test: Callable[[Home], Awaitable[None]]) -> None:
    """Run a test over an empty ROOST_HOME; no process is left."""
    made = Home(home)
    made.run.mkdir(parents=True)

    async def main() -> None:
        try:
            async with asyncio.timeout(60):
                await test(made)
        finally:
            for process in processes(made):
                process.claim()
                await process.killed()

    asyncio.run(main())


def program(folder: Path, *lines: str) -> str:
    """A program that is no proxy, or not at once."""
    path = folder / "no-proxy"
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return str(path)
