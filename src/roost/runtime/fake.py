"""Containers in memory that keep the promises of base.py, for tests of what uses a runtime.

Programs are simulated: `sh -c "exit N"` ends with N, `true` and `false` end at once, `cat` gives
back its input, `echo` its arguments, `printenv NAME` a variable; everything else runs until it is
signalled. A command named `missing` is not in any image. `FakeHost` outlives a FakeRuntime as a
real host outlives a daemon; `end`, `fail`, and `calls` are for tests.
"""

from __future__ import annotations

import asyncio
import shlex
import signal
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from roost.errors import DeadlineError, NotFoundError, PreconditionError
from roost.runtime.base import (
    ContainerSpec,
    ContainerState,
    ExecResult,
    ExecSession,
    Exit,
    Memory,
    Observed,
    Process,
)
from roost.runtime.exits import exit_of

MISSING = "missing"
_PRINTERS = ("cat", "echo", "printenv")
_RESIDENT = 8 << 20
_ALIVE = (ContainerState.CREATED, ContainerState.RUNNING, ContainerState.FROZEN)


@dataclass(slots=True)
class _Container:
    spec: ContainerSpec
    state: ContainerState = ContainerState.CREATED
    pid: int = 0
    exit: Exit | None = None
    swapped: int = 0


@dataclass(slots=True)
class FakeHost:
    """What stays when the daemon goes: containers, and a clock in milliseconds."""

    containers: dict[str, _Container] = field(default_factory=dict)
    now_ms: int = 0
    next_pid: int = 1000
    swap: bool = False


class FakeRuntime:
    """See base.Runtime. `calls` lists (operation, container) in their order."""

    def __init__(self, host: FakeHost | None = None) -> None:
        self.host = host or FakeHost()
        self.calls: list[tuple[str, str]] = []
        self._failures: dict[str, deque[Exception]] = {}
        self._ends: asyncio.Queue[Exit] = asyncio.Queue()

    # --- for tests

    def fail(self, operation: str, error: Exception) -> None:
        """The next call of `operation` raises `error` before it does anything."""
        self._failures.setdefault(operation, deque()).append(error)

    def end(self, container: str, exit_code: int, *, oom_killed: bool = False) -> None:
        """The main process of a container ends."""
        self._end(container, exit_code, oom_killed=oom_killed)

    def break_container(self, container: str) -> None:
        """The container loses its main process without a status."""
        self.host.containers[container].state = ContainerState.BROKEN

    def spec(self, container: str) -> ContainerSpec:
        """What it was created from. Raises KeyError."""
        return self.host.containers[container].spec

    # --- base.Runtime

    async def setup(self) -> None:
        """See base.Runtime."""
        await self._step("setup", "")

    async def create(self, spec: ContainerSpec) -> None:
        """See base.Runtime."""
        await self._step("create", spec.id)
        known = self.host.containers.get(spec.id)
        if known and known.state in (ContainerState.RUNNING, ContainerState.FROZEN):
            raise PreconditionError(f"container {spec.id} is {known.state}")
        _check_command(spec.args)
        self.host.next_pid += 1
        self.host.containers[spec.id] = _Container(spec=spec, pid=self.host.next_pid)

    async def start(self, container: str) -> int:
        """See base.Runtime."""
        await self._step("start", container)
        known = self._known(container)
        if known.state is ContainerState.EXITED:
            raise PreconditionError(f"container {container} has ended")
        if known.state is ContainerState.CREATED:
            known.state = ContainerState.RUNNING
            if (code := _ends_at_once(known.spec.args)) is not None:
                self._end(container, code)
        return known.pid

    async def signal(self, container: str, signo: int) -> None:
        """See base.Runtime."""
        await self._step("signal", container)
        known = self._known(container)
        if known.state not in _ALIVE:
            raise NotFoundError(f"container {container} has ended")
        if signo not in (signal.SIGCHLD, signal.SIGWINCH, signal.SIGCONT):
            self._end(container, 128 + signo)

    async def kill(self, container: str) -> None:
        """See base.Runtime."""
        await self._step("kill", container)
        self._end(container, 128 + signal.SIGKILL)

    async def freeze(self, container: str) -> None:
        """See base.Runtime."""
        await self._step("freeze", container)
        self._require(container, ContainerState.RUNNING, ContainerState.FROZEN)
        self._known(container).state = ContainerState.FROZEN

    async def thaw(self, container: str) -> None:
        """See base.Runtime."""
        await self._step("thaw", container)
        known = self._known(container)
        if known.state is ContainerState.FROZEN:
            known.state, known.swapped = ContainerState.RUNNING, 0

    async def reclaim(self, container: str) -> int:
        """See base.Runtime."""
        await self._step("reclaim", container)
        known = self._known(container)
        if not self.host.swap:
            return 0
        freed, known.swapped = _RESIDENT - known.swapped, _RESIDENT
        return freed

    async def delete(self, container: str) -> None:
        """See base.Runtime."""
        await self._step("delete", container)
        self.host.containers.pop(container, None)

    async def observe(self) -> list[Observed]:
        """See base.Runtime."""
        await self._step("observe", "")
        return [
            Observed(
                id=name,
                state=known.state,
                pid=known.pid if known.state in _ALIVE else 0,
                exit=known.exit,
                labels=dict(known.spec.labels),
            )
            for name, known in sorted(self.host.containers.items())
        ]

    async def exits(self) -> AsyncIterator[Exit]:
        """See base.Runtime."""
        while True:
            yield await self._ends.get()

    async def exec(
        self,
        container: str,
        args: tuple[str, ...],
        *,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        timeout: float,
    ) -> ExecResult:
        """See base.Runtime. A command that would run on meets its deadline at once."""
        await self._step("exec", container)
        self._require(container, ContainerState.RUNNING)
        _check_command(args)
        code = _ends_at_once(args)
        if code is None and args[0] not in _PRINTERS:
            raise DeadlineError(f"command {args[0]!r} did not end within {timeout:g} s")
        out = _output(args, stdin, self._environment(container, env))
        return ExecResult(exit_code=code or 0, stdout=out, stderr=b"")

    async def session(
        self,
        container: str,
        args: tuple[str, ...],
        *,
        tty: bool,
        env: Mapping[str, str] | None = None,
    ) -> ExecSession:
        """See base.Runtime."""
        await self._step("session", container)
        self._require(container, ContainerState.RUNNING)
        _check_command(args)
        return FakeSession(args, self._environment(container, env), tty=tty)

    async def processes(self, container: str) -> list[Process]:
        """See base.Runtime."""
        known = self._known(container)
        if known.state not in _ALIVE:
            return []
        command = shlex.join(known.spec.args)
        return [Process(pid=1, command=command, cpu_seconds=0.0, rss=_RESIDENT)]

    async def memory(self, container: str) -> Memory:
        """See base.Runtime."""
        known = self._known(container)
        return Memory(resident=_RESIDENT - known.swapped, swapped=known.swapped)

    async def teardown(self) -> None:
        """See base.Runtime."""
        await self._step("teardown", "")
        self.host.containers.clear()

    # --- inside

    async def _step(self, operation: str, container: str) -> None:
        await asyncio.sleep(0)
        self.calls.append((operation, container))
        if waiting := self._failures.get(operation):
            raise waiting.popleft()

    def _known(self, container: str) -> _Container:
        try:
            return self.host.containers[container]
        except KeyError:
            raise NotFoundError(f"container {container} does not exist") from None

    def _environment(self, container: str, env: Mapping[str, str] | None) -> dict[str, str]:
        return {**self._known(container).spec.env, **(env or {})}

    def _require(self, container: str, *states: ContainerState) -> None:
        state = self._known(container).state
        if state not in states:
            raise PreconditionError(f"container {container} is {state}")

    def _end(self, container: str, code: int, *, oom_killed: bool = False) -> None:
        known = self.host.containers.get(container)
        if known is None or known.state not in _ALIVE:
            return
        ended = exit_of(container, code, self.host.now_ms, oom_killed=oom_killed)
        known.state, known.exit = ContainerState.EXITED, ended
        self._ends.put_nowait(ended)


class FakeSession:
    """See base.ExecSession: `cat` echoes, other commands print what `exec` would and end."""

    def __init__(self, args: tuple[str, ...], env: Mapping[str, str], *, tty: bool) -> None:
        self.size: tuple[int, int] | None = None
        self._tty = tty
        self._output: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if out := _output(args, b"", env):
            self._output.put_nowait((1, out))
        if args[0] in ("echo", "printenv") or _ends_at_once(args) is not None:
            self._finish(_ends_at_once(args) or 0)

    def _finish(self, code: int) -> None:
        if not self._code.done():
            self._code.set_result(code)
            self._output.put_nowait((0, b""))

    async def read(self) -> tuple[int, bytes]:
        """See base.ExecSession."""
        piece = await self._output.get()
        if piece[0] == 0:
            self._output.put_nowait(piece)
        return piece

    async def write(self, data: bytes) -> None:
        """See base.ExecSession."""
        if self._code.done():
            return
        if data:
            self._output.put_nowait((1, data))
        else:
            self._finish(0)

    def resize(self, rows: int, columns: int) -> None:
        """See base.ExecSession; `size` remembers it."""
        if self._tty:
            self.size = (rows, columns)

    async def wait(self) -> int:
        """See base.ExecSession."""
        return await asyncio.shield(self._code)

    async def close(self) -> None:
        """See base.ExecSession."""
        self._finish(128 + signal.SIGKILL)


def _check_command(args: tuple[str, ...]) -> None:
    if args and args[0] == MISSING:
        raise NotFoundError(f"command {MISSING!r} is not in the image")


def _ends_at_once(args: tuple[str, ...]) -> int | None:
    match args:
        case ("true", *_):
            return 0
        case ("false", *_):
            return 1
        case ("sh", "-c", script) if script.startswith("exit ") and script[5:].isdecimal():
            return int(script[5:])
        case _:
            return None


def _output(args: tuple[str, ...], stdin: bytes, env: Mapping[str, str]) -> bytes:
    match args:
        case ("printenv", name):
            return env.get(name, "").encode() + b"\n"
        case ("echo", *words):
            return " ".join(words).encode() + b"\n"
        case ("cat",):
            return stdin
        case _:
            return b""
