"""What control and the API need of the host's agent; `roost.agent` implements it.

Control writes what is wanted to the store and pokes; the agent makes it so. The rest are things
that only a host can do to a running Machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from roost.images.base import Image
from roost.model.checks import CheckResult
from roost.model.records import Machine
from roost.plan.wake_budget import Counts
from roost.runtime.base import ExecResult, ExecSession, Memory, Process


@dataclass(frozen=True, slots=True, kw_only=True)
class HostIdentity:
    """This host: its number in 6PN addresses, its id in the API, its region."""

    number: int
    id: str
    region: str
    cpus: int
    memory_mb: int


class HostAgent(Protocol):
    """The agent of this host, as control and the API see it."""

    def poke(self, machine_id: str) -> None:
        """The record changed: reconcile this Machine now. Never blocks, never raises."""
        ...

    async def resolve_image(self, reference: str, *, fresh: bool = False) -> Image:
        """Pull and unpack; `fresh` asks the registry again what a tag means.

        Raises InvalidError, NotFoundError, UnavailableError.
        """
        ...

    async def signal(self, machine_id: str, signo: int) -> None:
        """Signal the main process. Raises PreconditionError when it does not run."""
        ...

    async def exec(
        self, machine_id: str, args: tuple[str, ...], *, stdin: bytes, timeout: float
    ) -> ExecResult:
        """Run a command inside and wait. Raises PreconditionError, NotFoundError, DeadlineError."""
        ...

    async def session(
        self, machine_id: str, args: tuple[str, ...], *, tty: bool, env: Mapping[str, str]
    ) -> ExecSession:
        """Run a command inside with streams attached."""
        ...

    async def processes(self, machine_id: str) -> list[Process]:
        """Processes of a running Machine."""
        ...

    async def memory(self, machine_id: str) -> Memory:
        """Memory of a running or suspended Machine."""
        ...

    def wake_counts(self) -> Counts:
        """Who waits to be woken, and what was decided about wakes."""
        ...

    def health(self, machine_id: str, instance_id: str) -> Mapping[str, CheckResult]:
        """What was told of the health checks of this version of a Machine, by name."""
        ...

    async def health_changed(self) -> None:
        """Blocks until something else is told of any Machine's checks."""
        ...

    def checked(self) -> Iterator[tuple[Machine, tuple[CheckResult, ...]]]:
        """The running Machines that have health checks, each with a result for every check."""
        ...
