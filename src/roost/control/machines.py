"""Machines: created, changed and destroyed by writing what is wanted and poking the agent.

Every change goes through one compare-and-set (`edit_machine`) with a pure function of
`machine_edits`, checked against the Machine's lease. States flip before the caller is answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from roost.control import leases, machine_edits
from roost.control.app_dir import checked
from roost.control.app_lookup import get_app, must_be_same
from roost.control.config_check import check_config, check_metadata, check_region, stop_timeout_ms
from roost.control.context import Context
from roost.control.edit import edit_machine, machine_not_found
from roost.control.machine_edits import NewVersion, Stamp
from roost.control.machine_names import machine_name
from roost.control.machine_requests import CreateMachine, UpdateMachine
from roost.control.numbers import Numbers
from roost.control.public_ranges import check_ranges, spans
from roost.control.tombstones import Tombstones
from roost.control.waiting import wait_for
from roost.errors import ConflictError, InvalidError
from roost.model.addresses import machine_ipv4, machine_prefix
from roost.model.checks import CheckResult, with_unchecked
from roost.model.ids import app_name, machine_id, ulid
from roost.model.machine_config import MachineConfig
from roost.model.machine_state import Event, Goal, MachineState, transition
from roost.model.records import Address, App, Lease, Machine, MachineEvent
from roost.spec import signals
from roost.store.base import Put


class Machines:
    """Everything that can be asked of Machines; `nonce` is that of a lease the caller holds."""

    def __init__(self, context: Context, numbers: Numbers) -> None:
        self._context = context
        self._store = context.store
        self._numbers = numbers
        self._tombstones = Tombstones(context)

    async def create(self, app: str, request: CreateMachine) -> Machine:
        """Make a Machine; its image is pulled first, so that nothing is half made.

        Raises InvalidError, NotFoundError (app, image), ConflictError (name taken, app is being
        destroyed), UnavailableError (registry).
        """
        owner = get_app(self._store, app)
        self._check(app, request.config)
        config = await checked(request.config, self._context.home)
        request = replace(request, config=config)
        check_region(request.region, self._context.host)
        ttl = None if request.lease_ttl is None else leases.check_ttl(request.lease_ttl)
        if request.name:
            app_name_of_machine(request.name)
        self._context.closing.refuse(app)
        image = await self._context.agent.resolve_image(request.config.image)
        machine = await self._new(owner, request, image.digest)
        if ttl is not None:
            lease = self._new_lease(machine, ttl, "", request.lease_owner)
            machine = machine.model_copy(update={"lease": lease})
        must_be_same(self._context, owner)
        self._refuse_taken(owner, request.name)
        await self._store.commit(Put(machine, expect=0), *self._tombstones.excess(app))
        self._context.agent.poke(machine.id)
        return machine

    def get(self, app: str, machine_id: str) -> Machine:
        """A Machine of an app, also a destroyed one for a while.

        Raises NotFoundError (`machine not found`, or the app's sentence).
        """
        stored = self._store.get(Machine, machine_id)
        if stored is None or stored.record.app != app:
            get_app(self._store, app)
            raise machine_not_found(machine_id)
        return stored.record

    def checks(self, machine: Machine) -> tuple[CheckResult, ...]:
        """A result for each configured health check: critical, with no output, before a run."""
        told = self._context.agent.health(machine.id, machine.instance_id)
        return with_unchecked(machine.config, told, since=machine.updated_at)

    def list(
        self,
        app: str,
        *,
        include_deleted: bool = False,
        region: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> list[Machine]:
        """An app's Machines, oldest first. Raises NotFoundError."""
        name = get_app(self._store, app).name
        wanted = (metadata or {}).items()
        found = [stored.record for stored in self._store.find(Machine, "app", name)]
        chosen = [
            machine
            for machine in found
            if (include_deleted or machine.state is not MachineState.DESTROYED)
            and region in (None, "", machine.region)
            and wanted <= machine.config.metadata.items()
        ]
        return sorted(chosen, key=lambda machine: (machine.created_at, machine.id))

    def count(self, app: str) -> int:
        """How many Machines an app has, destroyed ones left out."""
        return self._store.count(Machine, "app", app) - self._store.count(Machine, "tombstone", app)

    async def update(
        self, app: str, machine_id: str, request: UpdateMachine, nonce: str | None = None
    ) -> Machine:
        """Replace the whole configuration: new instance id, then a reboot unless skip_launch.

        Raises InvalidError, NotFoundError (Machine, image), ConflictError (lease,
        current_version), PreconditionError (state), UnavailableError (registry).
        """
        before = self.get(app, machine_id)
        self._check(app, request.config)
        known = before.config.app_dir
        config = await checked(request.config, self._context.home, known=known)
        self._allow_update(before, request, nonce)
        image = await self._context.agent.resolve_image(request.config.image)
        register = request.skip_service_registration
        new = NewVersion(
            config=config,
            image_digest=image.digest,
            instance_id=self._ulid(),
            launch=not request.skip_launch,
            cordoned=register,
        )
        launch_stamp = self._stamp()

        def change(machine: Machine, stamp: Stamp) -> Machine:
            self._allow_update(machine, request, nonce)
            return machine_edits.update(machine, stamp, launch_stamp, new)

        return await self._edit(app, machine_id, nonce, change)

    async def start(self, app: str, machine_id: str, nonce: str | None = None) -> MachineState:
        """Ask for a start; returns the state before. Raises as all changes do (see _edit)."""
        previous = self.get(app, machine_id).state

        def change(machine: Machine, stamp: Stamp) -> Machine:
            nonlocal previous
            previous = machine.state
            return machine_edits.start(machine, stamp)

        await self._edit(app, machine_id, nonce, change)
        return previous

    async def stop(
        self,
        app: str,
        machine_id: str,
        *,
        signal: str | None = None,
        timeout_ms: int | None = None,
        nonce: str | None = None,
    ) -> Machine:
        """Ask for a stop, with another signal and patience (ms, at most 300 s) than configured."""
        name, patience = _stop_arguments(signal, timeout_ms)
        return await self._edit(
            app, machine_id, nonce, lambda m, stamp: machine_edits.stop(m, stamp, name, patience)
        )

    async def suspend(self, app: str, machine_id: str, nonce: str | None = None) -> Machine:
        """Ask for a suspend; only a started Machine can (else PreconditionError)."""
        return await self._edit(app, machine_id, nonce, machine_edits.suspend)

    async def restart(
        self,
        app: str,
        machine_id: str,
        *,
        force_stop: bool = False,
        signal: str | None = None,
        timeout_ms: int | None = None,
        nonce: str | None = None,
    ) -> Machine:
        """Ask for stop and start; `force_stop` kills at once. Only a started Machine can."""
        name, patience = ("SIGKILL", 0) if force_stop else _stop_arguments(signal, timeout_ms)
        return await self._edit(
            app, machine_id, nonce, lambda m, stamp: machine_edits.restart(m, stamp, name, patience)
        )

    async def destroy(
        self, app: str, machine_id: str, *, force: bool = False, nonce: str | None = None
    ) -> Machine:
        """Ask for its end; a running one needs `force` (else PreconditionError)."""
        machine = await self._edit(
            app, machine_id, nonce, lambda m, stamp: machine_edits.destroy(m, stamp, force=force)
        )
        await self._store.commit(*self._tombstones.excess(app))
        return machine

    async def destroy_unleased(self, app: str, machine_id: str) -> Machine:
        """Ask for its end whoever holds a lease: its app is being destroyed."""
        self.get(app, machine_id)
        stamp = self._stamp()
        machine = await edit_machine(
            self._store,
            machine_id,
            lambda m: machine_edits.destroy(
                m.model_copy(update={"lease": None}), stamp, force=True
            ),
        )
        self._context.agent.poke(machine_id)
        return machine

    async def cordon(
        self, app: str, machine_id: str, on: bool, nonce: str | None = None
    ) -> Machine:
        """Keep new work away from it, or let it have some again."""
        return await self._edit(
            app, machine_id, nonce, lambda m, stamp: machine_edits.cordon(m, stamp, on=on)
        )

    async def set_metadata(
        self, app: str, machine_id: str, key: str, value: str | None, nonce: str | None = None
    ) -> Machine:
        """Set or (None) remove a metadata key: no new version, no reboot. Raises InvalidError."""

        def change(machine: Machine, stamp: Stamp) -> Machine:
            changed = machine_edits.metadata(machine, stamp, key, value)
            check_metadata(changed.config.metadata)
            return changed

        return await self._edit(app, machine_id, nonce, change)

    async def wait(
        self,
        app: str,
        machine_id: str,
        states: frozenset[str],
        timeout: float,
        instance_id: str | None = None,
    ) -> Machine:
        """The Machine once it is in one of the states (or `settled`), within `timeout` seconds.

        Raises DeadlineError, InvalidError (unknown or unreachable state), NotFoundError.
        """
        machine = self.get(app, machine_id)
        return await wait_for(self._store, machine, states, timeout, instance_id)

    async def lease(
        self,
        app: str,
        machine_id: str,
        *,
        ttl: int = 0,
        description: str = "",
        nonce: str | None = None,
        owner: str = "",
    ) -> Lease:
        """Take a lease for `ttl` seconds (0: 30), or with its nonce make it last longer.

        Raises ConflictError (held by another), NotFoundError (Machine; no lease of that nonce).
        """
        lease = self._new_lease(
            self.get(app, machine_id), leases.check_ttl(ttl), description, owner
        )

        def change(machine: Machine) -> Machine:
            fresh = lease.model_copy(update={"version": machine.instance_id})
            return leases.taken(machine, fresh, nonce, self._context.clock.now_ms())

        machine = await edit_machine(self._store, machine_id, change)
        self._context.agent.poke(machine_id)
        assert machine.lease is not None
        return machine.lease

    def get_lease(self, app: str, machine_id: str) -> Lease:
        """The lease that holds now. Raises NotFoundError (`lease not found`)."""
        return leases.current(self.get(app, machine_id), self._context.clock.now_ms())

    async def release_lease(self, app: str, machine_id: str, nonce: str | None) -> None:
        """Give a lease back. Raises NotFoundError (none of that nonce), ConflictError."""
        self.get(app, machine_id)
        await edit_machine(
            self._store,
            machine_id,
            lambda m: leases.released(m, nonce, self._context.clock.now_ms()),
        )
        self._context.agent.poke(machine_id)

    async def _edit(
        self,
        app: str,
        machine_id: str,
        nonce: str | None,
        change: Callable[[Machine, Stamp], Machine],
    ) -> Machine:
        """Change a Machine if its lease allows, then poke the agent.

        Raises NotFoundError, ConflictError (leased by another), PreconditionError (state).
        """
        self.get(app, machine_id)
        stamp = self._stamp()

        def fn(machine: Machine) -> Machine:
            leases.require(machine, nonce, stamp.now_ms)
            return change(machine, stamp)

        machine = await edit_machine(self._store, machine_id, fn)
        self._context.agent.poke(machine_id)
        return machine

    async def _new(self, app: App, request: CreateMachine, digest: str) -> Machine:
        host, random, now = self._context.host, self._context.random, self._context.clock.now_ms()
        number = await self._numbers.take(f"machine/{host.number}")
        ipv4 = await self._numbers.take(f"ipv4/{app.network_id}")
        machine_ipv4(ipv4)  # refuses when the network is full
        machine_prefix(app.network_id, host.number, number)  # and when the host's numbers are
        launch = not request.skip_launch
        created = MachineState.CREATED
        event = MachineEvent(
            id=self._ulid(), type="launch", status="created", source="user", timestamp=now
        )
        return Machine(
            id=machine_id(random(7)),
            name=request.name or machine_name(random(4)),
            app=app.name,
            region=host.region,
            network_id=app.network_id,
            host=host.number,
            number=number,
            ipv4=ipv4,
            instance_id=self._ulid(),
            config=request.config,
            image_digest=digest,
            state=transition(created, Event.START) if launch else created,
            goal=Goal.STARTED if launch else Goal.STOPPED,
            stop_requested=not launch,
            cordoned=request.skip_service_registration,
            events=(event,),
            created_at=now,
            updated_at=now,
        )

    def _new_lease(self, machine: Machine, ttl: int, description: str, owner: str) -> Lease:
        return Lease(
            nonce=self._context.random(16).hex(),
            expires_at=self._context.clock.now_ms() + ttl * 1000,
            owner=owner,
            description=description,
            version=machine.instance_id,
        )

    def _check(self, app: str, config: MachineConfig) -> None:
        check_config(config, self._context.host)
        addresses = (stored.record for stored in self._store.find(Address, "app", app))
        check_ranges(spans(config.services), addresses)

    def _allow_update(self, machine: Machine, request: UpdateMachine, nonce: str | None) -> None:
        leases.require(machine, nonce, self._context.clock.now_ms())
        transition(machine.state, Event.UPDATE)
        machine_edits.check_update(
            machine,
            name=request.name,
            region=request.region,
            current_version=request.current_version,
        )

    def _refuse_taken(self, app: App, name: str) -> None:
        if name and any(machine.name == name for machine in self.list(app.name)):
            raise ConflictError(
                f'app "{app.name}" has a machine named {name!r} already',
                hint="choose another name, or leave it out",
                code="name_taken",
            )

    def _stamp(self) -> Stamp:
        return Stamp(self._context.clock.now_ms(), self._ulid())

    def _ulid(self) -> str:
        return ulid(self._context.clock.now_ms(), self._context.random(10))


def app_name_of_machine(name: str) -> str:
    """Check a Machine's name: as an app's. Raises InvalidError."""
    try:
        return app_name(name)
    except InvalidError as error:
        raise InvalidError(f"machine name {name!r} is not valid", hint=error.hint) from None


def _stop_arguments(signal: str | None, timeout_ms: int | None) -> tuple[str | None, int | None]:
    name = signals.name(signal) if signal else None
    patience = None if timeout_ms is None else stop_timeout_ms(f"{timeout_ms}ms")
    return name, patience
