"""The agent of one host: adopts what it finds, keeps a worker per busy Machine, listens to the
proxy and to exits, and looks over everything again from time to time.

Events make it fast, the sweep makes it right. It owns what is observed; what is wanted is written
by `roost.control`, which pokes it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from roost.agent.boxes import Boxes
from roost.agent.canary import Canary
from roost.agent.certificates import CertificateRequests
from roost.agent.health import HealthBoard
from roost.agent.parts import Parts
from roost.agent.prepared import Prepared
from roost.agent.proxy_link import ProxyLink
from roost.agent.routers import Routers
from roost.agent.sleeper import Sleeper
from roost.agent.steps import Steps
from roost.agent.wakes import Wakes
from roost.agent.worker import Worker
from roost.errors import ConflictError, NotFoundError, PreconditionError, RoostError
from roost.images.base import Image
from roost.model.certificates import Authority
from roost.model.checks import CheckResult, CheckStatus, named_checks, with_unchecked
from roost.model.ids import is_probe
from roost.model.machine_state import Goal, MachineState
from roost.model.records import App, Machine, Network, Secret
from roost.plan.reconcile import Box, Step
from roost.plan.wake_budget import Counts
from roost.proxyctl.client import Message
from roost.runtime.base import ExecResult, ExecSession, Memory, Process
from roost.store.base import Change, Delete, Put

log = logging.getLogger("roost.agent")

SWEEP_SECONDS = 30.0
RESTING = frozenset({MachineState.STOPPED, MachineState.DESTROYED, MachineState.FAILED})
"""States in which a Machine without a container needs nothing."""


class Agent:
    """See the module. `run` must be running for anything to happen."""

    def __init__(self, parts: Parts, proxy_settings: dict[str, Any]) -> None:
        self.parts = parts
        self.boxes = Boxes()
        self.attached: dict[str, tuple[Path, int]] = {}
        self.prepared = Prepared(parts.prepared)
        self.link = ProxyLink(
            parts.store,
            parts.home,
            parts.identity.region,
            proxy_settings,
            self._on_event,
            clock=parts.clock,
            public=parts.public,
            desk=parts.certificates,
        )
        self._certificates = CertificateRequests(parts.certificates, self.link)
        self.routers = Routers(parts.network, self.link)
        self.canary = Canary(parts, self.routers, self.attached)
        self.wakes = Wakes(
            parts,
            self.link,
            wake=lambda machine_id: self._worker(machine_id).wake(),
            look=self._look,
        )
        self._sleeper = Sleeper()
        self._health = HealthBoard()
        self._running: dict[str, Machine] = {}
        self._workers: dict[str, Worker] = {}
        self._group: asyncio.TaskGroup | None = None
        self.closing = False
        self.reports = 0
        """Load reports taken in since the start."""

    # HostAgent, as control and the API see it

    def poke(self, machine_id: str) -> None:
        """See HostAgent."""
        self.wakes.asked_for(machine_id)
        self._look(machine_id)

    async def resolve_image(self, reference: str, *, fresh: bool = False) -> Image:
        """See HostAgent."""
        return await self.parts.images.pull(reference, always=fresh)

    async def signal(self, machine_id: str, signo: int) -> None:
        """See HostAgent."""
        self._must_run(machine_id)
        await self.parts.runtime.signal(machine_id, signo)

    async def exec(
        self, machine_id: str, args: tuple[str, ...], *, stdin: bytes, timeout: float
    ) -> ExecResult:
        """See HostAgent."""
        self._must_run(machine_id)
        return await self.parts.runtime.exec(machine_id, args, stdin=stdin, timeout=timeout)

    async def session(
        self, machine_id: str, args: tuple[str, ...], *, tty: bool, env: Mapping[str, str]
    ) -> ExecSession:
        """See HostAgent."""
        self._must_run(machine_id)
        return await self.parts.runtime.session(machine_id, args, tty=tty, env=env)

    async def processes(self, machine_id: str) -> list[Process]:
        """See HostAgent."""
        self._must_run(machine_id)
        return await self.parts.runtime.processes(machine_id)

    async def memory(self, machine_id: str) -> Memory:
        """See HostAgent."""
        if self.boxes.box(machine_id) not in (Box.RUNNING, Box.FROZEN):
            raise PreconditionError(f"machine {machine_id} has no processes")
        return await self.parts.runtime.memory(machine_id)

    def health(self, machine_id: str, instance_id: str) -> Mapping[str, CheckResult]:
        """See HostAgent."""
        return self._health.of(machine_id, instance_id)

    async def health_changed(self) -> None:
        """See HostAgent."""
        await self._health.changed()

    def checked(self) -> Iterator[tuple[Machine, tuple[CheckResult, ...]]]:
        """See HostAgent."""
        for machine in self._running.values():
            told = self._health.of(machine.id, machine.instance_id)
            if results := with_unchecked(machine.config, told, since=machine.updated_at):
                yield machine, results

    def wake_counts(self) -> Counts:
        """See HostAgent."""
        return self.wakes.counts

    # What workers ask

    def unprepare(self, machine_id: str, *, again: bool) -> None:
        """Its prepared container must go; `again`: a new one is made then."""
        self._worker(machine_id).unprepare(again=again)

    def page_out(self, machine_id: str) -> None:
        """Push a frozen Machine's memory to swap, beside everything else."""
        if self._group is not None:
            self._group.create_task(self._reclaim(machine_id), name=f"reclaim:{machine_id}")

    # Running

    async def run(self, ready: asyncio.Event) -> None:
        """Adopt what is there, set `ready`, then serve until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self.wakes.serve(group)
            await self.adopt()
            group.create_task(self.link.run(), name="proxy-link")
            group.create_task(self._follow_exits(), name="exits")
            group.create_task(self._follow_store(), name="agent-store")
            group.create_task(self._sweep(), name="sweep")
            self.canary.serve(group)
            ready.set()

    async def adopt(self) -> None:
        """Take over containers and namespaces of an earlier process; start what is unfinished."""
        found = await self.parts.runtime.observe()
        self.boxes.reset(found)
        await self._adopt_networks()
        busy = {*self.boxes.ids(), *self.attached}
        for state in MachineState:
            if state not in RESTING:
                for item in self.parts.store.find(Machine, "state", str(state)):
                    busy.add(item.record.id)
                    self._note_running(item.record)
                    if self._ran_before(item.record):
                        self.wakes.run_again(item.record.id)
        for machine_id in busy:
            if self.boxes.box(machine_id) is Box.CREATED:
                evicted = self.prepared.admit(machine_id)
                if evicted is not None:
                    self.unprepare(evicted, again=False)
            self._look(machine_id)
        log.info("adopted %d containers, %d Machines to look at", len(found), len(busy))

    def _ran_before(self, machine: Machine) -> bool:
        """Whether it is to run and does not, since the host or Roost was down."""
        running = self.boxes.box(machine.id) in (Box.RUNNING, Box.FROZEN)
        return machine.goal is Goal.STARTED and not running

    async def _adopt_networks(self) -> None:
        networks = await self.parts.network.observe()
        for machine_id in filter(is_probe, networks.machines):
            # An earlier process was killed while its canary ran.
            await self.parts.network.detach(machine_id)
        for network_id, path in networks.routers.items():
            network = self._network(network_id)
            if network is None:
                await self.parts.network.remove_router(network_id)
            else:
                self.routers.adopt(network, path)
        for machine_id, path in networks.machines.items():
            if is_probe(machine_id):
                continue
            stored = self.parts.store.get(Machine, machine_id)
            self.attached[machine_id] = (path, stored.record.network_id if stored else 0)

    async def halt_all(self) -> None:
        """End every container in its own manner, leaving the records as they are.

        From here on no worker acts: what users wanted is started again by the next daemon.
        """
        self.closing = True
        async with asyncio.TaskGroup() as group:
            for machine_id in self.boxes.ids():
                group.create_task(self._halt(machine_id), name=f"halt:{machine_id}")

    async def _halt(self, machine_id: str) -> None:
        stored = self.parts.store.get(Machine, machine_id)
        box = self.boxes.box(machine_id)
        if stored is None or box not in (Box.RUNNING, Box.FROZEN):
            return
        step = Step.HALT if box is Box.RUNNING else Step.KILL
        try:
            await Steps(self, machine_id).execute(step, stored.record)
        except RoostError as error:
            log.warning("%s: %s", machine_id, error)

    def _look(self, machine_id: str) -> None:
        self._worker(machine_id).poke()

    def _worker(self, machine_id: str) -> Worker:
        worker = self._workers.get(machine_id)
        if worker is None:
            worker = Worker(self, machine_id)
            if self._group is not None and not self.closing:
                self._workers[machine_id] = worker
                self._group.create_task(
                    self._work(machine_id, worker), name=f"machine:{machine_id}"
                )
        return worker

    async def _work(self, machine_id: str, worker: Worker) -> None:
        try:
            await worker.run()
        finally:
            del self._workers[machine_id]
        self.wakes.rests(machine_id)

    async def _follow_exits(self) -> None:
        async for ended in self.parts.runtime.exits():
            self.wakes.over(ended.id)
            if self.boxes.exited(ended):
                self._look(ended.id)

    async def _follow_store(self) -> None:
        """Keep the list of running Machines; drop prepared containers that became stale."""
        while True:
            revision = self.parts.store.revision()
            for item in self.parts.store.find(Machine, "state", str(MachineState.STARTED)):
                self._note_running(item.record)
            try:
                async for commit in self.parts.store.watch(revision):
                    for change in commit.changes:
                        self._follow(change)
            except ConflictError:
                log.info("fell behind the store; looking at all running Machines again")

    def _follow(self, change: Change) -> None:
        match change:
            case Put(record=Machine() as machine):
                self._note_running(machine)
            case Put(record=Secret(app=app)):
                self._secrets_changed(app)
            case Delete(kind=kind, key=key) if kind is Secret:
                self._secrets_changed(key.partition("/")[0])
            case Put(record=Authority(org=org)):
                self._roots_changed(org)
            case Delete(kind=kind, key=key) if kind is Authority:
                self._roots_changed(key.partition("/")[0])
            case Delete(kind=kind, key=key) if kind is Machine:
                self._running.pop(key, None)
                self._health.forget(key)
            case _:
                pass

    def _note_running(self, machine: Machine) -> None:
        if machine.state is MachineState.STARTED:
            self._running[machine.id] = machine
        else:
            self._running.pop(machine.id, None)

    def _secrets_changed(self, app: str) -> None:
        for machine_id in self.boxes.ids():
            if machine_id in self.prepared and self.boxes.label(machine_id, "app") == app:
                self.unprepare(machine_id, again=True)

    def _roots_changed(self, org: str) -> None:
        apps = {stored.record.name for stored in self.parts.store.find(App, "org", org)}
        for machine_id in self.boxes.ids():
            if machine_id in self.prepared and self.boxes.label(machine_id, "app") in apps:
                self.unprepare(machine_id, again=True)

    async def _sweep(self) -> None:
        """The periodic full look: nothing may rest on an event having arrived."""
        while True:
            await self.parts.clock.sleep(SWEEP_SECONDS)
            try:
                for machine_id in {*self.boxes.ids(), *self.attached, *self._unsettled()}:
                    self._look(machine_id)
                await self.routers.sweep(
                    lambda: {network for _, network in self.attached.values()}, self._network
                )
            except Exception:
                log.exception("sweep; the next one tries again")

    def _unsettled(self) -> list[str]:
        found = self.parts.store.find(Machine, "unsettled", "yes", limit=1000)
        return [item.record.id for item in found if item.record.state not in RESTING]

    # The proxy's events

    async def _on_event(self, event: Message) -> None:
        match event.get("ev"):
            case "wake":
                self._on_wake(str(event["machine"]))
            case "load":
                self._on_load(event)
            case "log":
                self._on_log(event)
            case "certificate" if self._group is not None:
                app, audience = str(event["app"]), str(event["audience"])
                self._certificates.asked(app, audience, self._group)
            case "checks":
                self._on_checks(event)
            case "ready":
                self.wakes.over(str(event["machine"]))
                log.info("%s ready after %s us", event.get("machine"), event.get("after_us"))
            case _:
                pass

    @property
    def busy(self) -> frozenset[str]:
        """Machines that have a worker now."""
        return frozenset(self._workers)

    def _on_wake(self, machine_id: str) -> None:
        if not self.wakes.repeated(machine_id):
            self._worker(machine_id).wake()

    def _on_load(self, event: Message) -> None:
        self.reports += 1
        self.wakes.called(event.get("waiting", {}))
        asleep = self._sleeper.report(
            self._running.values(),
            event.get("machines", {}),
            event.get("waiting", {}),
            self.parts.clock.now_ms(),
        )
        for sleep in asleep:
            self._worker(sleep.machine).sleep(sleep.action)

    def _on_log(self, event: Message) -> None:
        app = event.get("app")
        if not app:
            return
        self.parts.logs.write(
            str(app),
            str(event.get("message", "")),
            machine=event.get("machine"),
            source="proxy",
            level=str(event.get("level", "info")),
            region=self.parts.identity.region,
            code=event.get("code"),
        )

    def _on_checks(self, event: Message) -> None:
        stored = self.parts.store.get(Machine, str(event["machine"]))
        if stored is None:
            return
        machine = stored.record
        ports = {one.name: one.port for one in named_checks(machine.config)}
        for result in self._health.take(event):
            passes = result.status is CheckStatus.PASSING
            how = "is now passing" if passes else f"has failed: {result.output}"
            port = ports.get(result.name, "?")
            self.parts.logs.write(
                machine.app,
                f"Health check {result.name!r} on port {port} {how}",
                machine=machine.id,
                source="health",
                level="info" if passes else "error",
                region=self.parts.identity.region,
            )

    # Details

    async def _reclaim(self, machine_id: str) -> None:
        try:
            freed = await self.parts.runtime.reclaim(machine_id)
        except (RoostError, OSError) as error:
            log.debug("%s: memory stays resident: %s", machine_id, error)
        else:
            log.debug("%s: %d bytes pushed out", machine_id, freed)

    def _must_run(self, machine_id: str) -> None:
        box = self.boxes.box(machine_id)
        if box is Box.RUNNING:
            return
        if self.parts.store.get(Machine, machine_id) is None:
            raise NotFoundError(f"machine not found: {machine_id}")
        raise PreconditionError(
            f"machine {machine_id} is not running",
            hint=f"start it first: roost machine start {machine_id}",
        )

    def _network(self, network_id: int) -> Network | None:
        found = self.parts.store.find(Network, "id", str(network_id))
        return found[0].record if found else None
