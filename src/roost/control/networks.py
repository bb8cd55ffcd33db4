"""Private networks: made by naming them, numbered for ever."""

from __future__ import annotations

from roost.control.context import Context
from roost.control.numbers import Numbers
from roost.control.orgs import Orgs
from roost.errors import ConflictError, NotFoundError
from roost.model.ids import network_name
from roost.model.records import Network
from roost.store.base import Put


class Networks:
    """Look up and make networks. A network outlives its last app, and keeps its id."""

    def __init__(self, context: Context, numbers: Numbers, orgs: Orgs) -> None:
        self._store = context.store
        self._clock = context.clock
        self._numbers = numbers
        self.orgs = orgs

    async def ensure(self, org: str, name: str) -> Network:
        """The network `name` ("" is the default one) of an organization, made when missing.

        Raises InvalidError (malformed name), NotFoundError (no such organization),
        PreconditionError (it is being deleted).
        """
        slug = self.orgs.must_be_open(org).slug
        checked = network_name(name)
        stored = self._store.get(Network, f"{slug}/{checked}")
        if stored is not None:
            return stored.record
        network = Network(
            id=await self._numbers.take("network"),
            org=slug,
            name=checked,
            created_at=self._clock.now_ms(),
        )
        try:
            await self._store.commit(Put(network, expect=0))
        except ConflictError:
            return self.get(slug, checked)
        return network

    def get(self, org: str, name: str) -> Network:
        """A network by name ("" is the default one). Raises InvalidError, NotFoundError."""
        slug = self.orgs.get(org).slug
        checked = network_name(name)
        stored = self._store.get(Network, f"{slug}/{checked}")
        if stored is None:
            raise NotFoundError(
                f"network {checked!r} of organization {slug!r} not found",
                hint=f"`roost apps create NAME --network {checked}` makes it",
            )
        return stored.record

    def get_by_id(self, network_id: int) -> Network:
        """A network by its id. Raises NotFoundError."""
        found = self._store.find(Network, "id", str(network_id), limit=1)
        if not found:
            raise NotFoundError(f"network {network_id} not found")
        return found[0].record

    def list(self, org: str | None = None) -> list[Network]:
        """All networks, or those of one organization, by organization and name."""
        return [
            stored.record
            for stored in self._store.scan(Network)
            if org is None or stored.record.org == org
        ]
