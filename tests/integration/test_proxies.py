"""The daemon's care for proxy processes: real ones, and programs that are none."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from roost.agent.proxies import Proxies, ProxyStatus
from roost.agent.proxy_link import ProxyLink
from roost.control.certificate_desk import CertificateDesk
from roost.control.public_pool import NO_POOL
from roost.errors import DeadlineError, RoostError, UnavailableError
from roost.home import Home
from roost.proxyctl.client import Message, greeting
from roost.proxyctl.process import processes
from roost.store.memory import MemoryStore
from tests.support.agent_rig import TestClock
from tests.support.fake_heir import REFUSAL
from tests.support.proxy_control import ROOT

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="the proxy enters network namespaces"),
]

DRAIN_MS = 60_000


@dataclass(frozen=True)
class World:
    """What a daemon has of proxies; its clock moves by hand."""

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
async def daemon(home: Home) -> AsyncIterator[World]:
    """A daemon's part; the processes outlive it."""
    store, clock = MemoryStore(), TestClock()
    link = ProxyLink(store, home, "local", {}, ignore, clock=clock, public=NO_POOL, desk=no_desk)
    proxies = Proxies(home, clock, link)
    await proxies.find()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(link.run()), group.create_task(proxies.supervise())]
        yield World(home, clock, link, proxies, group)
        for task in tasks:
            task.cancel()
    await store.close()


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
                await process.killed()

    asyncio.run(main())


def program(folder: Path, line: str) -> str:
    """A program that is no proxy."""
    path = folder / "no-proxy"
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return str(path)


def test_an_upgrade_is_found_by_the_next_daemon(tmp_path: Path) -> None:
    """A new process serves, the old one, which has nothing left, leaves; a new daemon goes on with
    the new one, whose socket is not the first.
    """

    async def test(home: Home) -> None:
        async with daemon(home) as world:
            old = await world.serving()
            done = await world.proxies.upgrade(DRAIN_MS)
            assert done.before.pid == old.pid != done.after.pid
            await processes(home)[0].ended()
            assert [one.pid for one in await world.proxies.status()] == [done.after.pid]
        async with daemon(home) as world:
            assert (await world.serving()).pid == done.after.pid
            assert len(await world.proxies.status()) == 1

    run(tmp_path / "h", test)


@pytest.mark.parametrize(
    ("line", "error", "says"),
    [
        ("exit 3", UnavailableError, "ended at once"),
        ("exec sleep 1000", DeadlineError, "was not ready within 30 s"),
    ],
)
def test_a_broken_program_changes_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    error: type[RoostError],
    says: str,
) -> None:
    """A new program that ends at once, or does nothing, is ended with a clear error; the old
    process serves as before, and a good program is taken right after.
    """

    async def test(home: Home) -> None:
        async with daemon(home) as world:
            old = await world.serving()
            with monkeypatch.context() as patch:
                patch.setenv("ROOST_PROXY", program(tmp_path, line))
                said = await world.fails(error, clock_stands=line.startswith("exit"))
            assert says in said
            assert "proxy.log" in said
            assert [process.pid for process in processes(home)] == [old.pid, None, None, None]
            assert (await world.serving()) == old
            assert (await world.proxies.upgrade(DRAIN_MS)).before.pid == old.pid

    run(tmp_path / "h", test)


def test_a_refused_handover_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new process that knows everything, but gets no sockets, is ended; the old one serves."""

    async def test(home: Home) -> None:
        async with daemon(home) as world:
            old = await world.serving()
            line = f'cd {ROOT} && exec {sys.executable} -m tests.support.fake_heir "$@"'
            monkeypatch.setenv("ROOST_PROXY", program(tmp_path, line))
            assert REFUSAL in await world.fails(UnavailableError, clock_stands=True)
            assert [process.pid for process in processes(home)] == [old.pid, None, None, None]
            assert (await greeting(home.proxy_socket))["role"] == "serving"
            assert (await world.serving()).pid == old.pid

    run(tmp_path / "h", test)


def test_two_upgrades_at_once(tmp_path: Path) -> None:
    """While one is under way another is refused: each would take over from the same process."""

    async def test(home: Home) -> None:
        async with daemon(home) as world:
            await world.serving()
            first = world.group.create_task(world.proxies.upgrade(DRAIN_MS))
            await world.meanwhile(lambda: processes(home)[1].pid is not None)
            with pytest.raises(RoostError, match="at this moment"):
                await world.proxies.upgrade(DRAIN_MS)
            assert (await first).after.pid == (await world.serving()).pid

    run(tmp_path / "h", test)


def test_the_serving_process_is_killed(tmp_path: Path) -> None:
    """Another one serves, after an upgrade as before it."""

    async def test(home: Home) -> None:
        async with daemon(home) as world:
            await world.serving()
            killed = (await world.proxies.upgrade(DRAIN_MS)).after.pid
            await processes(home)[0].ended()
            os.kill(killed, signal.SIGKILL)
            await world.meanwhile(
                lambda: any(one.pid not in (None, killed) for one in processes(home))
            )
            assert (await world.serving()).pid not in (0, killed)

    run(tmp_path / "h", test)


def test_an_unfinished_upgrade_is_tidied_up(tmp_path: Path) -> None:
    """A daemon that died during an upgrade leaves a process that waits for its turn; the next one
    ends it and goes on with the one that serves.
    """

    async def test(home: Home) -> None:
        async with daemon(home) as world:
            old, unfinished = await world.serving(), processes(home)[1]
            unfinished.start(standby=True)
            await world.meanwhile(unfinished.socket.exists)
        async with daemon(home) as world:
            assert (await world.serving()).pid == old.pid
            assert [process.pid for process in processes(home)] == [old.pid, None, None, None]

    run(tmp_path / "h", test)
