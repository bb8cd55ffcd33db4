"""What an organization lets `fly-replay` do: over its own networks, and from others' apps.

A replay reaches an app without an address of its own, so both are closed until somebody opens them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from roost.control.context import Context
from roost.control.orgs import Orgs
from roost.errors import ConflictError, InvalidError
from roost.model.records import Org
from roost.store.base import Change, Put, Store

MAX_SOURCES = 64
_MAX_TRIES = 8


class Replays:
    """Look up and change the settings of organizations about replays."""

    def __init__(self, context: Context, orgs: Orgs) -> None:
        self._store = context.store
        self._orgs = orgs

    async def set_cross_network(self, slug: str, allowed: bool) -> Org:
        """Allow or forbid replays between the networks of an organization.

        Raises NotFoundError, PreconditionError while it is being deleted, ConflictError.
        """
        return await self._edit(slug, lambda _: {"cross_network_replays": allowed})

    async def change_sources(
        self, slug: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> Org:
        """Add and remove organizations whose apps may replay requests to this one's.

        What is there already, or not there, is fine. Raises NotFoundError (this one, or one to be
        added), InvalidError (itself, or too many), PreconditionError, ConflictError.
        """
        if slug in add:
            raise InvalidError(
                f"organization {slug!r} cannot be a replay source of its own",
                hint="`roost orgs cross-network-replays enable` is for its own networks",
            )
        for source in add:
            self._orgs.must_be_open(source)

        def fn(org: Org) -> dict[str, object]:
            sources = tuple(sorted((set(org.replay_sources) | set(add)) - set(remove)))
            if len(sources) > MAX_SOURCES:
                raise InvalidError(f"an organization has at most {MAX_SOURCES} replay sources")
            return {"replay_sources": sources}

        return await self._edit(slug, fn)

    async def _edit(self, slug: str, fn: Callable[[Org], dict[str, object]]) -> Org:
        for _ in range(_MAX_TRIES):
            self._orgs.must_be_open(slug)
            stored = self._orgs.find(slug)
            changed = stored.record.model_copy(update=fn(stored.record))
            if changed == stored.record:
                return changed
            try:
                await self._store.commit(Put(changed, expect=stored.revision))
            except ConflictError:
                continue
            return changed
        raise ConflictError(f"organization {slug!r} is changed by too many at once")


def without_source(store: Store, slug: str) -> list[Change]:
    """The changes that take an organization out of all lists: who makes one of this slug later is
    somebody else.
    """
    changes: list[Change] = []
    for stored in store.scan(Org):
        if slug in stored.record.replay_sources:
            left = tuple(one for one in stored.record.replay_sources if one != slug)
            record = stored.record.model_copy(update={"replay_sources": left})
            changes.append(Put(record, expect=stored.revision))
    return changes
