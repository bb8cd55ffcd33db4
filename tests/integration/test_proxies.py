"""The daemon's care for proxy processes: real ones, and programs that are none."""

from __future__ import annotations

import os
import select
import signal
import sys
from pathlib import Path

import pytest

from roost.daemon.down import end_proxies
from roost.errors import DeadlineError, RoostError, UnavailableError
from roost.home import Home
from roost.pidfile import PidFile
from roost.proxyctl.client import greeting
from roost.proxyctl.process import processes
from tests.support.fake_heir import REFUSAL
from tests.support.proxy_control import ROOT
from tests.support.proxy_daemon import DRAIN_MS, daemon, program, run

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="the proxy enters network namespaces"),
]


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
            assert PidFile(home.proxy_pid).alive() == done.after.pid
        home.proxy_pid.unlink()
        async with daemon(home) as world:
            assert (await world.serving()).pid == done.after.pid
            assert len(await world.proxies.status()) == 1
            assert PidFile(home.proxy_pid).alive() == done.after.pid

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


def test_a_process_that_nobody_noted_is_found(tmp_path: Path) -> None:
    """A daemon that died between the start of a process and its pid file leaves one that nothing
    names but its socket: the next daemon goes on with it, and `down` finds it to end it.
    """

    async def test(home: Home) -> None:
        async with daemon(home) as world:
            old = await world.serving()
        (home.run / "proxy-1.pid").unlink()
        async with daemon(home) as world:
            assert (await world.serving()).pid == old.pid
            assert processes(home)[0].pid == old.pid
        (home.run / "proxy-1.pid").unlink()
        fd = os.pidfd_open(old.pid)
        end_proxies(home)
        assert select.select([fd], [], [], 10)[0] == [fd]
        os.close(fd)

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
