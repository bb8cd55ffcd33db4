"""Containers whose daemon, conmon, or main process is killed, and what half-made ones leave."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import pytest

from roost.home import MAX_HOME, Home
from roost.runtime.base import ContainerState
from roost.runtime.groups import group_name
from roost.runtime.oci import OciRuntime
from roost.runtime.records import Records
from tests.support.namespaces import isolated
from tests.support.runtime import (
    container,
    next_exit,
    oci_runtime,
    output,
    run_to_end,
    seen,
    short_home,
    started,
    state,
    until,
    until_running,
)

pytestmark = pytest.mark.root


async def _owner(home: Home, *command: str) -> None:
    """Another process makes the container and is killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.short_lived_owner", str(home.root), *command
    )
    assert -signal.SIGKILL == await process.wait()


@isolated
async def test_owner_killed() -> None:
    """A container runs on when its daemon is killed; the next one adopts it and sees its end."""
    with short_home() as home:
        async with oci_runtime(home) as runtime:
            script = "trap 'echo bye; exit 4' TERM; echo ready; while :; do sleep 0.01; done"
            await _owner(home, "sh", "-c", script)
            await runtime.setup()
            assert ContainerState.RUNNING is await state(runtime)
            log = home.logs / "m1.log"
            await until(lambda: "ready" in output(log))
            await runtime.signal("m1", signal.SIGTERM)
            assert 4 == (await next_exit(runtime)).exit_code
            assert "ready\nbye\n" == output(log)


@isolated
async def test_ended_while_nobody_watched() -> None:
    """An end between two daemons is observed by the second, and not told as an event."""
    with short_home() as home:
        async with oci_runtime(home) as runtime:
            await _owner(home, "sh", "-c", "exit 5")
            await until((home.containers / ".exits" / "m1").exists)
            assert ContainerState.EXITED is await state(runtime)
            await runtime.setup()
            observed = await seen(runtime)
            assert observed is not None
            assert observed.exit is not None
            assert 5 == observed.exit.exit_code
            await started(runtime, container(home, "true", name="m2"))
            assert "m2" == (await next_exit(runtime)).id


@isolated
async def test_main_process_killed() -> None:
    """kill -9 from outside is an end by signal 9, not an out-of-memory kill."""
    with short_home() as home:
        async with oci_runtime(home) as runtime:
            os.kill(await started(runtime, container(home)), signal.SIGKILL)
            ended = await next_exit(runtime)
            assert (signal.SIGKILL, False) == (ended.signal, ended.oom_killed)


@isolated
async def test_conmon_killed() -> None:
    """A container without its conmon is ended, and both exits() and observe() say so."""
    with short_home() as home:
        async with oci_runtime(home) as runtime:
            await started(runtime, container(home))
            await until_running(runtime)
            main = Records(home.containers).main("m1")
            assert main is not None
            os.kill(main.conmon, signal.SIGKILL)
            assert signal.SIGKILL == (await next_exit(runtime)).signal
            assert ContainerState.EXITED is await state(runtime)
            await runtime.delete("m1")
            await until(lambda: not main.alive)


@isolated
async def test_half_made() -> None:
    """A container that was never completed is seen as broken, and delete ends all of it."""
    with short_home() as home:
        async with oci_runtime(home) as runtime:
            await runtime.create(container(home))
            main = Records(home.containers).main("m1")
            assert main is not None
            (home.containers / "m1" / "main").unlink()
            later = OciRuntime(home)
            await later.setup()
            try:
                assert ContainerState.BROKEN is await state(later)
                await later.delete("m1")
                assert [] == await later.observe()
            finally:
                later.close()
            await until(lambda: not main.alive)


@isolated
async def test_leftover_writable_layer() -> None:
    """A writable layer without a container goes at the next set-up."""
    with short_home() as home:
        async with oci_runtime(home) as runtime:
            left = home.root / "writable" / "m9"
            (left / "work" / "work").mkdir(parents=True)
            (left / "work" / "work").chmod(0)
            await runtime.setup()
            assert not left.exists()


@isolated
async def test_longest_home() -> None:
    """Containers and terminals work in a ROOST_HOME as long as it may be."""
    with short_home() as short:
        root = short.root / ("x" * (MAX_HOME - len(str(short.root)) - 1))
        root.mkdir()
        home = Home(root)
        assert MAX_HOME == len(str(root))
        async with oci_runtime(home) as runtime:
            await started(runtime, container(home))
            session = await runtime.session("m1", ("tty",), tty=True)
            assert b"/dev/pts/" in (await session.read())[1]
            assert 0 == await session.wait()
            await session.close()


@isolated
async def test_nothing_is_left() -> None:
    """After delete there is no process, mount, or file of a container but its log."""
    with short_home() as home:
        async with oci_runtime(home) as runtime:
            await run_to_end(runtime, container(home, "echo", "hello"))
            main = Records(home.containers).main("m1")
            assert main is not None
            await runtime.delete("m1")
            assert not main.conmon_alive
            mounts = (await asyncio.to_thread(_mounts)).replace("\\040", " ")
            assert f"{home.root}/writable" not in mounts
            # Through the cgroup mounts the groups of everybody on this host are seen.
            ours = group_name(home.root)
            left = {
                p.name
                for p in home.root.rglob("*m1*")
                if "netns" not in p.parts and ("cgroup1" not in p.parts or ours in p.parts)
            }
            assert {"m1.log"} == left


def _mounts() -> str:
    with open("/proc/thread-self/mountinfo") as mounts:  # noqa: PTH123 - a special file
        return mounts.read()
