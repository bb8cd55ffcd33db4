"""Containers for tests: a home with a short path, specs on the host's own image, one netns."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from roost.home import Home
from roost.images.base import Image
from roost.images.host import host_image
from roost.runtime.base import ContainerSpec, ContainerState, Exit, Mounted, Observed, Runtime
from roost.runtime.oci import OciRuntime
from tests.support.namespaces import drop_network, make_network

MIB = 1 << 20


@contextmanager
def short_home() -> Iterator[Home]:
    """A ROOST_HOME whose path leaves room for Unix sockets; removed at the end."""
    root = Path(tempfile.mkdtemp(prefix="roost-"))
    root.chmod(0o755)
    try:
        yield Home(root)
    finally:
        shutil.rmtree(root)


@asynccontextmanager
async def oci_runtime(
    home: Home,
    *,
    prefer: str = "crun",
    host_paths: tuple[Path, ...] = (),
    network: Callable[[Path], Path] = make_network,
) -> AsyncIterator[OciRuntime]:
    """A real driver, set up; at the end it removes all containers. Needs a private mount tree."""
    netns = network(home.root / "netns")
    runtime = OciRuntime(home, prefer=prefer, host_paths=host_paths)
    try:
        await runtime.setup()
        try:
            yield runtime
        finally:
            await runtime.teardown()
    finally:
        runtime.close()
        drop_network(netns)


def container(
    home: Home,
    *args: str,
    name: str = "m1",
    image: Image | None = None,
    env: dict[str, str] | None = None,
    user: str = "",
    working_dir: str = "/",
    cpus: float = 1.0,
    memory: int = 256 * MIB,
    pids: int = 64,
    tty: bool = False,
    files: tuple[Mounted, ...] = (),
    app_dir: Path | None = None,
) -> ContainerSpec:
    """A spec on roost/host (or `image`) in the namespace that `oci_runtime` made."""
    return ContainerSpec(
        id=name,
        image=image or host_image(),
        args=args or ("sleep", "1000"),
        env=env or {},
        user=user,
        working_dir=working_dir,
        hostname=name,
        netns=home.root / "netns",
        log_file=home.logs / f"{name}.log",
        cpus=cpus,
        memory=memory,
        pids=pids,
        tty=tty,
        files=files,
        app_dir=app_dir,
        labels={"for": "test"},
    )


async def started(runtime: Runtime, spec: ContainerSpec) -> int:
    """Create and start; the pid."""
    await runtime.create(spec)
    return await runtime.start(spec.id)


async def until(done: Callable[[], bool], *, seconds: float = 60) -> None:
    """Ask again and again, giving others the turn, until it is so. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not done():  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(0)


async def until_running(runtime: Runtime, command: str = "sleep 1000", name: str = "m1") -> None:
    """Wait until the program itself runs: start() returns before the init has started it."""
    async with asyncio.timeout(60):
        while command not in await _commands(runtime, name):  # noqa: ASYNC110 - see until
            await asyncio.sleep(0)


async def until_gone(runtime: Runtime, word: str, name: str = "m1") -> None:
    """Wait until no process of the container has `word` in its command."""
    async with asyncio.timeout(60):
        while word in " ".join(await _commands(runtime, name)):  # noqa: ASYNC110 - see until
            await asyncio.sleep(0)


async def _commands(runtime: Runtime, name: str) -> list[str]:
    return [process.command for process in await runtime.processes(name)]


async def next_exit(runtime: Runtime, *, seconds: float = 20) -> Exit:
    """The next end of a container, or TimeoutError."""
    async with asyncio.timeout(seconds):
        async for ended in runtime.exits():
            return ended
    raise AssertionError("exits() is endless")


async def seen(runtime: Runtime, name: str = "m1") -> Observed | None:
    """What observe() says of one container."""
    found = [observed for observed in await runtime.observe() if observed.id == name]
    return found[0] if found else None


async def state(runtime: Runtime, name: str = "m1") -> ContainerState | None:
    """Its state, None when there is none."""
    observed = await seen(runtime, name)
    return observed.state if observed else None


async def run_to_end(runtime: Runtime, spec: ContainerSpec) -> tuple[Exit, str]:
    """Create, start and wait; how it ended and what it printed."""
    await started(runtime, spec)
    ended = await next_exit(runtime)
    return ended, output(spec.log_file)


def output(log_file: Path) -> str:
    """The program's own output out of conmon's log."""
    lines = log_file.read_text().splitlines()
    parts = (line.split(" ", 3) for line in lines)
    return "".join(text + ("\n" if flag == "F" else "") for _, _, flag, text in parts)
