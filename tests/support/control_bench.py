"""A Control over a MemoryStore, with a fake host, a still clock and counted randomness."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from roost.control.audited import AuditedStore
from roost.control.context import Context
from roost.control.host import HostIdentity
from roost.control.logs import AppLogs
from roost.control.machine_requests import CreateMachine
from roost.control.public_pool import NO_POOL, PublicPool
from roost.control.service import Control
from roost.home import Home
from roost.model.machine_config import MachineConfig
from roost.model.records import Machine
from roost.store.memory import MemoryStore
from tests.support.fake_host import FakeHost

START_MS = 1_700_000_000_000


@dataclass
class FakeClock:
    """Stands still until told; sleep() only gives way."""

    ms: int = START_MS
    slept: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when somebody slept."""

    def now_ms(self) -> int:
        """Milliseconds."""
        return self.ms

    def monotonic(self) -> float:
        """Seconds."""
        return self.ms / 1000

    async def sleep(self, seconds: float) -> None:
        """Move on at once."""
        self.ms += int(seconds * 1000)
        self.slept.set()
        await asyncio.sleep(0)

    def forward(self, seconds: float) -> None:
        """Move on."""
        self.ms += int(seconds * 1000)


class CountedRandom:
    """Bytes that differ at each call and are the same in each run."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, size: int) -> bytes:
        self.calls += 1
        return hashlib.shake_256(str(self.calls).encode()).digest(size)


@dataclass
class Bench:
    """All of it, with shortcuts."""

    control: Control
    store: MemoryStore
    host: FakeHost
    clock: FakeClock
    home: Home

    async def machine(self, app: str = "web", **more: object) -> Machine:
        """A started Machine of `app`, which is made when missing."""
        if app not in {a.name for a in self.control.apps.list()}:
            await self.control.apps.create(app)
        request = CreateMachine(config=MachineConfig.model_validate({"image": "nginx", **more}))
        machine = await self.control.machines.create(app, request)
        return self.control.machines.get(app, machine.id)


async def make_bench(
    root: Path, store: MemoryStore | None = None, *, public: PublicPool = NO_POOL
) -> Bench:
    """A fresh one, after its first start."""
    home, clock, store = Home(root), FakeClock(), store or MemoryStore()
    host = FakeHost(store)
    control = Control(
        Context(
            store=AuditedStore(store, clock),
            clock=clock,
            random=CountedRandom(),
            host=HostIdentity(number=2, id="host1", region="local", cpus=2, memory_mb=4096),
            agent=host,
            logs=AppLogs(home, clock, region="local"),
            home=home,
            public=public,
        )
    )
    await control.first_start()
    return Bench(control=control, store=store, host=host, clock=clock, home=home)


def with_bench(
    root: Path, body: Callable[[Bench], Awaitable[None]], store: MemoryStore | None = None
) -> None:
    """Run a test's body with a fresh bench."""

    async def main() -> None:
        bench = await make_bench(root, store)
        try:
            await body(bench)
        finally:
            await bench.store.close()

    asyncio.run(main())
