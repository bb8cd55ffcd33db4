"""Grants: an app on another organization's network, with that organization's consent.

Asking makes a pending grant and nothing else: no address, no name, and no word about whether the
network exists, since the names of another organization's networks are its own affair. Accepting
looks the network up and makes the address, in one commit with the grant.
"""

from __future__ import annotations

from collections.abc import Callable

from roost.control.address_request import AddressRequest, check_ports, check_request
from roost.control.addresses import Addresses
from roost.control.app_lookup import find_app, get_app
from roost.control.context import Context
from roost.control.networks import Networks
from roost.control.orgs import Orgs
from roost.control.releasing import release_changes
from roost.errors import ConflictError, InvalidError, NotFoundError, PreconditionError
from roost.model.grants import Grant, GrantEvent, GrantState, transition
from roost.model.ids import network_name, ulid
from roost.model.records import Address, Network
from roost.store.base import Change, Delete, Put, Stored

MAX_PENDING = 100
"""Requests that may wait for one organization: an inbox must not be filled by others."""
MAX_PENDING_OF_ONE = 20
"""And those of one organization to another: no neighbour fills the inbox alone."""
MAX_OVER = 50
"""Grants of an app that are over and still shown."""
_MAX_TRIES = 8


class Grants:
    """Ask for, accept, reject, end and list grants."""

    def __init__(
        self, context: Context, orgs: Orgs, networks: Networks, addresses: Addresses
    ) -> None:
        self._context = context
        self._store = context.store
        self._orgs = orgs
        self._networks = networks
        self._addresses = addresses

    async def ask(self, app: str, request: AddressRequest, *, actor: str) -> Grant:
        """Ask another organization for an address on its network; it decides later.

        Raises InvalidError, NotFoundError (app, organization), ConflictError (asked already, or
        too many wait), PreconditionError (organization is being deleted).
        """
        for _ in range(_MAX_TRIES):
            grant = self._request(app, request, actor)
            self._refuse_repeated(grant)
            current = find_app(self._store, app)
            self._context.closing.refuse(app)
            changes = [
                Put(grant, expect=0),
                Put(current.record, expect=current.revision),
                *self._forgotten(grant.app),
            ]
            if await self._committed(changes):
                return grant
        raise ConflictError(f'app "{app}" is changed by too many at once', hint="try again")

    async def give(self, app: str, request: AddressRequest, *, actor: str) -> Grant:
        """Ask and accept in one: for who administers both organizations.

        Raises what `ask` and `accept` raise, but for full inboxes; then nothing is made.
        """
        for _ in range(_MAX_TRIES):
            asked = self._request(app, request, actor)
            network = self._networks.get(asked.org, asked.network)
            state = transition(asked.state, GrantEvent.ACCEPT)
            accepted = self._decided(asked, state, actor)
            changes, grant = await self._acceptance(accepted, 0, network)
            if await self._committed([*changes, *self._forgotten(app)]):
                return grant
        raise ConflictError(f'app "{app}" is changed by too many at once', hint="try again")

    def _request(self, app: str, request: AddressRequest, actor: str) -> Grant:
        """The pending grant, checked by itself and not yet written."""
        check_request(request)
        owner = get_app(self._store, app)
        org = self._orgs.must_be_open(request.org)
        if org.slug == owner.org:
            raise InvalidError(f'app "{app}" belongs to organization {org.slug!r} itself')
        return Grant(
            id=self._new_id(),
            app=owner.name,
            app_org=owner.org,
            org=org.slug,
            network=network_name(request.network),
            ports=check_ports(self._store, owner, request.ports),
            expires_at=self._end(request),
            created_at=self._now(),
            created_by=actor,
        )

    async def accept(self, org: str, grant_id: str, *, actor: str) -> Grant:
        """Consent: the address exists from now on.

        Raises NotFoundError (grant, or the network it names), PreconditionError (decided before,
        the app has too many addresses, or the organization is being deleted).
        """
        for _ in range(_MAX_TRIES):
            stored = self._get(org, grant_id)
            state = transition(stored.record.state, GrantEvent.ACCEPT)
            self._refuse_late(stored.record)
            network = self._networks.get(stored.record.org, stored.record.network)
            accepted = self._decided(stored.record, state, actor)
            changes, grant = await self._acceptance(accepted, stored.revision, network)
            if await self._committed(changes):
                return grant
        raise self._contended(grant_id)

    async def reject(self, org: str, grant_id: str, *, actor: str) -> Grant:
        """Refuse: nothing is made. Raises NotFoundError, PreconditionError."""
        return await self._decide(lambda: self._get(org, grant_id), GrantEvent.REJECT, actor)

    async def withdraw(self, app: str, grant_id: str, *, actor: str) -> Grant:
        """The app's side takes a request back, or ends what was granted.

        Raises NotFoundError, PreconditionError.
        """
        return await self._decide(lambda: self._of_app(app, grant_id), GrantEvent.RELEASE, actor)

    async def end(self, org: str, grant_id: str, *, actor: str) -> Grant:
        """The receiving side ends what it had accepted. Raises NotFoundError, PreconditionError."""
        return await self._decide(lambda: self._get(org, grant_id), GrantEvent.RELEASE, actor)

    async def expire(self, grant_id: str) -> None:
        """Its date has come; nothing happens when it was decided otherwise meanwhile."""
        stored = self._store.get(Grant, grant_id)
        if stored is not None and stored.record.open:
            await self._decide(lambda: self._known(grant_id), GrantEvent.EXPIRE, "roost")

    def incoming(self, org: str) -> list[Grant]:
        """What others asked of an organization, oldest first."""
        return [stored.record for stored in self._store.find(Grant, "org", org)]

    def outgoing(self, org: str) -> list[Grant]:
        """What an organization's apps asked of others, oldest first."""
        return [stored.record for stored in self._store.find(Grant, "app_org", org)]

    def of_app(self, app: str) -> list[Grant]:
        """An app's grants, oldest first."""
        return [stored.record for stored in self._store.find(Grant, "app", app)]

    # Details

    async def _acceptance(
        self, grant: Grant, expect: int, network: Network
    ) -> tuple[list[Change], Grant]:
        """`grant` accepted, with its address; it is in the store at revision `expect`."""
        app = get_app(self._store, grant.app)
        address = await self._addresses.new_private(app, network, grant.ports, grant.expires_at)
        self._orgs.must_be_open(grant.org)
        made = grant.model_copy(update={"ip": address.ip})
        changes: list[Change] = [
            Put(made, expect=expect),
            Put(address.model_copy(update={"grant": grant.id}), expect=0),
            self._addresses.still(app),
        ]
        return changes, made

    async def _decide(
        self, find: Callable[[], Stored[Grant]], event: GrantEvent, actor: str
    ) -> Grant:
        for _ in range(_MAX_TRIES):
            stored = find()
            state = transition(stored.record.state, event)
            address = self._store.get(Address, stored.record.ip) if stored.record.ip else None
            if address is None:
                grant = self._decided(stored.record, state, actor)
                changes: list[Change] = [Put(grant, expect=stored.revision)]
            else:
                changes = release_changes(self._store, address, event, now=self._now(), actor=actor)
            if await self._committed(changes):
                return self._known(stored.record.id).record
        raise self._contended(find().record.id)

    def _forgotten(self, app: str) -> list[Change]:
        """The oldest of an app's grants that are over, beyond those that are kept to look at."""
        over = [one for one in self.of_app(app) if not one.open]
        return [Delete(Grant, one.id) for one in over[: max(0, len(over) - MAX_OVER)]]

    def _refuse_late(self, grant: Grant) -> None:
        if grant.expires_at is not None and grant.expires_at <= self._now():
            raise PreconditionError(
                f"grant {grant.id} has passed its date", hint="let it be asked for again"
            )

    def _refuse_repeated(self, grant: Grant) -> None:
        waiting = [one for one in self.incoming(grant.org) if one.state is GrantState.PENDING]
        if len(waiting) >= MAX_PENDING:
            raise ConflictError(
                f"organization {grant.org!r} has {MAX_PENDING} requests to answer already",
                hint="ask its admin to answer them",
            )
        if sum(one.app_org == grant.app_org for one in waiting) >= MAX_PENDING_OF_ONE:
            raise ConflictError(
                f"{MAX_PENDING_OF_ONE} requests of organization {grant.app_org!r} wait for "
                f"{grant.org!r} already",
                hint="withdraw some (`roost ips grants withdraw`), or wait for an answer",
            )
        for one in waiting:
            if (one.app, one.network, one.ports) == (grant.app, grant.network, grant.ports):
                raise ConflictError(
                    f'app "{grant.app}" has asked for this already: grant {one.id} waits for an '
                    f"admin of {grant.org!r}",
                    hint="they accept it with "
                    f"`roost ips grants accept {one.id} --org {grant.org}`",
                )

    def _get(self, org: str, grant_id: str) -> Stored[Grant]:
        stored = self._store.get(Grant, grant_id)
        if stored is None or stored.record.org != org:
            raise NotFoundError(
                f"organization {org!r} has no grant {grant_id!r}",
                hint=f"`roost ips grants list --org {org}` shows them",
            )
        return stored

    def _of_app(self, app: str, grant_id: str) -> Stored[Grant]:
        stored = self._store.get(Grant, grant_id)
        if stored is None or stored.record.app != app:
            raise NotFoundError(
                f'app "{app}" has no grant {grant_id!r}',
                hint=f"`roost ips grants list -a {app}` shows them",
            )
        return stored

    def _known(self, grant_id: str) -> Stored[Grant]:
        stored = self._store.get(Grant, grant_id)
        if stored is None:
            raise NotFoundError(f"grant {grant_id!r} not found")
        return stored

    def _decided(self, grant: Grant, state: GrantState, actor: str) -> Grant:
        return grant.model_copy(
            update={"state": state, "decided_at": self._now(), "decided_by": actor}
        )

    async def _committed(self, changes: list[Change]) -> bool:
        try:
            await self._store.commit(*changes)
        except ConflictError:
            return False
        return True

    def _contended(self, grant_id: str) -> ConflictError:
        return ConflictError(f"grant {grant_id} is changed by too many at once", hint="try again")

    def _end(self, request: AddressRequest) -> int | None:
        return None if request.lifetime_ms is None else self._now() + request.lifetime_ms

    def _new_id(self) -> str:
        return ulid(self._now(), self._context.random(10))

    def _now(self) -> int:
        return self._context.clock.now_ms()
