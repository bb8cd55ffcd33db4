"""Apps: made on one network for ever, destroyed with everything they have."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Literal

from roost.control.app_lookup import find_app, get_app
from roost.control.context import Context
from roost.control.machines import Machines
from roost.control.networks import Networks
from roost.control.numbers import Numbers
from roost.errors import ConflictError, DeadlineError, InvalidError
from roost.model.access import Token
from roost.model.certificates import Certificate, IssuedCertificate
from roost.model.grants import Grant
from roost.model.ids import app_name
from roost.model.machine_state import MachineState
from roost.model.records import Address, App, Counter, Machine, Record, Release, Secret
from roost.store.base import Change, Delete, Put

INTERNAL_PREFIX = "roost-console-"
"""Kept for the apps that consoles belong to: nobody can stand in the way of a network's."""

AppStatus = Literal["pending", "deployed"]

DESTROY_TIMEOUT = 360.0
"""Seconds that destroy() waits for Machines to end: the longest kill_timeout, and a minute."""
_PAGE = 500
_MAX_TRIES = 8


class Apps:
    """Make, look up, change and destroy apps."""

    def __init__(
        self, context: Context, numbers: Numbers, networks: Networks, machines: Machines
    ) -> None:
        self._context = context
        self._store = context.store
        self._numbers = numbers
        self._networks = networks
        self._orgs = networks.orgs
        self._machines = machines

    async def create(
        self,
        name: str,
        *,
        org: str = "personal",
        network: str = "",
        wants_flycast: bool = False,
        internal: bool = False,
    ) -> App:
        """Make an app on a network of an organization; the network is made when missing.

        Raises InvalidError (malformed name), NotFoundError (organization), PreconditionError (it
        is being deleted), ConflictError with the code `name_taken`.
        """
        checked = app_name(name)
        if not internal and checked.startswith(INTERNAL_PREFIX):
            raise InvalidError(
                f'app names that begin with "{INTERNAL_PREFIX}" are Roost\'s own',
                hint="choose another name",
            )
        self._refuse_taken(checked)
        target = await self._networks.ensure(org, network)
        # What was left of an earlier app of this name by a crash in the middle of its destruction.
        await asyncio.to_thread(self._context.logs.remove, checked)
        app = App(
            id=checked,
            name=checked,
            org=target.org,
            network=target.name,
            network_id=target.id,
            number=await self._numbers.take("app"),
            internal=internal,
            wants_flycast=wants_flycast,
            created_at=self._context.clock.now_ms(),
        )
        self._orgs.must_be_open(app.org)
        try:
            await self._store.commit(*self._belongings(checked), Put(app, expect=0))
        except ConflictError:
            self._refuse_taken(checked)
            raise
        return app

    def get(self, name: str) -> App:
        """The app. Raises NotFoundError (`app "x" not found`)."""
        return get_app(self._store, name)

    def list(self, org: str | None = None, *, internal: bool = False) -> list[App]:
        """Apps by name, of one organization or of all; Roost's own only when asked for."""
        found = self._store.scan(App) if org is None else self._store.find(App, "org", org)
        return [stored.record for stored in found if internal or not stored.record.internal]

    def status(self, app: App) -> AppStatus:
        """`deployed` once a release of the app was completed, else `pending`."""
        releases = self._store.find(Release, "app", app.name)
        done = any(stored.record.status == "complete" for stored in releases)
        return "deployed" if done else "pending"

    async def want_flycast(self, name: str, wanted: bool) -> None:
        """Remember whether the first deploy shall allocate a private address.

        Raises NotFoundError.
        """
        for _ in range(_MAX_TRIES):
            stored = find_app(self._store, name)
            changed = stored.record.model_copy(update={"wants_flycast": wanted})
            if changed == stored.record:
                return
            try:
                await self._store.commit(Put(changed, expect=stored.revision))
            except ConflictError:
                continue
            return
        raise ConflictError(f'app "{name}" is changed by too many at once', hint="try again")

    async def destroy(self, name: str) -> None:
        """End and remove everything of an app: Machines, addresses, secrets, releases, tokens,
        certificates, logs.

        Waits until the Machines are gone. Asked again after a crash in the middle, it completes.
        Raises NotFoundError, and DeadlineError (the app stays, without the Machines that ended).
        """
        app = self.get(name)
        with self._context.closing.of(app.name):
            await self._settle(app)
            await self._end_machines(app)
            # Before the record: whoever takes the name next must not read them.
            await asyncio.to_thread(self._context.logs.remove, app.name)
            await self._remove_records(app)

    async def _settle(self, app: App) -> None:
        """Wait until all is visible that others had begun to write under the name: `Closing`."""
        stored = find_app(self._store, app.name)
        with suppress(ConflictError):  # that one comes after them too
            await self._store.commit(Put(stored.record, expect=stored.revision))

    async def _end_machines(self, app: App) -> None:
        living = [m.id for m in self._machines.list(app.name)]
        for machine_id in living:
            await self._machines.destroy_unleased(app.name, machine_id)
        deadline = self._context.clock.monotonic() + DESTROY_TIMEOUT
        for machine_id in living:
            left = deadline - self._context.clock.monotonic()
            try:
                await self._machines.wait(
                    app.name, machine_id, frozenset({MachineState.DESTROYED}), max(left, 0)
                )
            except DeadlineError as error:
                raise DeadlineError(
                    f'app "{app.name}" is not destroyed: machine {machine_id} has not ended',
                    hint="look at its log and try again",
                ) from error

    async def _remove_records(self, app: App) -> None:
        """The app itself goes last, with its few other records, so that a crash is repeatable."""
        while batch := self._store.find(Machine, "app", app.name, limit=_PAGE):
            await self._store.commit(*(Delete(Machine, s.record.key) for s in batch))
        while (stored := self._store.get(App, app.name)) and stored.record.number == app.number:
            changes = self._belongings(app.name)
            gone = Delete(App, app.name, expect=stored.revision)
            with suppress(ConflictError):  # an address came: look again, and take it along
                await self._store.commit(*changes, gone)

    def _belongings(self, name: str) -> tuple[Change, ...]:
        """Deletions of all that is under an app's name."""
        kinds: tuple[type[Record], ...] = (
            Machine,
            Address,
            Grant,
            Secret,
            Release,
            Token,
            Certificate,
            IssuedCertificate,
        )
        changes: list[Change] = [
            Delete(kind, stored.record.key)
            for kind in kinds
            for stored in self._store.find(kind, "app", name)
        ]
        changes += [Delete(Counter, f"{series}/{name}") for series in ("secret", "release")]
        return tuple(changes)

    def _refuse_taken(self, name: str) -> None:
        if self._store.get(App, name) is not None:
            raise ConflictError(
                f'app name "{name}" is taken', hint="choose another name", code="name_taken"
            )
