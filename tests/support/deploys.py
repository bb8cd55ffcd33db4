"""A control plane in memory and a host that plays a script, for tests of deploys."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roost.agent.health import HealthBoard
from roost.clock import Clock, SystemClock
from roost.control.context import Context
from roost.control.edit import edit_machine
from roost.control.host import HostIdentity
from roost.control.logs import AppLogs
from roost.control.service import Control
from roost.deploy.deployer import Deployer
from roost.deploy.progress import Progress
from roost.deploy.request import DeployRequest
from roost.errors import NotFoundError
from roost.home import Home
from roost.images.base import Image
from roost.model.machine_state import Event, Goal, MachineState, transition
from roost.model.records import Machine, MachineEvent
from roost.plan.wake_budget import Counts
from roost.runtime.base import ExecResult, ExecSession, Memory, Process
from roost.spec.fly_toml import parse
from roost.store.memory import MemoryStore
from tests.support.told_health import ToldHealth

S = MachineState


@dataclass(frozen=True, slots=True)
class Ends:
    """What a Machine's program does: end with this code; `started` before, or while starting."""

    code: int
    restarting: bool = False


RUNS = "runs"
HANGS = "hangs"
BREAKS = "breaks"
AILS = "ails"
"""Runs, and its health checks fail; of one that just runs they pass."""
Script = str | Ends


@dataclass(slots=True)
class ScriptedHost(ToldHealth):
    """An agent whose Machines do what `script(machine)` says; by default they run."""

    store: MemoryStore
    logs: AppLogs
    script: Callable[[Machine], Script] = lambda _: RUNS
    images: frozenset[str] = frozenset({"nginx", "nginx:2", "roost/host"})
    poked: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    numbers: Any = field(default_factory=itertools.count)
    board: HealthBoard = field(default_factory=HealthBoard)
    log: list[str] = field(default_factory=list)
    """Steps as they happen: `starts ID`, `gone ID`, `shelved ID`."""

    def poke(self, machine_id: str) -> None:
        self.poked.put_nowait(machine_id)

    def publish(self, app: str) -> None:
        pass

    async def resolve_image(self, reference: str, *, fresh: bool = False) -> Image:
        if reference not in self.images:
            raise NotFoundError(f"image {reference!r} does not exist")
        return Image(reference=reference, digest=f"sha256:{reference}")

    async def signal(self, machine_id: str, signo: int) -> None:
        raise NotImplementedError

    async def exec(
        self, machine_id: str, args: tuple[str, ...], *, stdin: bytes, timeout: float
    ) -> ExecResult:
        raise NotImplementedError

    async def session(
        self, machine_id: str, args: tuple[str, ...], *, tty: bool, env: Mapping[str, str]
    ) -> ExecSession:
        raise NotImplementedError

    async def processes(self, machine_id: str) -> list[Process]:
        raise NotImplementedError

    def wake_counts(self) -> Counts:
        """Nobody was ever woken."""
        return Counts()

    async def memory(self, machine_id: str) -> Memory:
        raise NotImplementedError

    async def work(self) -> None:
        """Do what the goals say, until cancelled."""
        while True:
            await self._reconcile(await self.poked.get())

    async def _reconcile(self, machine_id: str) -> None:
        stored = self.store.get(Machine, machine_id)
        if stored is None:
            return
        machine = stored.record
        match machine.state, machine.goal:
            case S.STOPPING, _:
                await self.mark(machine_id, Event.HALTED)
            case S.DESTROYING, _:
                self.log.append(f"gone {machine_id}")
                await self.mark(machine_id, Event.GONE)
            case ((S.CREATED | S.REPLACING), Goal.STOPPED):
                self.log.append(f"shelved {machine_id}")
                await self.mark(machine_id, Event.SHELVED)
            case ((S.REPLACING | S.STARTING), Goal.STARTED):
                if machine.state is S.REPLACING:
                    await self.mark(machine_id, Event.START)
                self.log.append(f"starts {machine_id}")
                await self._start(machine)
            case _:
                pass

    async def _start(self, machine: Machine) -> None:
        match self.script(machine):
            case Ends() as ends:
                await self.mark(machine.id, Event.RUNNING, ("start", "started", None))
                event = {
                    "exit_code": ends.code,
                    "requested_stop": False,
                    "restarting": ends.restarting,
                }
                noted = ("exit", "stopped", {"exit_event": event})
                await self.mark(machine.id, Event.HALTED, noted)
            case "hangs":
                pass
            case "breaks":
                reason = {"error": "no such command"}
                await self.mark(machine.id, Event.BROKE, ("launch", "failed", reason))
            case what:
                await self.mark(machine.id, Event.RUNNING, ("start", "started", None))
                self.tell(machine, "critical" if what == AILS else "passing")

    async def mark(
        self,
        machine_id: str,
        event: Event,
        noted: tuple[str, str, dict[str, Any] | None] | None = None,
    ) -> None:
        def change(machine: Machine) -> Machine:
            events = machine.events
            if noted is not None:
                kind, status, request = noted
                number = f"host-{next(self.numbers)}"
                one = MachineEvent(
                    id=number, type=kind, status=status, source="flyd", timestamp=1, request=request
                )
                events = (one, *events)
            return machine.model_copy(
                update={"state": transition(machine.state, event), "events": events}
            )

        await edit_machine(self.store, machine_id, change)


@dataclass(slots=True)
class World:
    """A Roost in memory."""

    control: Control
    host: ScriptedHost
    deployer: Deployer
    home: Home

    async def deploy(self, text: str, **more: Any) -> list[Progress]:
        """Deploy a fly.toml (to `shop`, or to `app`) and collect what is said."""
        app = str(more.pop("app", "shop"))
        fields = {"config": parse(text).config, "smoke_window": "0s"} | more
        request = DeployRequest.model_validate(fields)
        return [event async for event in self.deployer.run(app, request)]

    def machines(self, app: str = "shop") -> list[Machine]:
        """The app's living Machines by id."""
        return sorted(self.control.machines.list(app), key=lambda machine: machine.id)


@asynccontextmanager
async def a_world(folder: Path, clock: Clock | None = None) -> AsyncIterator[World]:
    """Control with the app `shop`, and a working host; everything ends with the block."""
    home, clock, store = Home(folder), clock or SystemClock(), MemoryStore()
    logs = AppLogs(home, clock)
    host = ScriptedHost(store, logs)
    counter = itertools.count(1)
    context = Context(
        store=store,
        clock=clock,
        # Ids that sort in the order in which they were made.
        random=lambda size: next(counter).to_bytes(8, "big")[-size:].rjust(size, b"\0"),
        host=HostIdentity(number=2, id="h1", region="local", cpus=2, memory_mb=4096),
        agent=host,
        logs=logs,
        home=home,
    )
    control = Control(context)
    await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
    await control.first_start()
    await control.apps.create("shop")
    async with asyncio.TaskGroup() as group:
        working = group.create_task(host.work(), name="host")
        try:
            yield World(control, host, Deployer(control), home)
        finally:
            working.cancel()
    await store.close()


Story = Callable[[World], Coroutine[Any, Any, None]]


def play(folder: Path, story: Story) -> None:
    """Run a story in a fresh world."""

    async def run() -> None:
        async with a_world(folder / "home") as world:
            await story(world)

    asyncio.run(run())


def last(events: list[Progress]) -> Progress:
    """The end of a deploy; it must be the only one."""
    ends = [event for event in events if event.type in {"done", "failed"}]
    assert ends == events[-1:]
    return events[-1]


def said(events: list[Progress], kind: str) -> list[str]:
    """Messages of one type."""
    return [event.message for event in events if event.type == kind]
