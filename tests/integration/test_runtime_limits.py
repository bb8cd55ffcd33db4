"""CPU, memory and process limits in whatever cgroup mode this host has."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from roost.errors import UnavailableError
from roost.home import Home
from roost.runtime import hierarchy
from roost.runtime.groups import group_name
from roost.runtime.hierarchy import CgroupMode
from roost.runtime.oci import OciRuntime
from tests.support.namespaces import isolated
from tests.support.runtime import (
    MIB,
    container,
    next_exit,
    oci_runtime,
    seen,
    short_home,
    started,
    until,
)

pytestmark = pytest.mark.root

HOG = "x = bytearray(512 << 20); print(len(x))"


def _group(runtime: OciRuntime, home: Home, controller: str) -> Path:
    """The container's folder of a controller; skips where there is none."""
    match runtime.detected.cgroups:
        case CgroupMode.HYBRID:
            return home.run / "cgroup1" / controller / group_name(home.root) / "m1"
        case CgroupMode.UNIFIED:
            return Path("/sys/fs/cgroup") / group_name(home.root) / "m1"
        case CgroupMode.NONE:
            pytest.skip("this host gives us no cgroups")


def _throttled(stat: str) -> int:
    return int(dict(line.split() for line in stat.splitlines())["nr_throttled"])


@isolated
async def test_memory_hog_is_killed() -> None:
    """A program that takes more memory than it may is killed, and the exit says why."""
    with short_home() as home:
        async with oci_runtime(home) as runtime:
            _group(runtime, home, "memory")
            await started(runtime, container(home, "python3", "-c", HOG, memory=64 * MIB))
            ended = await next_exit(runtime, seconds=60)
            assert (137, True) == (ended.exit_code, ended.oom_killed)
            observed = await seen(runtime)
            assert observed is not None
            assert ended == observed.exit


@isolated
async def test_enough_memory() -> None:
    """The same program with enough memory ends well, without the mark."""
    with short_home() as home:
        async with oci_runtime(home) as runtime:
            await started(runtime, container(home, "python3", "-c", HOG, memory=1024 * MIB))
            ended = await next_exit(runtime, seconds=60)
            assert (0, False) == (ended.exit_code, ended.oom_killed)


@isolated
async def test_cpu_is_throttled() -> None:
    """A busy loop with a tenth of a core is held back by the kernel."""
    with short_home() as home:
        async with oci_runtime(home) as runtime:
            spec = container(home, "sh", "-c", "while :; do :; done", cpus=0.1)
            await started(runtime, spec)
            stat = _group(runtime, home, "cpu") / "cpu.stat"
            await until(lambda: _throttled(stat.read_text()) > 0)


@isolated
async def test_processes_are_limited() -> None:
    """More processes than allowed cannot be made, also not by a command run inside."""
    script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1000 >/dev/null 2>&1 & done"
    with short_home() as home:
        async with oci_runtime(home) as runtime:
            await started(runtime, container(home, pids=10))
            limit = _group(runtime, home, "pids") / "pids.max"
            assert "10" == limit.read_text().strip()
            done = await runtime.exec("m1", ("sh", "-c", script), timeout=30)
            assert b"fork" in done.stderr


@isolated
async def test_groups_are_removed() -> None:
    """After delete no group of the container is left, after teardown none of the home."""
    with short_home() as home:
        async with oci_runtime(home) as runtime:
            await started(runtime, container(home))
            groups = [_group(runtime, home, name) for name in ("memory", "cpu", "pids")]
            assert all(group.is_dir() for group in groups)
            await runtime.delete("m1")
            assert not any(group.exists() for group in groups)
            await runtime.teardown()
            assert not any(group.parent.exists() for group in groups)
            await runtime.setup()


def test_host_mounts_are_not_touched() -> None:
    """On a hybrid host, set-up outside a private mount namespace is refused with the way out."""
    if not hierarchy.needs_cover():
        pytest.skip("this host is pure cgroup v2: set-up mounts nothing")
    before = Path("/proc/mounts").read_text()
    with short_home() as home:
        runtime = OciRuntime(home)
        try:
            with pytest.raises(UnavailableError, match="mount namespace") as caught:
                asyncio.run(runtime.setup())
        finally:
            runtime.close()
    assert "roost up" in str(caught.value.hint)
    assert before == Path("/proc/mounts").read_text()
