"""What every runtime driver must do, the one for tests included."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

import pytest

from roost.errors import DeadlineError, NotFoundError, PreconditionError
from roost.home import Home
from roost.runtime.base import ContainerState, Runtime
from roost.runtime.fake import FakeHost, FakeRuntime
from roost.runtime.oci import OciRuntime
from tests.support.namespaces import run_isolated
from tests.support.runtime import (
    container,
    next_exit,
    oci_runtime,
    seen,
    short_home,
    started,
    state,
    until_running,
)

Again = Callable[[], Awaitable[Runtime]]
Body = Callable[[Runtime, Home, Again], Awaitable[None]]
Run = Callable[[Body], None]


@pytest.fixture(
    params=[
        "fake",
        pytest.param("crun", marks=pytest.mark.root),
        pytest.param("runc", marks=pytest.mark.root),
    ]
)
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a body with a driver, its home, and a way to get a second driver of the same host."""

    def runner(body: Body) -> None:
        with short_home() as home:
            if request.param == "fake":
                asyncio.run(_with_fake(body, home))
            else:
                run_isolated(lambda: _with_oci(body, home, request.param), network=False)

    return runner


async def _with_fake(body: Body, home: Home) -> None:
    host = FakeHost()

    async def again() -> Runtime:
        return FakeRuntime(host)

    await body(FakeRuntime(host), home, again)


async def _with_oci(body: Body, home: Home, prefer: str) -> None:
    others: list[OciRuntime] = []

    async def again() -> Runtime:
        others.append(OciRuntime(home, prefer=prefer))
        await others[-1].setup()
        return others[-1]

    async with oci_runtime(home, prefer=prefer) as runtime:
        assert prefer == runtime.detected.runtime
        try:
            await body(runtime, home, again)
        finally:
            for other in others:
                other.close()


def test_created_then_running_then_gone(run: Run) -> None:
    """A container is observed as created, running, and no more, with its labels."""

    async def body(runtime: Runtime, home: Home, _: Again) -> None:
        await runtime.create(container(home))
        created = await seen(runtime)
        assert created is not None
        assert (ContainerState.CREATED, {"for": "test"}) == (created.state, created.labels)
        pid = await runtime.start("m1")
        running = await seen(runtime)
        assert running is not None
        assert (ContainerState.RUNNING, pid) == (running.state, running.pid)
        await runtime.delete("m1")
        assert [] == await runtime.observe()

    run(body)


def test_create_again(run: Run) -> None:
    """Creating what is created, or has ended, makes it anew; a running one is left alone."""

    async def body(runtime: Runtime, home: Home, _: Again) -> None:
        await runtime.create(container(home))
        await runtime.create(container(home))
        assert ContainerState.CREATED is await state(runtime)
        await runtime.start("m1")
        with pytest.raises(PreconditionError):
            await runtime.create(container(home))
        assert ContainerState.RUNNING is await state(runtime)
        await runtime.kill("m1")
        await next_exit(runtime)
        await runtime.create(container(home))
        assert ContainerState.CREATED is await state(runtime)

    run(body)


def test_gone_is_no_error(run: Run) -> None:
    """Killing and deleting what does not exist, or has ended, changes nothing."""

    async def body(runtime: Runtime, home: Home, _: Again) -> None:
        await runtime.kill("m1")
        await runtime.delete("m1")
        await started(runtime, container(home, "true"))
        await next_exit(runtime)
        await runtime.kill("m1")
        assert ContainerState.EXITED is await state(runtime)
        await runtime.delete("m1")
        await runtime.delete("m1")

    run(body)


def test_exit_code(run: Run) -> None:
    """exits() and observe() tell the same code, and no signal for a program that returned."""

    async def body(runtime: Runtime, home: Home, _: Again) -> None:
        await started(runtime, container(home, "sh", "-c", "exit 7"))
        ended = await next_exit(runtime)
        assert ("m1", 7, 0, False) == (ended.id, ended.exit_code, ended.signal, ended.oom_killed)
        observed = await seen(runtime)
        assert observed is not None
        assert (ContainerState.EXITED, ended, 0) == (observed.state, observed.exit, observed.pid)

    run(body)


def test_signal_ends_it(run: Run) -> None:
    """A program without a handler ends by SIGINT, and the exit names the signal."""

    async def body(runtime: Runtime, home: Home, _: Again) -> None:
        await started(runtime, container(home))
        await until_running(runtime)
        await runtime.signal("m1", signal.SIGINT)
        ended = await next_exit(runtime)
        assert (130, signal.SIGINT) == (ended.exit_code, ended.signal)
        with pytest.raises(NotFoundError):
            await runtime.signal("m1", signal.SIGINT)

    run(body)


def test_kill_while_frozen(run: Run) -> None:
    """A frozen container can be killed."""

    async def body(runtime: Runtime, home: Home, _: Again) -> None:
        await started(runtime, container(home))
        await runtime.freeze("m1")
        await runtime.kill("m1")
        assert signal.SIGKILL == (await next_exit(runtime)).signal

    run(body)


def test_freeze_and_thaw(run: Run) -> None:
    """Freezing and thawing, each twice, changes the state and nothing else."""

    async def body(runtime: Runtime, home: Home, _: Again) -> None:
        await started(runtime, container(home))
        for _again in range(2):
            await runtime.freeze("m1")
            assert ContainerState.FROZEN is await state(runtime)
        assert 0 <= await runtime.reclaim("m1")
        for _again in range(2):
            await runtime.thaw("m1")
            assert ContainerState.RUNNING is await state(runtime)
        done = await runtime.exec("m1", ("echo", "still", "here"), timeout=20)
        assert b"still here\n" == done.stdout

    run(body)


def test_freeze_only_what_runs(run: Run) -> None:
    """A created container cannot be frozen, and nothing can be run in it or in a frozen one."""

    async def body(runtime: Runtime, home: Home, _: Again) -> None:
        with pytest.raises(NotFoundError):
            await runtime.freeze("m1")
        await runtime.create(container(home))
        with pytest.raises(PreconditionError):
            await runtime.freeze("m1")
        with pytest.raises(PreconditionError):
            await runtime.exec("m1", ("true",), timeout=20)
        await runtime.start("m1")
        await runtime.freeze("m1")
        with pytest.raises(PreconditionError):
            await runtime.exec("m1", ("true",), timeout=20)

    run(body)


def test_missing_command(run: Run) -> None:
    """A command that the image lacks is found out at create, and nothing is left of the try."""

    async def body(runtime: Runtime, home: Home, _: Again) -> None:
        with pytest.raises(NotFoundError, match="missing"):
            await runtime.create(container(home, "missing"))
        assert [] == await runtime.observe()

    run(body)


def test_start_what_is_not_there(run: Run) -> None:
    """Starting needs a container; starting one that runs gives its pid again."""

    async def body(runtime: Runtime, home: Home, _: Again) -> None:
        with pytest.raises(NotFoundError):
            await runtime.start("m1")
        pid = await started(runtime, container(home))
        assert pid == await runtime.start("m1")
        await runtime.kill("m1")
        await next_exit(runtime)
        with pytest.raises(PreconditionError):
            await runtime.start("m1")

    run(body)


def test_exec_streams_and_code(run: Run) -> None:
    """A command inside gets its input, gives its output and its exit code."""

    async def body(runtime: Runtime, home: Home, _: Again) -> None:
        await started(runtime, container(home))
        done = await runtime.exec("m1", ("cat",), stdin=b"in and out", timeout=20)
        assert (0, b"in and out") == (done.exit_code, done.stdout)
        assert 9 == (await runtime.exec("m1", ("sh", "-c", "exit 9"), timeout=20)).exit_code
        with pytest.raises(NotFoundError):
            await runtime.exec("m1", ("missing",), timeout=20)
        with pytest.raises(DeadlineError):
            await runtime.exec("m1", ("sleep", "1000"), timeout=0.2)

    run(body)


def test_exec_environment(run: Run) -> None:
    """A command inside has the container's environment, with its own on top."""

    async def body(runtime: Runtime, home: Home, _: Again) -> None:
        await started(runtime, container(home, env={"A": "container", "B": "container"}))
        command = ("printenv", "A")
        assert b"container\n" == (await runtime.exec("m1", command, timeout=20)).stdout
        own = await runtime.exec("m1", command, env={"A": "own"}, timeout=20)
        assert b"own\n" == own.stdout

    run(body)


def test_session_ends_with_its_input(run: Run) -> None:
    """A session's command reads what is written, and sees the end of its input."""

    async def body(runtime: Runtime, home: Home, _: Again) -> None:
        await started(runtime, container(home))
        session = await runtime.session("m1", ("cat",), tty=False)
        await session.write(b"hello")
        assert (1, b"hello") == await session.read()
        await session.write(b"")
        assert (0, b"") == await session.read()
        assert 0 == await session.wait()
        await session.close()

    run(body)


def test_session_closed(run: Run) -> None:
    """Closing a session ends its command; the container runs on."""

    async def body(runtime: Runtime, home: Home, _: Again) -> None:
        await started(runtime, container(home))
        session = await runtime.session("m1", ("cat",), tty=False)
        session.resize(10, 10)
        await session.close()
        assert 128 + signal.SIGKILL == await session.wait()
        await session.close()
        assert ContainerState.RUNNING is await state(runtime)

    run(body)


def test_processes_and_memory(run: Run) -> None:
    """The program is among the processes and holds memory."""

    async def body(runtime: Runtime, home: Home, _: Again) -> None:
        await started(runtime, container(home))
        await until_running(runtime)
        assert 0 < (await runtime.memory("m1")).resident

    run(body)


def test_adopted_by_a_later_process(run: Run) -> None:
    """Another driver of the same host finds a container, and what it does to it shows."""

    async def body(runtime: Runtime, home: Home, again: Again) -> None:
        await started(runtime, container(home))
        await runtime.freeze("m1")
        later = await again()
        assert ContainerState.FROZEN is await state(later)
        await later.thaw("m1")
        await later.kill("m1")
        ended = await next_exit(later)
        assert signal.SIGKILL == ended.signal
        observed = await seen(runtime)
        assert observed is not None
        assert ended == observed.exit

    run(body)


def test_teardown_leaves_nothing(run: Run) -> None:
    """After teardown no container is left, whatever its state was."""

    async def body(runtime: Runtime, home: Home, _: Again) -> None:
        await runtime.create(container(home, name="created"))
        await started(runtime, container(home, name="frozen"))
        await runtime.freeze("frozen")
        await started(runtime, container(home, name="running"))
        await runtime.teardown()
        assert [] == await runtime.observe()
        await runtime.setup()

    run(body)
