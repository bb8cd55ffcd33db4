"""Daemons and processes that die in the middle of an upgrade, while callers are connected: what the
next one finds serves, and counts each call once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from roost.clock import SystemClock
from roost.errors import UnavailableError
from roost.home import Home
from roost.model.machine_config import MachineConfig
from roost.model.machine_state import Goal, MachineState
from roost.model.records import Address, App, Network
from roost.pidfile import PidFile
from roost.proxyctl.process import processes
from roost.store.base import Put
from roost.store.memory import MemoryStore
from tests.support.http_peer import Peer
from tests.support.machines import a_machine
from tests.support.proxy_control import ROOT, proxy_binary
from tests.support.proxy_daemon import DRAIN_MS, Daemon, daemon, dies_at, program, run
from tests.support.proxy_world import FLYCAST, INTERNAL_PORT, World

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces, which needs root"),
]

LIMIT = 3
PORT = 5000
NETWORK = Network(id=1, org="personal", name="default", created_at=1)
CONFIG = {
    "image": "roost/host",
    "services": [
        {
            "internal_port": INTERNAL_PORT,
            "ports": [{"port": PORT}],
            "concurrency": {"type": "connections", "soft_limit": LIMIT, "hard_limit": LIMIT},
        }
    ],
}
Call = tuple[Peer, Peer]
"""The caller's end and the Machine's."""


@dataclass(slots=True)
class Stage:
    """An app whose one Machine takes so many connections, and the daemons that care for it."""

    home: Home
    store: MemoryStore
    world: World
    stack: contextlib.ExitStack
    listener: socket.socket

    def daemon(self) -> AbstractAsyncContextManager[Daemon]:
        """A daemon, the next one after those before."""
        routers = {self.world.router: NETWORK}
        return daemon(self.home, store=self.store, clock=SystemClock(), routers=routers)

    def call(self) -> Peer:
        """A call that may have to wait."""
        return self.stack.enter_context(Peer(self.world.call(2, PORT)))

    def served(self, caller: Peer) -> Call:
        """A call reaches the Machine."""
        inside = self.stack.enter_context(Peer(self.listener.accept()[0]))
        carries((caller, inside))
        return caller, inside

    def talk(self) -> Call:
        """A call that is served."""
        return self.served(self.call())


def carries(call: Call) -> None:
    """Bytes pass both ways."""
    caller, inside = call
    caller.send("ping")
    assert inside.take(4) == b"ping"
    inside.send("pong")
    assert caller.take(4) == b"pong"


def end(call: Call) -> None:
    """Both ends close."""
    for peer in call:
        peer.close()


async def waits(found: Daemon, count: int) -> None:
    """Returns when so many calls wait in the process that serves."""
    async with asyncio.timeout(10):
        while (await found.link.stats()).get("waiting") != count:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0)


async def roles(found: Daemon, *wanted: str) -> None:
    """Returns when there are processes of these roles, the serving one first."""
    async with asyncio.timeout(10):
        while [one.role for one in await found.proxies.status()] != [*wanted]:  # noqa: ASYNC110
            await asyncio.sleep(0)


async def accepts(stage: Stage) -> None:
    """Returns when calls are accepted again, after a process that served was killed."""
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                return end(stage.talk())
            await asyncio.sleep(0)


async def is_full_with(found: Daemon, stage: Stage, calls: list[Call]) -> None:
    """Of the limit so much is left as these calls leave: each is counted, and once. They end."""
    for call in calls:
        carries(call)
    more = [stage.talk() for _ in range(LIMIT - len(calls))]
    waiting = stage.call()
    await waits(found, 1)
    end((calls or more).pop())
    last = stage.served(waiting)
    for call in (*calls, *more, last):
        end(call)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with contextlib.ExitStack() as stack:
        world = World(stack)
        address, inside = world.add_machine()
        listener = stack.enter_context(world.listen(inside))
        machine = a_machine(
            ipv4=int(address.rpartition(".")[2]) - 1,
            state=MachineState.STARTED,
            goal=Goal.STARTED,
            config=MachineConfig.model_validate(CONFIG),
        )
        common = {"org": "personal", "network": "default", "network_id": 1, "created_at": 1}
        store = MemoryStore()
        store.commit_now(
            Put(NETWORK),
            Put(App(id="web", name="web", number=1, **common)),
            Put(Address(ip=f"{FLYCAST}2", app="web", **common)),
            Put(machine),
        )
        yield Stage(Home(tmp_path / "h"), store, world, stack, listener)


def play(stage: Stage, test: Callable[[], Awaitable[None]]) -> None:
    async def main(_home: Home) -> None:
        await test()

    run(stage.home.root, main)


@pytest.mark.parametrize("step", ["started (pid", ": telling", ": taking", "sent", ": serving"])
def test_a_daemon_dies_at_a_step(stage: Stage, step: str) -> None:
    """Whatever step of the second upgrade it dies at: the next daemon finds one process that
    serves, every call goes on and counts once, also when the process in the middle is killed.
    """

    async def test() -> None:
        async with stage.daemon() as first:
            await first.serving()
            oldest = stage.talk()
            await first.proxies.upgrade(DRAIN_MS)
            newer = stage.talk()
            before = (await first.serving()).pid
            with dies_at(": taking" if step == "sent" else step):
                await first.proxies.upgrade(DRAIN_MS)
            if step == "sent":
                heir = first.link.peer(stage.home.proxy_sockets[2])
                heir.say("take_over", **{"from": [str(stage.home.proxy_sockets[1])]}, drain_ms=9000)
        async with stage.daemon() as found:
            serving = (await found.serving()).pid
            handed_over = serving != before
            assert step == "sent" or handed_over == (step == ": serving")
            await roles(found, "serving", "draining", *["draining"] * handed_over)
            assert PidFile(stage.home.proxy_pid).alive() == serving
            if handed_over:
                os.kill(before, signal.SIGKILL)
                await roles(found, "serving", "draining")
                with contextlib.suppress(ConnectionResetError):
                    newer[0].rest()
            calls = [oldest] if handed_over else [oldest, newer]
            await is_full_with(found, stage, calls)
            await roles(found, "serving")

    play(stage, test)


def behind_a_gate(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """The next processes go on once a line is written to this fifo, which opens when one waits."""
    gate = folder / "gate"
    os.mkfifo(gate)
    late = program(folder, f"read -r word <{gate}", f'exec {proxy_binary()} "$@"')
    patch.setenv("ROOST_PROXY", late)
    return gate


def test_an_old_process_leaves_while_another_starts(stage: Stage, tmp_path: Path) -> None:
    """Of two that drain when the serving one is killed, one leaves before the new one has taken
    over: the other goes on.
    """

    async def test() -> None:
        async with stage.daemon() as host:
            await host.serving()
            oldest = stage.talk()
            await host.proxies.upgrade(DRAIN_MS)
            newer = stage.talk()
            serving = (await host.proxies.upgrade(DRAIN_MS)).after.pid
            with pytest.MonkeyPatch.context() as patch:
                gate = behind_a_gate(tmp_path, patch)
                os.kill(serving, signal.SIGKILL)
                opened = await asyncio.to_thread(gate.open, "w")
            first = processes(stage.home)[0]
            end(oldest)
            await first.ended()
            with opened:
                opened.write("go\n")
            await accepts(stage)
            await roles(host, "serving", "draining")
            await is_full_with(host, stage, [newer])

    play(stage, test)


def test_the_old_process_is_killed_in_an_upgrade(stage: Stage, tmp_path: Path) -> None:
    """There is nobody to take over from any more: the upgrade fails, another process serves, and
    what the killed one had under way counts no more.
    """

    async def test() -> None:
        async with stage.daemon() as host:
            old = await host.serving()
            stage.talk()
            with pytest.MonkeyPatch.context() as patch:
                gate = behind_a_gate(tmp_path, patch)
                upgrade = host.group.create_task(host.fails(UnavailableError, clock_stands=True))
                opened = await asyncio.to_thread(gate.open, "w")
            os.kill(old.pid, signal.SIGKILL)
            await processes(stage.home)[0].ended()
            with opened:
                opened.write("go\n")
            assert "cannot take over from" in await upgrade
            await accepts(stage)
            assert [one.role for one in await host.proxies.status()] == ["serving"]
            await is_full_with(host, stage, [])

    play(stage, test)


def test_a_new_process_that_served_for_a_moment(stage: Stage, tmp_path: Path) -> None:
    """One that takes over and then says that it failed is ended, and so nobody serves: another does
    soon, also when the next one cannot be started, and the old one's calls go on and count.
    """
    count = tmp_path / "count"
    fake = f"cd {ROOT} && exec {sys.executable} -m tests.support.false_heir"
    turns = (
        f"echo >>{count}",
        f"case $(wc -l <{count}) in",
        f'1) {fake} "$@" ;;',
        "2) exit 3 ;;",
        "esac",
        f'exec {proxy_binary()} "$@"',
    )

    async def test() -> None:
        async with stage.daemon() as host:
            old = await host.serving()
            call = stage.talk()
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("ROOST_PROXY", program(tmp_path, *turns))
                with pytest.raises(UnavailableError, match="it failed after all"):
                    await host.proxies.upgrade(DRAIN_MS)
                await accepts(stage)
            await roles(host, "serving", "draining")
            assert (await host.proxies.status())[1].pid == old.pid
            assert count.read_text() == "\n" * 3
            await is_full_with(host, stage, [call])

    play(stage, test)
