"""Commands inside a running container: through `crun exec` (or `runc exec`).

The process description (user, directory, environment, capabilities) is the container's own with
other arguments. The OCI runtime stays as the parent and hands the exit code on.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import json
import os
import signal
import socket
import struct
import termios
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roost.errors import DeadlineError, UnavailableError
from roost.runtime import spawn
from roost.runtime.base import ExecResult

OUTPUT_LIMIT = 1 << 20
_CONSOLE_SECONDS = 10.0
_PID_SECONDS = 5.0
_PID_POLL = 0.005
_numbers = itertools.count(1)

_JOIN = """
n=$1; shift
while [ "$n" -gt 0 ]; do echo $$ > "$1" || exit 125; shift; n=$((n-1)); done
exec "$@"
"""
"""Enters cgroups, then becomes the program: posix_spawn has no step in between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """How to get into one container. `join`: cgroup.procs files to write ourselves into."""

    runtime: Path
    arguments: tuple[str, ...]
    container: str
    bundle: Path
    sockets: Path
    process: Mapping[str, Any]
    join: Sequence[Path] = ()


def description(
    process: Mapping[str, Any], args: Sequence[str], env: Mapping[str, str], *, tty: bool
) -> dict[str, Any]:
    """The process description for `exec --process`: pure."""
    known = dict(line.split("=", 1) for line in process["env"])
    if tty:
        known.setdefault("TERM", "xterm")
    merged = [f"{key}={value}" for key, value in (known | dict(env)).items()]
    return {**process, "args": list(args), "env": merged, "terminal": tty}


class Command:
    """One `exec` in the making: its files in the bundle, its command line, its end."""

    def __init__(
        self, inside: Inside, args: Sequence[str], env: Mapping[str, str], *, tty: bool
    ) -> None:
        self._inside = inside
        number = next(_numbers)
        self._process = inside.bundle / f"exec-{os.getpid()}-{number}.json"
        self._pid_file = inside.bundle / f"exec-{os.getpid()}-{number}.pid"
        self.console = inside.sockets / f"{number % 1_000_000}"
        self._process.write_text(json.dumps(description(inside.process, args, env, tty=tty)))
        self._tty = tty

    def line(self) -> list[str]:
        """argv that runs it."""
        inside = self._inside
        line = [str(inside.runtime), *inside.arguments, "exec"]
        line += ["--process", str(self._process), "--pid-file", str(self._pid_file)]
        if self._tty:
            line += ["--console-socket", str(self.console)]
        line.append(inside.container)
        if inside.join:
            procs = [str(path) for path in inside.join]
            return ["/bin/sh", "-c", _JOIN, "roost-exec", str(len(procs)), *procs, *line]
        return line

    def kill(self) -> bool:
        """SIGKILL the command inside, with its process group. False while the OCI runtime has not
        written down which process that is.
        """
        try:
            pid = int(self._pid_file.read_text())
        except (OSError, ValueError):
            return False
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
            if os.getpgid(pid) == pid:
                os.killpg(pid, signal.SIGKILL)
        return True

    def clean(self) -> None:
        """Remove its files."""
        for path in (self._process, self._pid_file, self.console):
            path.unlink(missing_ok=True)


async def run(
    inside: Inside,
    args: Sequence[str],
    *,
    env: Mapping[str, str],
    stdin: bytes,
    timeout: float,
) -> ExecResult:
    """Run to the end. Raises DeadlineError (the command inside is killed), UnavailableError."""
    command = Command(inside, args, env, tty=False)
    try:
        done = await spawn.run(command.line(), timeout=timeout, stdin=stdin, limit=OUTPUT_LIMIT)
    except DeadlineError:
        raise DeadlineError(f"command {args[0]!r} did not end within {timeout:g} s") from None
    finally:
        command.kill()
        command.clean()
    return ExecResult(exit_code=done.code, stdout=done.stdout, stderr=done.stderr)


class Session:
    """A running command with its streams attached; made by `open_session`."""

    def __init__(
        self, child: spawn.Child, command: Command, outputs: dict[int, int], feed: int
    ) -> None:
        self._child = child
        self._command = command
        self._outputs = outputs
        self._feed = feed
        self._tty = feed in outputs.values()
        self._closed = False

    async def read(self) -> tuple[int, bytes]:
        """See base.ExecSession."""
        while self._outputs:
            for number, descriptor in list(self._outputs.items()):
                try:
                    data = os.read(descriptor, 65536)
                except BlockingIOError:
                    continue
                except OSError:
                    data = b""  # EIO: nobody has the terminal open any more
                if data:
                    return number, data
                del self._outputs[number]
                if not self._tty:
                    os.close(descriptor)
            if self._outputs:
                await _any_readable(list(self._outputs.values()))
        return 0, b""

    async def write(self, data: bytes) -> None:
        """See base.ExecSession. What the command no longer reads is thrown away."""
        if self._feed < 0:
            return
        with contextlib.suppress(OSError):
            if data:
                await spawn.write_all(self._feed, data)
            elif self._tty:
                await spawn.write_all(self._feed, b"\x04")
        if not data and not self._tty:
            os.close(self._feed)
            self._feed = -1

    def resize(self, rows: int, columns: int) -> None:
        """See base.ExecSession."""
        if self._tty and self._feed >= 0:
            with contextlib.suppress(OSError):
                fcntl.ioctl(
                    self._feed, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0)
                )

    async def wait(self) -> int:
        """See base.ExecSession."""
        return await self._child.wait()

    async def close(self) -> None:
        """See base.ExecSession."""
        if self._closed:
            return
        self._closed = True
        if not self._child.ended:
            await self._end_inside()
            self._child.kill()
        await self._child.wait()
        for descriptor in {self._feed, *self._outputs.values()} - {-1}:
            os.close(descriptor)
        self._outputs.clear()
        self._feed = -1
        self._command.clean()

    async def _end_inside(self) -> None:
        """The command may have run, and even written, before the OCI runtime writes down its
        process; without that, killing the runtime would leave the command behind.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PID_SECONDS
        killed = self._command.kill
        # What is waited for is a file, which has no event.
        while not (killed() or self._child.ended) and loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_PID_POLL)


async def open_session(
    inside: Inside, args: Sequence[str], *, tty: bool, env: Mapping[str, str]
) -> Session:
    """Start a command with pipes, or with a terminal of its own in the container's /dev/pts."""
    command = Command(inside, args, env, tty=tty)
    try:
        if tty:
            return await _with_terminal(command)
        pipes = spawn.Pipes()
        try:
            child = spawn.start(command.line(), pipes.child_ends())
        except UnavailableError:
            pipes.close()
            raise
        finally:
            pipes.close_child_ends()
        return Session(child, command, {1: pipes.out, 2: pipes.err}, pipes.feeder)
    except BaseException:
        command.clean()
        raise


async def _with_terminal(command: Command) -> Session:
    """The runtime makes the terminal and sends us its master side over a socket."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.setblocking(False)
    pipes = spawn.Pipes()
    child: spawn.Child | None = None
    try:
        command.console.unlink(missing_ok=True)
        listener.bind(str(command.console))
        listener.listen(1)
        try:
            child = spawn.start(command.line(), pipes.child_ends())
        finally:
            pipes.close_child_ends()
        master = await _receive(listener, child, pipes)
    except BaseException:
        if child is not None:
            child.kill()
            await child.wait()
        raise
    finally:
        listener.close()
        pipes.close()
    os.set_blocking(master, False)
    return Session(child, command, {1: master}, master)


async def _receive(listener: socket.socket, child: spawn.Child, pipes: spawn.Pipes) -> int:
    try:
        async with asyncio.timeout(_CONSOLE_SECONDS):
            await _any_readable([listener.fileno(), pipes.err])
            connection, _ = listener.accept()
            with connection:
                connection.setblocking(False)
                await spawn.readable(connection.fileno())
                _, descriptors, _, _ = socket.recv_fds(connection, 4096, 1)
    except TimeoutError:
        raise DeadlineError("the terminal was not ready in time") from None
    except BlockingIOError:
        await child.wait()
        reason = (await pipes.drain(pipes.err, 4096)).decode(errors="replace").strip()
        raise UnavailableError(f"the command could not be started: {reason}") from None
    if not descriptors:
        raise UnavailableError("the runtime sent no terminal")
    return int(descriptors[0])


async def _any_readable(descriptors: Sequence[int]) -> None:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not future.done():
            future.set_result(None)

    for descriptor in descriptors:
        loop.add_reader(descriptor, wake)
    try:
        await future
    finally:
        for descriptor in descriptors:
            loop.remove_reader(descriptor)
