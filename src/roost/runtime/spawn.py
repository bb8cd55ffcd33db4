"""Start a program and await its end without a thread: posix_spawn, a pidfd and pipes.

asyncio's own subprocesses cost a thread or a SIGCHLD handler each on Python 3.11; here the event
loop waits on the child's pidfd. Descriptors of this process are close-on-exec, so a child gets
exactly what is listed.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from roost.errors import DeadlineError, UnavailableError

_DEFAULT_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ)
"""Ignored by Python, expected by programs."""

_CHUNK = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a program ended: its code (128+n for signal n) and what was captured."""

    code: int
    stdout: bytes = b""
    stderr: bytes = b""


class Child:
    """One started program. `wait()` must be awaited (or `kill()` then `wait()`) to reap it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(self._pidfd, self._ended)

    def _ended(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        _, status = os.waitpid(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        self._code.set_result(code if code >= 0 else 128 - code)

    @property
    def ended(self) -> bool:
        """Whether it was reaped."""
        return self._code.done()

    async def wait(self) -> int:
        """Its exit code; 128+n for signal n."""
        return await asyncio.shield(self._code)

    def kill(self) -> None:
        """SIGKILL, unless it has ended."""
        if not self._code.done():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)


def start(
    argv: Sequence[str],
    descriptors: Mapping[int, int],
    *,
    env: Mapping[str, str] | None = None,
    new_session: bool = False,
) -> Child:
    """Start `argv` (argv[0] an absolute path) with child descriptor → own descriptor.

    Blocks the loop for the vfork, well under a millisecond. Raises UnavailableError when the
    program cannot be started.
    """
    # Copies above every target, so that no dup2 overwrites a source that is still to be used.
    copies = {t: fcntl.fcntl(own, fcntl.F_DUPFD_CLOEXEC, 64) for t, own in descriptors.items()}
    actions = [(os.POSIX_SPAWN_DUP2, copy, target) for target, copy in copies.items()]
    try:
        pid = os.posix_spawn(
            argv[0],
            list(argv),
            dict(os.environ) if env is None else dict(env),
            file_actions=actions,
            setsigdef=_DEFAULT_SIGNALS,
            setsigmask=(),
            setsid=new_session,
        )
    except OSError as error:
        raise UnavailableError(f"{argv[0]} cannot be started: {error.strerror}") from error
    finally:
        for copy in copies.values():
            os.close(copy)
    return Child(pid)


async def run(
    argv: Sequence[str],
    *,
    timeout: float,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    limit: int = 1 << 20,
) -> Finished:
    """Run to the end, capturing at most `limit` bytes of each output (the rest is thrown away).

    Raises DeadlineError after `timeout` seconds (the program is killed), UnavailableError when it
    cannot be started.
    """
    pipes = Pipes()
    child: Child | None = None
    try:
        try:
            child = start(argv, pipes.child_ends(), env=env)
        finally:
            pipes.close_child_ends()
        async with asyncio.timeout(timeout):
            async with asyncio.TaskGroup() as group:
                group.create_task(pipes.feed(stdin), name="stdin")
                out = group.create_task(pipes.drain(pipes.out, limit), name="stdout")
                err = group.create_task(pipes.drain(pipes.err, limit), name="stderr")
            code = await child.wait()
    except TimeoutError:
        raise DeadlineError(f"{argv[0]} did not end within {timeout:g} s") from None
    finally:
        pipes.close()
        if child is not None and not child.ended:
            child.kill()
            await child.wait()
    return Finished(code=code, stdout=out.result(), stderr=err.result())


class Pipes:
    """Three pipes for a child's standard streams; ours are non-blocking."""

    def __init__(self) -> None:
        self._child_in, self.feeder = os.pipe()
        self.out, self._child_out = os.pipe()
        self.err, self._child_err = os.pipe()
        for own in (self.feeder, self.out, self.err):
            os.set_blocking(own, False)
        self._open = {self.feeder, self.out, self.err}

    def child_ends(self) -> dict[int, int]:
        """What the child gets as 0, 1 and 2."""
        return {0: self._child_in, 1: self._child_out, 2: self._child_err}

    def close_child_ends(self) -> None:
        """Call once the child has them."""
        for end in self.child_ends().values():
            os.close(end)

    def close_input(self) -> None:
        """The child sees the end of its input."""
        self._close(self.feeder)

    def close(self) -> None:
        """Give up what is still open."""
        for end in list(self._open):
            self._close(end)

    def _close(self, end: int) -> None:
        if end in self._open:
            self._open.discard(end)
            os.close(end)

    async def feed(self, data: bytes) -> None:
        """Write all of `data`, then close the child's input; a child that went away is fine."""
        with contextlib.suppress(BrokenPipeError):
            await write_all(self.feeder, data)
        self.close_input()

    async def drain(self, end: int, limit: int) -> bytes:
        """Read to the end of file, keeping the first `limit` bytes."""
        kept = bytearray()
        while chunk := await read_some(end):
            kept += chunk[: limit - len(kept)]
        return bytes(kept)


async def read_some(descriptor: int, size: int = _CHUNK) -> bytes:
    """Next bytes of a non-blocking pipe or terminal; b"" at its end."""
    while True:
        try:
            return os.read(descriptor, size)
        except BlockingIOError:
            await _ready(descriptor, write=False)
        except OSError:
            return b""  # EIO: the last holder of a terminal's other side is gone


async def write_all(descriptor: int, data: bytes) -> None:
    """Write everything to a non-blocking pipe. Raises BrokenPipeError."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            await _ready(descriptor, write=True)


async def readable(descriptor: int) -> None:
    """Wait until a descriptor (a pidfd, say) is readable."""
    await _ready(descriptor, write=False)


async def _ready(descriptor: int, *, write: bool) -> None:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not future.done():
            future.set_result(None)

    if write:
        loop.add_writer(descriptor, wake)
    else:
        loop.add_reader(descriptor, wake)
    try:
        await future
    finally:
        if write:
            loop.remove_writer(descriptor)
        else:
            loop.remove_reader(descriptor)
