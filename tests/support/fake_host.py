"""A host agent without a host: poke() settles a Machine's record at once, so no test waits.

`paused` makes poke() only note the id, so that a test can look at the state in between; `settle`
goes on by hand. Counterpart of `roost.agent`, over a MemoryStore.
"""

from __future__ import annotations

from asyncio import Event as Signal
from asyncio import Queue
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from roost.agent.health import HealthBoard
from roost.errors import NotFoundError, PreconditionError
from roost.images.base import Image
from roost.model.checks import CheckResult, with_unchecked
from roost.model.machine_state import TABLE, Event, Goal, MachineState, transition
from roost.model.records import Machine, MachineEvent
from roost.plan.wake_budget import Counts
from roost.runtime.base import ExecResult, Memory, Process
from roost.store.base import Put
from roost.store.memory import MemoryStore
from tests.support.told_health import ToldHealth

_FACT = {
    Goal.STARTED: Event.RUNNING,
    Goal.STOPPED: Event.HALTED,
    Goal.SUSPENDED: Event.FROZEN,
    Goal.DESTROYED: Event.GONE,
}


class FakeSession:
    """An exec session that echoes its input to stdout and ends with the code given."""

    def __init__(self, args: tuple[str, ...], exit_code: int) -> None:
        self.args = args
        self.size: tuple[int, int] | None = None
        self.ended = Signal()
        self._exit_code = exit_code
        self._output: Queue[tuple[int, bytes]] = Queue()
        self._output.put_nowait((1, b"ready\n"))

    async def read(self) -> tuple[int, bytes]:
        """What was written, then the end."""
        return await self._output.get()

    async def write(self, data: bytes) -> None:
        """Echo; b"" ends the command."""
        self._output.put_nowait((1, data) if data else (0, b""))

    def resize(self, rows: int, columns: int) -> None:
        """Remember."""
        self.size = (rows, columns)

    async def wait(self) -> int:
        """The code given."""
        return self._exit_code

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self.ended.is_set()

    async def close(self) -> None:
        """Remember."""
        self.ended.set()


@dataclass
class FakeHost(ToldHealth):
    """`images`: known references; None knows all. `exec_result` is what every command gives."""

    store: MemoryStore
    paused: bool = False
    images: frozenset[str] | None = None
    exec_result: ExecResult = field(
        default_factory=lambda: ExecResult(exit_code=0, stdout=b"out", stderr=b"err")
    )
    poked: list[str] = field(default_factory=list)
    signals: list[tuple[str, int]] = field(default_factory=list)
    commands: list[tuple[tuple[str, ...], bytes, float]] = field(default_factory=list)
    sessions: list[FakeSession] = field(default_factory=list)
    session_exit: int = 0
    wakes: Counts = field(default_factory=Counts)
    board: HealthBoard = field(default_factory=HealthBoard)

    def wake_counts(self) -> Counts:
        """`wakes`."""
        return self.wakes

    def checked(self) -> Iterator[tuple[Machine, tuple[CheckResult, ...]]]:
        """The started Machines with checks."""
        for stored in self.store.find(Machine, "state", "started"):
            machine = stored.record
            told = self.health(machine.id, machine.instance_id)
            if found := with_unchecked(machine.config, told, since=machine.updated_at):
                yield machine, found

    def poke(self, machine_id: str) -> None:
        """Settle at once, unless paused."""
        self.poked.append(machine_id)
        if not self.paused:
            self.settle(machine_id)

    def settle(self, machine_id: str) -> None:
        """Bring the state to the goal, as if the host had done it."""
        stored = self.store.get(Machine, machine_id)
        if stored is None:
            return
        settled = _settled(stored.record)
        if settled != stored.record:
            self.store.commit_now(Put(settled, expect=stored.revision))

    def fail(self, machine_id: str, reason: str) -> None:
        """Bring it to `failed`."""
        stored = self.store.get(Machine, machine_id)
        assert stored is not None
        state = transition(stored.record.state, Event.BROKE)
        failed = _noted(
            stored.record.model_copy(update={"state": state}), "launch", "failed", {"error": reason}
        )
        self.store.commit_now(Put(failed))

    async def resolve_image(self, reference: str, *, fresh: bool = False) -> Image:
        """Any reference, or those of `images`."""
        if self.images is not None and reference not in self.images:
            raise NotFoundError(f"image {reference!r} not found")
        return Image(reference=reference, digest="sha256:" + "0" * 64)

    async def signal(self, machine_id: str, signo: int) -> None:
        """Remember."""
        self._running(machine_id)
        self.signals.append((machine_id, signo))

    async def exec(
        self, machine_id: str, args: tuple[str, ...], *, stdin: bytes, timeout: float
    ) -> ExecResult:
        """`exec_result`."""
        self._running(machine_id)
        self.commands.append((args, stdin, timeout))
        return self.exec_result

    async def session(
        self, machine_id: str, args: tuple[str, ...], *, tty: bool, env: Mapping[str, str]
    ) -> FakeSession:
        """An echo."""
        self._running(machine_id)
        session = FakeSession(args, self.session_exit)
        self.sessions.append(session)
        return session

    async def processes(self, machine_id: str) -> list[Process]:
        """One."""
        self._running(machine_id)
        return [Process(pid=7, command="/bin/app --serve", cpu_seconds=1.5, rss=4096)]

    async def memory(self, machine_id: str) -> Memory:
        """Fixed."""
        return Memory(resident=1000, swapped=24)

    def _running(self, machine_id: str) -> None:
        stored = self.store.get(Machine, machine_id)
        if stored is None or stored.record.state is not MachineState.STARTED:
            raise PreconditionError(f"machine {machine_id} is not running")


def _settled(machine: Machine) -> Machine:
    fact = _FACT[machine.goal]
    if machine.goal is Goal.STOPPED and machine.state in (
        MachineState.REPLACING,
        MachineState.CREATED,
    ):
        fact = Event.SHELVED
    if machine.goal is Goal.STARTED and machine.state in (
        MachineState.REPLACING,
        MachineState.RESTARTING,
    ):
        machine = machine.model_copy(update={"state": MachineState.STARTING})
    if fact not in TABLE[machine.state]:
        return machine
    state = transition(machine.state, fact)
    if state is machine.state:
        return machine
    changed = machine.model_copy(update={"state": state})
    if state is MachineState.STARTED:
        return _noted(changed, "start", "started")
    return changed


def _noted(
    machine: Machine, kind: str, status: str, request: dict[str, str] | None = None
) -> Machine:
    event = MachineEvent(
        id=f"{machine.id}-{len(machine.events)}",
        type=kind,
        status=status,
        source="flyd",
        timestamp=machine.updated_at,
        request=request,
    )
    return machine.model_copy(update={"events": (event, *machine.events)})
