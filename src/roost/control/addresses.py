"""Flycast addresses: private, stable, one network each; any number per app.

Source: docs/networking/flycast. Without `network` an address lands on the default network of the
organization, even when the app itself is on a custom one.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import AddressValueError, IPv6Address

from roost.control.app_lookup import get_app
from roost.control.context import Context
from roost.control.networks import Networks
from roost.control.numbers import Numbers
from roost.errors import ConflictError, InvalidError, NotFoundError
from roost.model.addresses import flycast_address
from roost.model.records import Address, App, Machine, Network
from roost.store.base import Delete, Put

PRIVATE = "private_v6"
PUBLIC = frozenset({"v4", "v6", "shared_v4"})


class Addresses:
    """Give out, list and release addresses."""

    def __init__(self, context: Context, numbers: Numbers, networks: Networks) -> None:
        self._context = context
        self._store = context.store
        self._numbers = numbers
        self._networks = networks

    async def allocate(
        self,
        app: str,
        *,
        type: str = PRIVATE,  # noqa: A002 - the API's word
        network: str = "",
        org: str = "",
        region: str = "",
    ) -> Address:
        """A new address of an app on a network ("" is the default one) of an organization
        ("" is the app's own).

        Raises InvalidError (another type or region), NotFoundError (app, organization, network).
        """
        owner = get_app(self._store, app)
        self._check_type(type)
        if region not in ("", "global", self._context.host.region):
            raise InvalidError(
                f"region {region!r} does not exist here",
                hint="leave the region out: a private address works everywhere",
            )
        target = self._networks.get(org or owner.org, network)
        number = await self._numbers.take(f"flycast/{target.id}")
        address = Address(
            ip=str(flycast_address(target.id, number)),
            app=owner.name,
            org=target.org,
            network=target.name,
            network_id=target.id,
            created_at=self._context.clock.now_ms(),
        )
        try:
            await self._store.commit(Put(address, expect=0))
        except ConflictError as error:  # pragma: no cover - numbers are never given out twice
            raise ConflictError(f"address {address.ip} is taken", hint="try again") from error
        return address

    def list(self, app: str) -> list[Address]:
        """An app's addresses, oldest first. Raises NotFoundError."""
        name = get_app(self._store, app).name
        found = [stored.record for stored in self._store.find(Address, "app", name)]
        return sorted(found, key=lambda address: (address.created_at, IPv6Address(address.ip)))

    async def release(self, app: str, ip: str) -> Address:
        """Take an address from an app; its number is not used again.

        Raises InvalidError (no IPv6 address), NotFoundError (not this app's).
        """
        name = get_app(self._store, app).name
        try:
            text = str(IPv6Address(ip))
        except AddressValueError:
            raise InvalidError(f"{ip!r} is not an IPv6 address") from None
        stored = self._store.get(Address, text)
        if stored is None or stored.record.app != name:
            raise NotFoundError(
                f"app {name!r} has no address {text}", hint=f"`roost ips list -a {name}` shows them"
            )
        owner = self._store.get(App, name)
        assert owner is not None
        # The app comes along, so that whoever watches knows whose address it was.
        await self._store.commit(Delete(Address, text), Put(owner.record, expect=owner.revision))
        return stored.record

    def warnings(self, address: Address) -> Sequence[str]:
        """What may surprise about an address: sentences, each with what to do."""
        app = get_app(self._store, address.app)
        sentences = []
        if not self._has_services(app):
            sentences.append(
                f"app {app.name!r} has no Machine with a service yet, so nothing answers on "
                f"{address.ip}; deploy it with an [http_service] or [[services]] section"
            )
        if address.network_id != app.network_id:
            sentences.append(self._elsewhere(app, address))
        return sentences

    def _has_services(self, app: App) -> bool:
        machines = self._store.find(Machine, "app", app.name)
        return any(stored.record.config.services for stored in machines)

    def _elsewhere(self, app: App, address: Address) -> str:
        own: Network = self._networks.get_by_id(app.network_id)
        return (
            f"{address.ip} is on network {address.network!r} of organization {address.org!r} and "
            f"is reached from there only, not from the app's own network {own.name!r}"
        )

    def _check_type(self, kind: str) -> None:
        if kind == PRIVATE:
            return
        if kind in PUBLIC:
            raise InvalidError(
                f"addresses of type {kind!r} are not there yet: Roost has private ingress only",
                hint='use type "private_v6" (`roost ips allocate-v6 --private`)',
            )
        raise InvalidError(f"{kind!r} is not a type of address", hint='use type "private_v6"')
