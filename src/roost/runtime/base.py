"""What the agent needs of a container runtime; drivers: `oci` (crun or runc) and `fake`.

Guarantees every driver gives (tests/contract/test_runtime.py):

- *Survives the caller:* containers, their output and their exit status outlive this process.
- *Idempotent:* create of what is created, kill and delete of what is gone are no errors.
- *Crash-safe:* a half-made container is seen by observe() (or invisible and harmless) and
  delete() clears it.
- *Exact:* exits() reports every end of a container's main process once per process lifetime of
  the caller; observe() tells the same later.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from roost.images.base import Image


class ContainerState(StrEnum):
    """What the host sees."""

    CREATED = "created"
    RUNNING = "running"
    FROZEN = "frozen"
    EXITED = "exited"
    BROKEN = "broken"
    """Half-made, or lost without a status: only delete() helps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounted:
    """A file put over the image: bytes at an absolute path, with a mode."""

    path: str
    content: bytes
    mode: int = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """Everything that is needed to make one container.

    `id` is the Machine id. `cpus` is a number of cores (0.5 = half), `memory` bytes.
    `app_dir`, only with the host image, appears read-only at /app. `roots` (PEM) are trusted
    besides the image's own.
    """

    id: str
    image: Image
    args: tuple[str, ...]
    env: Mapping[str, str]
    user: str
    working_dir: str
    hostname: str
    netns: Path
    log_file: Path
    cpus: float
    memory: int
    pids: int = 4096
    tty: bool = False
    files: tuple[Mounted, ...] = ()
    app_dir: Path | None = None
    roots: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a container's main process ended (signal 0: it exited by itself)."""

    id: str
    exit_code: int
    signal: int = 0
    oom_killed: bool = False
    at_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One container as found. `pid` is the main process on this host (0: none)."""

    id: str
    state: ContainerState
    pid: int = 0
    exit: Exit | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecResult:
    """A finished command: exit code (128+n for signal n) and captured output (bounded)."""

    exit_code: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One process of a container."""

    pid: int
    command: str
    cpu_seconds: float
    rss: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Memory of a container in bytes: resident now, and in swap."""

    resident: int
    swapped: int


class ExecSession(Protocol):
    """A running interactive command inside a container."""

    async def read(self) -> tuple[int, bytes]:
        """Next piece of output: (1 or 2, bytes); (0, b"") at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Send to its standard input; b"" closes it."""
        ...

    def resize(self, rows: int, columns: int) -> None:
        """Set the terminal's size (no terminal: ignored)."""
        ...

    async def wait(self) -> int:
        """Exit code; 128+n for signal n."""
        ...

    async def close(self) -> None:
        """End it (SIGKILL) if it still runs, and free everything."""
        ...


class Runtime(Protocol):
    """Containers of one host and one ROOST_HOME."""

    async def setup(self) -> None:
        """Check programs, make directories and cgroups. Raises UnavailableError with the fix."""
        ...

    async def create(self, spec: ContainerSpec) -> None:
        """Make the container up to just before its program's exec. About 20 ms.

        Raises NotFoundError (command not found in the image, when it can be told now),
        InvalidError (unknown user), UnavailableError (the runtime failed; its last line is quoted).
        """
        ...

    async def start(self, container: str) -> int:
        """Let the created container's program run; returns its pid. About 5 ms.

        Raises NotFoundError when the command does not exist in the image.
        """
        ...

    async def signal(self, container: str, signo: int) -> None:
        """Signal the main process. Raises NotFoundError when it is gone."""
        ...

    async def kill(self, container: str) -> None:
        """SIGKILL every process of the container, frozen or not."""
        ...

    async def freeze(self, container: str) -> None:
        """Stop all its processes from running, at once. Raises PreconditionError if not running."""
        ...

    async def thaw(self, container: str) -> None:
        """Let them run on. Under a millisecond."""
        ...

    async def reclaim(self, container: str) -> int:
        """Push a frozen container's memory out to swap if the host has any; bytes freed."""
        ...

    async def delete(self, container: str) -> None:
        """Remove what is left of it: processes, cgroup, mounts, writable layer, state files.

        The log file stays. `observe()` no longer lists it.
        """
        ...

    async def observe(self) -> list[Observed]:
        """All containers of this ROOST_HOME, also those made by an earlier process."""
        ...

    def exits(self) -> AsyncIterator[Exit]:
        """Ends of main processes as they happen, also of adopted containers; endless."""
        ...

    async def exec(
        self,
        container: str,
        args: tuple[str, ...],
        *,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        timeout: float,
    ) -> ExecResult:
        """Run a command inside and wait. Output is cut at 1 MiB each.

        Raises PreconditionError (not running), NotFoundError (command), DeadlineError.
        """
        ...

    async def session(
        self,
        container: str,
        args: tuple[str, ...],
        *,
        tty: bool,
        env: Mapping[str, str] | None = None,
    ) -> ExecSession:
        """Run a command inside with its standard streams (or a terminal) attached."""
        ...

    async def processes(self, container: str) -> list[Process]:
        """Its processes now."""
        ...

    async def memory(self, container: str) -> Memory:
        """Its memory now (cgroup, else sum over processes)."""
        ...

    async def teardown(self) -> None:
        """Kill and delete all containers of this ROOST_HOME and its cgroups."""
        ...
