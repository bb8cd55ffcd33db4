"""Creating a container under conmon, which then watches it for us, whatever becomes of us.

conmon forks itself away, runs `crun create`, and tells the pid (or what went wrong) as one line
of JSON on the descriptor named by _OCI_SYNCPIPE. It keeps the output in a log file of the form
`time stream flag text`, and writes the exit code into a file named after the container.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from roost.errors import DeadlineError, NotFoundError, UnavailableError
from roost.runtime import spawn
from roost.runtime.records import Records

LOG_LIMIT = 32 << 20
"""Bytes; conmon starts the file anew beyond."""

CREATE_SECONDS = 30.0
_SYNC = 3
_MAX_MESSAGE = 1 << 16
_NO_COMMAND = re.compile(
    r"executable file .* not found|exec: .*(no such file|not found)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conmon:
    """The programs and places of one create."""

    program: Path
    runtime: str
    runtime_program: Path
    runtime_arguments: tuple[str, ...]
    records: Records


def runtime_arguments(runtime: str, records: Records, *, cgroups: bool) -> tuple[str, ...]:
    """Global options of the OCI runtime: pure."""
    root = f"--root={records.runtime_root(runtime)}"
    if runtime == "crun":
        return (root, f"--cgroup-manager={'cgroupfs' if cgroups else 'disabled'}")
    return (root,)


def arguments(conmon: Conmon, container: str, *, log_file: Path, tty: bool) -> list[str]:
    """conmon's command line: pure."""
    bundle = conmon.records.bundle(container)
    line = [
        str(conmon.program),
        *("--api-version", "1"),
        *("-c", container, "-u", container, "-n", container),
        *("-r", str(conmon.runtime_program), "-b", str(bundle)),
        *("-p", str(bundle / "pid"), "-P", str(bundle / "conmon.pid")),
        *("--exit-dir", str(conmon.records.exits)),
        *("--socket-dir-path", str(conmon.records.sockets)),
        *("--log-path", f"k8s-file:{log_file}", "--log-size-max", str(LOG_LIMIT)),
        *("--log-level", "error", "--no-sync-log"),
    ]
    for argument in conmon.runtime_arguments:
        line += ["--runtime-arg", argument]
    return [*line, "-t"] if tty else line


async def create(conmon: Conmon, container: str, *, log_file: Path, tty: bool) -> int:
    """Run it; returns the pid of the container's main process, which waits for its start.

    Raises NotFoundError (the command), UnavailableError (anything else, quoting the runtime),
    DeadlineError.
    """
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    pipes = spawn.Pipes()
    env = {**os.environ, "_OCI_SYNCPIPE": str(_SYNC)}
    try:
        try:
            child = spawn.start(
                arguments(conmon, container, log_file=log_file, tty=tty),
                {**pipes.child_ends(), _SYNC: writing},
                env=env,
            )
        finally:
            os.close(writing)
            pipes.close_child_ends()
        pipes.close_input()
        async with asyncio.timeout(CREATE_SECONDS):
            line = await _read_line(reading)
            code = await child.wait()
            complaint = b"" if line else await pipes.drain(pipes.err, _MAX_MESSAGE)
    except TimeoutError:
        raise DeadlineError(
            f"{conmon.runtime} did not create container {container} within {CREATE_SECONDS:g} s"
        ) from None
    finally:
        os.close(reading)
        pipes.close()
    return _pid(conmon.runtime, line, complaint.decode(errors="replace"), code)


async def _read_line(descriptor: int) -> bytes:
    line = bytearray()
    while b"\n" not in line and len(line) < _MAX_MESSAGE:
        chunk = await spawn.read_some(descriptor)
        if not chunk:
            break
        line += chunk
    return bytes(line)


def _pid(runtime: str, line: bytes, complaint: str, code: int) -> int:
    try:
        answer = json.loads(line)
        pid = int(answer["data"])
    except (ValueError, KeyError, TypeError):
        raise failure(runtime, complaint or f"conmon ended with code {code}") from None
    if pid > 0:
        return pid
    raise failure(runtime, str(answer.get("message") or complaint))


def failure(runtime: str, text: str) -> NotFoundError | UnavailableError:
    """What a runtime's complaint means: pure."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    last = lines[-1] if lines else "it gave no reason"
    if _NO_COMMAND.search(text):
        return NotFoundError(
            f"the command is not in the image: {last}",
            hint="check the command, or use an image that has it",
        )
    return UnavailableError(
        f"{runtime} failed: {last}", hint="`roost doctor` tells what the host lacks"
    )
