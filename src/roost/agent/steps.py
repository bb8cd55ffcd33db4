"""Each step of a plan, carried out against the drivers.

A step either changes the host (and the picture in `Boxes`) or the record, never both, so that a
crash between two steps is just a shorter plan.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from roost.agent import record
from roost.agent.container_spec import container_spec
from roost.control.edit import edit_machine
from roost.errors import NotFoundError, RoostError
from roost.images.base import Image
from roost.model.addresses import (
    DNS_EVERYWHERE,
    GATEWAY4,
    flycast_prefix,
    machine_ipv4,
    machine_prefix,
    network_dns,
    network_prefix,
)
from roost.model.machine_state import Event, Goal, MachineState
from roost.model.records import Machine, Network
from roost.network.base import Attachment, Router
from roost.plan.reconcile import Box, Seen, Step
from roost.runtime.base import ContainerState
from roost.spec import durations, signals

if TYPE_CHECKING:
    from roost.agent.agent import Agent

log = logging.getLogger("roost.agent")

DEFAULT_KILL_SIGNAL = "SIGINT"
DEFAULT_KILL_TIMEOUT_MS = 5000
_KILL_SECONDS = 10.0
_LOOK_SECONDS = 0.5


class Steps:
    """The steps of one Machine. `halting` is True from the signal on: its end was asked for."""

    def __init__(self, agent: Agent, machine_id: str) -> None:
        self._agent = agent
        self._parts = agent.parts
        self._id = machine_id
        self.halting = False
        self.not_before_ms = 0

    def seen(self, machine: Machine) -> Seen:
        """What the host sees of this Machine now."""
        boxes = self._agent.boxes
        return Seen(
            box=boxes.box(self._id),
            current=boxes.label(self._id, "instance") == machine.instance_id,
            network=self._id in self._agent.attached,
            exit_recorded=record.exit_recorded(machine, boxes.exit_of(self._id)),
        )

    async def execute(self, step: Step, machine: Machine) -> None:
        """Carry out one step. Raises RoostError of the drivers."""
        log.debug("%s: %s", self._id, step.value)
        handlers = {
            Step.ATTACH: self.attach,
            Step.CREATE: self.create,
            Step.START: self.start,
            Step.THAW: self._thaw,
            Step.FREEZE: self._freeze,
            Step.HALT: self._halt,
            Step.KILL: self._kill,
            Step.RECORD_EXIT: self._record_exit,
            Step.DELETE: self.delete,
            Step.DETACH: self.detach,
        }
        handler = handlers.get(step)
        if handler is not None:
            await handler(machine)
        else:
            await self._mark(step, machine)

    async def edit(self, change: Callable[[Machine], Machine]) -> Machine:
        """Commit a change of the record with compare-and-set, then show it to the proxy."""
        try:
            return await edit_machine(self._parts.store, self._id, change)
        finally:
            # Also when it was not written: the proxy must not keep what never came true.
            self._agent.link.settle(self._id)

    # The host

    async def attach(self, machine: Machine) -> None:
        """Make the Machine's network (and its router) exist."""
        network = self._network(machine)
        router = Router(
            network_id=network.id,
            prefix=network_prefix(network.id),
            flycast=flycast_prefix(network.id),
            dns=(DNS_EVERYWHERE, network_dns(network.id)),
            gateway4=GATEWAY4,
            egress=network.egress,
        )
        await self._agent.routers.ensure(network, router)
        path = await self._parts.network.attach(
            Attachment(
                machine_id=self._id,
                router=router,
                ip6=machine_prefix(machine.network_id, machine.host, machine.number),
                ip4=machine_ipv4(machine.ipv4),
            )
        )
        self._agent.attached[self._id] = (path, network.id)

    async def create(self, machine: Machine) -> None:
        """Make the container, its program not yet running."""
        if self._id not in self._agent.attached:
            await self.attach(machine)
        netns, _ = self._agent.attached[self._id]
        spec = container_spec(
            machine,
            await self._image(machine),
            self._parts.reveal(machine.app),
            netns=netns,
            log_file=self._parts.home.machine_log(machine.app, self._id),
            source_key=self._parts.source_key,
            roots=await self._roots(machine),
        )
        await self._parts.runtime.create(spec)
        self._agent.boxes.created(self._id, dict(spec.labels))

    async def start(self, machine: Machine) -> None:
        """Let its program run."""
        del machine
        await self._parts.runtime.start(self._id)
        self._agent.boxes.set(self._id, ContainerState.RUNNING)

    async def _thaw(self, machine: Machine) -> None:
        del machine
        await self._parts.runtime.thaw(self._id)
        self._agent.boxes.set(self._id, ContainerState.RUNNING)

    async def _freeze(self, machine: Machine) -> None:
        await self._agent.link.drain(self._id, if_idle=False)
        try:
            await self._parts.runtime.freeze(self._id)
        except RoostError as error:
            if self._agent.boxes.box(self._id) is Box.EXITED:
                return
            self._log(machine, f"cannot suspend, stopping instead: {error}", "warning")
            now = self._parts.clock.now_ms()
            await self.edit(
                lambda m: (
                    m if m.goal is not Goal.SUSPENDED else record.put_to_sleep(m, Event.STOP, now)
                )
            )
            return
        self._agent.boxes.set(self._id, ContainerState.FROZEN)

    async def _halt(self, machine: Machine) -> None:
        self.halting = True
        await self._agent.link.drain(self._id, if_idle=False)
        number, patience_ms = await self._stop_manner(machine)
        try:
            await self._parts.runtime.signal(self._id, number)
        except NotFoundError:
            log.debug("%s ended before it was signalled", self._id)
        if not await self._wait_end(patience_ms / 1000):
            self._log(machine, f"did not end within {patience_ms / 1000:g} s, killing it")
            await self._kill(machine)

    async def _wait_end(self, seconds: float) -> bool:
        """Whether it ended within the time given to it, or until it is destroyed by force."""
        while not await self._agent.boxes.wait_exit(self._id, min(seconds, _LOOK_SECONDS)):
            seconds -= _LOOK_SECONDS
            stored = self._parts.store.get(Machine, self._id)
            if seconds <= 0 or stored is None or stored.record.stop_timeout_ms == 0:
                return False
        return True

    async def _kill(self, machine: Machine) -> None:
        self.halting = True
        await self._parts.runtime.kill(self._id)
        if not await self._agent.boxes.wait_exit(self._id, _KILL_SECONDS):
            self._log(machine, "no end reported after SIGKILL, removing it", "warning")
            self._agent.boxes.set(self._id, ContainerState.BROKEN)

    async def delete(self, machine: Machine) -> None:
        """Leave nothing of the container but its log."""
        del machine
        await self._parts.runtime.delete(self._id)
        self._agent.boxes.deleted(self._id)
        self._agent.prepared.discard(self._id)
        self.halting = False

    async def detach(self, machine: Machine) -> None:
        """Take the Machine's network away."""
        del machine
        await self._parts.network.detach(self._id)
        self._agent.attached.pop(self._id, None)

    # The record

    async def _record_exit(self, machine: Machine) -> None:
        ended = self._agent.boxes.exit_of(self._id)
        if ended is None:
            self._agent.boxes.set(self._id, ContainerState.BROKEN)
            return
        now = self._parts.clock.now_ms()
        requested = self.halting
        delays: list[int] = []

        def change(newest: Machine) -> Machine:
            changed, delay = record.exited(newest, ended, now, requested=requested)
            delays[:] = [delay]
            return changed

        changed = await self.edit(change)
        self.not_before_ms = now + delays[0]
        if delays[0]:  # A crash loop must not take room from those who are called.
            self._agent.wakes.run_again(self._id)
        how = f"signal {ended.signal}" if ended.signal else f"code {ended.exit_code}"
        oom = " (out of memory)" if ended.oom_killed else ""
        level = "info" if ended.exit_code == 0 or requested else "error"
        what = "; starting it again" if changed.state is MachineState.STARTING else ""
        self._log(machine, f"main program ended with {how}{oom}{what}", level)

    async def _mark(self, step: Step, machine: Machine) -> None:
        now = self._parts.clock.now_ms()
        goal = machine.goal
        resumed = machine.state is MachineState.SUSPENDED
        changes: dict[Step, Callable[[Machine], Machine]] = {
            Step.MARK_STARTING: lambda m: record.mark(m, Event.START, now),
            Step.MARK_LOST: lambda m: record.mark(m, Event.LOST, now),
            Step.MARK_RUNNING: lambda m: record.running(m, goal, now, fresh=not resumed),
            Step.MARK_FROZEN: lambda m: record.frozen(m, goal, now),
            Step.MARK_HALTED: lambda m: record.halted(m, goal, now),
            Step.MARK_SHELVED: lambda m: record.mark(m, Event.SHELVED, now),
            Step.MARK_GONE: lambda m: record.note(
                record.mark(m, Event.GONE, now), "destroy", "destroyed", now
            ),
        }
        await self.edit(changes[step])

    # Details

    def _network(self, machine: Machine) -> Network:
        found = self._parts.store.find(Network, "id", str(machine.network_id))
        if not found:
            raise NotFoundError(f"network {machine.network_id} of machine {self._id} is not there")
        return found[0].record

    async def _image(self, machine: Machine) -> Image:
        if machine.image_digest:
            cached = await self._parts.images.get(machine.image_digest)
            if cached is not None:
                return cached
        return await self._parts.images.pull(machine.config.image)

    async def _roots(self, machine: Machine) -> tuple[str, ...]:
        """What the Machine trusts; it starts also when there is no CA to be had."""
        org = self._network(machine).org
        try:
            return await self._parts.certificates().roots(org)
        except RoostError as error:
            log.warning("%s: starts without the private CA of %s: %s", self._id, org, error)
            return ()

    async def _stop_manner(self, machine: Machine) -> tuple[int, int]:
        """Signal number and patience in milliseconds: this stop's, the config's, the image's."""
        config = machine.config.stop_config
        named = machine.stop_signal or (config.signal if config else None)
        if not named:
            named = await self._image_signal(machine) or DEFAULT_KILL_SIGNAL
        patience = machine.stop_timeout_ms
        if patience is None and config is not None and config.timeout is not None:
            patience = round(durations.seconds(config.timeout) * 1000)
        try:
            number = signals.number(named)
        except RoostError:
            number = signal.SIGINT
        return number, DEFAULT_KILL_TIMEOUT_MS if patience is None else patience

    async def _image_signal(self, machine: Machine) -> str | None:
        """The image's own stop signal; to stop a Machine no registry is asked for a lost image."""
        if not machine.image_digest:
            return None
        cached = await self._parts.images.get(machine.image_digest)
        return cached.config.stop_signal if cached else None

    def _log(self, machine: Machine, message: str, level: str = "info") -> None:
        self._parts.logs.write(
            machine.app, message, machine=self._id, level=level, region=machine.region
        )
