"""Organizations: owners of apps and networks."""

from __future__ import annotations

from roost.control.context import Context
from roost.errors import ConflictError, NotFoundError
from roost.model.ids import app_name
from roost.model.records import Org
from roost.store.base import Put


def org_not_found(slug: str) -> NotFoundError:
    """The error for an organization that does not exist, or that the caller may not know of."""
    return NotFoundError(f"organization {slug!r} not found")


class Orgs:
    """Look up and make organizations."""

    def __init__(self, context: Context) -> None:
        self._store = context.store
        self._clock = context.clock

    def get(self, slug: str) -> Org:
        """The organization. Raises NotFoundError."""
        stored = self._store.get(Org, slug)
        if stored is None:
            raise org_not_found(slug)
        return stored.record

    def list(self) -> list[Org]:
        """All, by slug."""
        return [stored.record for stored in self._store.scan(Org)]

    async def ensure(self, slug: str, name: str) -> Org:
        """The organization, made when missing. Raises InvalidError for a malformed slug."""
        org = Org(slug=app_name(slug), name=name, created_at=self._clock.now_ms())
        try:
            await self._store.commit(Put(org, expect=0))
        except ConflictError:
            return self.get(slug)
        return org
