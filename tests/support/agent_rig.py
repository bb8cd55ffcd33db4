"""An agent over fakes that keep the contracts, with real control and a proxy that remembers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from roost.agent.agent import Agent
from roost.agent.parts import Parts
from roost.canary.fake import FakeProber
from roost.control.context import Context
from roost.control.host import HostIdentity
from roost.control.logs import AppLogs
from roost.control.machine_requests import CreateMachine
from roost.control.service import Control
from roost.home import Home
from roost.images.fake import FakeImages
from roost.model.machine_config import MachineConfig
from roost.model.machine_state import MachineState
from roost.model.records import Machine
from roost.network.fake import FakeNetwork
from roost.plan.wake_budget import Limits
from roost.runtime.fake import FakeHost, FakeRuntime
from roost.store.memory import MemoryStore
from tests.support.fake_proxy import FakeProxy

SERVICE = {
    "internal_port": 8080,
    "ports": [{"port": 80, "handlers": ["http"]}],
    "autostop": "stop",
    "auto_stop_after": "2s",
}


class TestClock:
    """A clock that moves by hand; sleeping ends only by cancellation or `tick`."""

    __test__ = False

    def __init__(self) -> None:
        self.ms = 1_000_000
        self._moved = asyncio.Condition()

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000

    async def sleep(self, seconds: float) -> None:
        end = self.ms + seconds * 1000
        async with self._moved:
            await self._moved.wait_for(lambda: self.ms >= end)

    async def tick(self, seconds: float) -> None:
        async with self._moved:
            self.ms += int(seconds * 1000)
            self._moved.notify_all()


class WatchedRuntime(FakeRuntime):
    """Says before each call that it comes."""

    def __init__(self, host: FakeHost, before: Callable[[str], None]) -> None:
        super().__init__(host)
        self._before = before

    async def _step(self, operation: str, container: str) -> None:
        self._before(f"{operation} {container}")
        await super()._step(operation, container)


class AgentRig:
    """What outlives an agent (store, host, network, proxy) and the agent of now."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root)
        self.home.run.mkdir(parents=True)
        self.clock = TestClock()
        self.store = MemoryStore()
        self.host = FakeHost()
        self.called: list[str] = []
        self.on_driver_call: Callable[[], None] | None = None
        self.network = FakeNetwork(self.home, on_call=self._on_call)
        self.images = FakeImages()
        self.proxy = FakeProxy(self.home.proxy_socket)
        self.prepared = 4
        self.prober = FakeProber()
        self.canary_every = 0.0
        self.wakes = Limits(at_once=10, floor=0, patience_ms=54_000)
        self.available = 4 << 30
        """Bytes of memory that the host could give; less than 0: nobody can tell."""
        self._counter = itertools.count(1)
        self.boot()

    def boot(self) -> None:
        """A new daemon's agent over the same host and store."""
        identity = HostIdentity(number=2, id="0001", region="local", cpus=4, memory_mb=8192)
        logs = AppLogs(self.home, self.clock)
        self.runtime = WatchedRuntime(self.host, self._on_call)
        parts = Parts(
            store=self.store,
            clock=self.clock,
            random=self._random,
            identity=identity,
            home=self.home,
            runtime=self.runtime,
            network=self.network,
            images=self.images,
            logs=logs,
            reveal=self._reveal,
            certificates=lambda: self.control.certificate_desk,
            prepared=self.prepared,
            prober=self.prober,
            canary_every=self.canary_every,
            host_ports=(4280,),
            wakes=self.wakes,
            available_memory=self._available,
        )
        self.agent = Agent(parts, {})
        self.control = Control(
            Context(
                store=self.store,
                clock=self.clock,
                random=self._random,
                host=identity,
                agent=self.agent,
                logs=logs,
                home=self.home,
            )
        )

    def _on_call(self, what: str) -> None:
        self.called.append(what)
        if self.on_driver_call is not None:
            self.on_driver_call()

    def _available(self) -> int:
        if self.available < 0:
            raise OSError("no descriptor is left")
        return self.available

    def _reveal(self, app: str) -> dict[str, str]:
        return dict(self.control.secrets.reveal(app))

    def _random(self, size: int) -> bytes:
        return next(self._counter).to_bytes(size, "big")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the agent; leaving cancels it as a kill of the daemon would."""
        await self.control.first_start()
        async with asyncio.TaskGroup() as group:
            ready = asyncio.Event()
            task = group.create_task(self.agent.run(ready))
            await ready.wait()
            if not self.proxy_closed:
                await self.agent.link.connected.wait()
            try:
                yield
            finally:
                task.cancel()

    proxy_closed = False

    async def app(self, name: str = "web") -> None:
        """Make an app."""
        await self.control.apps.create(name)

    async def machine(self, app: str = "web", **config: Any) -> str:
        """Create a Machine; its id. By default a server that sleeps after two seconds."""
        fields = {"image": "roost/host", "init": {"cmd": ["server"]}, "services": [SERVICE]}
        request = CreateMachine(config=MachineConfig.model_validate(fields | config))
        return (await self.control.machines.create(app, request)).id

    def record(self, machine: str) -> Machine:
        """The stored record."""
        stored = self.store.get(Machine, machine)
        assert stored is not None
        return stored.record

    async def until(self, machine: str, state: str) -> Machine:
        """Wait (by the store's events) until a Machine has a state and its worker has ended."""
        async with asyncio.timeout(5):
            await self.control.machines.wait(
                self.record(machine).app, machine, frozenset({state}), 5.0
            )
            await self.idle()
        found = self.record(machine)
        assert MachineState(state) is found.state
        return found

    async def idle(self) -> None:
        """Wait until no worker has anything to do."""
        await self.settle(lambda: not self.agent.busy)

    async def settle(self, check: Callable[[], bool]) -> None:
        """Let tasks run until something is so."""
        async with asyncio.timeout(5):
            while not check():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0)


Test = Callable[[AgentRig], Awaitable[None]]


def play(rig: AgentRig, test: Test) -> None:
    """Run a test over the rig's running agent, which knows one app."""

    async def main() -> None:
        await rig.proxy.start()
        try:
            async with rig.running():
                await rig.app()
                await test(rig)
        finally:
            await rig.proxy.stop()

    asyncio.run(main())
