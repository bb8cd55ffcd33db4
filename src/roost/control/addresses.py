"""An app's addresses: Flycast ones, private and on one network each, and public ones.

Source: docs/networking/flycast. Without `network` an address lands on the default network of the
organization, even when the app itself is on a custom one. On a network of another organization it
needs that organization's consent: see `grants`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address

from roost.control.address_request import AddressRequest, check_ports, check_request
from roost.control.app_lookup import find_app, get_app, must_be_same
from roost.control.context import Context
from roost.control.networks import Networks
from roost.control.numbers import Numbers
from roost.control.public_ranges import check_ranges, spans
from roost.control.releasing import release_changes
from roost.errors import ConflictError, InvalidError, NotFoundError, PreconditionError
from roost.model.addresses import flycast_address
from roost.model.grants import GrantEvent
from roost.model.machine_state import MachineState
from roost.model.records import Address, AddressType, App, Machine, Network
from roost.store.base import Change, Put, Stored

MAX_ADDRESSES = 100
"""Addresses of one app: each is a row of the proxy's, a route, and a line of what it is told."""
PUBLIC_NETWORK = 0
"""The number that stands for the host's outside; no private network has it."""
_MAX_TRIES = 8


class Addresses:
    """Give out, list and release addresses."""

    def __init__(self, context: Context, numbers: Numbers, networks: Networks) -> None:
        self._context = context
        self._store = context.store
        self._numbers = numbers
        self._networks = networks

    async def allocate(self, app: str, request: AddressRequest | None = None) -> Address:
        """A new address of an app.

        Whoever may consent for the audience's organization has done so. Raises InvalidError,
        NotFoundError (app, organization, network), PreconditionError (no public pool, too many
        addresses, or the organization is being deleted), ConflictError (app is being destroyed).
        """
        asked = request or AddressRequest()
        check_request(asked)
        owner = get_app(self._store, app)
        ports = check_ports(self._store, owner, asked.ports)
        if asked.type.public:
            return await self._allocate_public(owner, asked, ports)
        target = self._networks.get(asked.org or owner.org, asked.network)
        ends = None if asked.lifetime_ms is None else self._now() + asked.lifetime_ms
        for _ in range(_MAX_TRIES):
            address = await self.new_private(owner, target, ports, ends)
            self._networks.orgs.must_be_open(target.org)
            if await self._committed([Put(address, expect=0), self.still(owner)]):
                return address
        raise ConflictError(f'app "{app}" is changed by too many at once', hint="try again")

    async def new_private(
        self, app: App, target: Network, ports: tuple[int, ...], expires_at: int | None
    ) -> Address:
        """A Flycast address of a number never given out before, not yet written."""
        number = await self._numbers.take(f"flycast/{target.id}")
        return Address(
            ip=str(flycast_address(target.id, number)),
            app=app.name,
            org=target.org,
            network=target.name,
            network_id=target.id,
            ports=ports,
            expires_at=expires_at,
            created_at=self._now(),
        )

    def list(self, app: str) -> list[Address]:
        """An app's addresses, oldest first. Raises NotFoundError."""
        name = get_app(self._store, app).name
        found = [stored.record for stored in self._store.find(Address, "app", name)]
        return sorted(found, key=lambda address: (address.created_at, address.ip))

    def on_network(self, network_id: int) -> Iterable[Address]:
        """The addresses that lie on a network, whoever's apps they are."""
        for stored in self._store.find(Address, "network", str(network_id)):
            yield stored.record

    async def release(self, app: str, ip: str, *, actor: str = "") -> Address:
        """Take an address from an app: new connections are refused at once, open ones drained.

        A private address's number is never used again. Raises InvalidError (no address),
        NotFoundError (not this app's).
        """
        name = get_app(self._store, app).name
        text = canonical(ip)
        for _ in range(_MAX_TRIES):
            stored = self._find(name, text)
            changes = release_changes(
                self._store, stored, GrantEvent.RELEASE, now=self._now(), actor=actor
            )
            if await self._committed(changes):
                return stored.record
        raise ConflictError(f"address {text} is changed by too many at once", hint="try again")

    async def _allocate_public(
        self, owner: App, asked: AddressRequest, ports: tuple[int, ...]
    ) -> Address:
        """Raises PreconditionError (no pool), ConflictError (it has the shared one already),
        InvalidError (too many ports in ranges).
        """
        for _ in range(_MAX_TRIES):
            given = list(self.on_network(PUBLIC_NETWORK))
            ip = str(self._context.public.choose(asked.type, {address.ip for address in given}))
            self._refuse_dedicated(asked.type, ip, given)
            ends = None if asked.lifetime_ms is None else self._now() + asked.lifetime_ms
            address = Address(
                ip=ip,
                app=owner.name,
                type=asked.type,
                org=owner.org,
                network="",
                network_id=PUBLIC_NETWORK,
                ports=ports,
                expires_at=ends,
                created_at=self._now(),
            )
            self._check_ranges(address)
            if self._store.get(Address, address.key) is not None:
                raise ConflictError(
                    f'app "{owner.name}" has the shared address {address.ip} already',
                    hint=f"`roost ips list -a {owner.name}` shows it",
                )
            if await self._committed([Put(address, expect=0), self.still(owner)]):
                return address
        raise ConflictError("public addresses are taken by too many at once", hint="try again")

    def _refuse_dedicated(self, kind: AddressType, ip: str, given: Iterable[Address]) -> None:
        """The pool may have been another one when an app got its own address."""
        for address in given:
            if kind is AddressType.SHARED_V4 and address.ip == ip and address.type is not kind:
                raise PreconditionError(
                    f"the address to share, {ip}, belongs to app {address.app!r}",
                    hint=f"release it (`roost ips release {ip} -a {address.app}`), or start Roost "
                    "with a --public-pool that begins with a free address",
                )

    def _check_ranges(self, address: Address) -> None:
        for stored in self._store.find(Machine, "app", address.app):
            if stored.record.state is not MachineState.DESTROYED:
                check_ranges(spans(stored.record.config.services), [address])

    def outside_pool(self) -> Sequence[Address]:
        """Public addresses that the pool has not: it was made smaller after they were given out."""
        pool = self._context.public.networks
        return [
            address
            for address in self.on_network(PUBLIC_NETWORK)
            if not any(ip_address(address.ip) in network for network in pool)
        ]

    def still(self, owner: App) -> Put:
        """The app written as it is, for the commit that gives it an address: so that it is not
        destroyed in between, nor given more addresses than it may have by two at once.

        Raises NotFoundError and ConflictError as `must_be_same`, PreconditionError (too many).
        """
        must_be_same(self._context, owner)
        if self._store.count(Address, "app", owner.name) >= MAX_ADDRESSES:
            raise PreconditionError(
                f'app "{owner.name}" has {MAX_ADDRESSES} addresses already',
                hint=f"release those that nobody needs: roost ips release IP -a {owner.name}",
            )
        current = find_app(self._store, owner.name)
        return Put(current.record, expect=current.revision)

    def _find(self, app: str, ip: str) -> Stored[Address]:
        for stored in self._store.find(Address, "app", app):
            if stored.record.ip == ip:
                return stored
        raise NotFoundError(
            f'app "{app}" has no address {ip}', hint=f"`roost ips list -a {app}` shows them"
        )

    async def _committed(self, changes: Iterable[Change]) -> bool:
        try:
            await self._store.commit(*changes)
        except ConflictError:
            return False
        return True

    def _now(self) -> int:
        return self._context.clock.now_ms()


def canonical(ip: str) -> str:
    """An address in the text in which it is stored. Raises InvalidError."""
    try:
        found = ip_address(ip)
    except ValueError:
        raise InvalidError(
            f"{ip!r} is not an IP address", hint="`roost ips list` shows the app's"
        ) from None
    return str(found)


def address_type(text: str) -> AddressType:
    """The kind that the API's word means. Raises InvalidError."""
    try:
        return AddressType(text)
    except ValueError:
        words = ", ".join(AddressType)
        raise InvalidError(f"{text!r} is not a type of address", hint=f"use {words}") from None
