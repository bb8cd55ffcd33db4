"""The store as control uses it: a commit that somebody makes carries its own audit entry.

Entry and change are in one commit, so there is neither without the other. The host's agent has the
plain store: what it writes is what happened, not what somebody changed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

from roost.clock import Clock
from roost.control.acting import Actor, acting
from roost.control.audit_words import Told, tell
from roost.model.access import AuditEntry, audit_key
from roost.model.records import Record
from roost.store.base import Change, Commit, Delete, Put, R, Store, Stored

MAX_ENTRIES = 100_000
"""Entries kept; each new one takes the oldest one's place."""
MAX_CHANGES = 20
"""Changes that an entry names; of more it gives the number."""
MAX_TEXT = 200
"""Characters of each text in an entry."""
_BATCH = 64
_SLACK = 1024
"""Numbers looked through at the start for entries that a failed commit did not remove."""


class AuditedStore:
    """A store whose commits are written down when somebody acts; reads are the store's own."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        newest = next(iter(store.scan(AuditEntry, limit=1)), None)
        self._number = newest.record.number if newest else 0
        self._pruned = max(0, self._number - MAX_ENTRIES - _SLACK)
        """All entries up to this number are gone."""

    async def commit(self, *changes: Change) -> int:
        """The store's commit, with an entry for each organization whose things are changed.

        Counters, leases and records written as they were are no changes. Raises as the store does;
        then nothing is written, the entry neither.
        """
        actor = acting()
        told = tell(self._store, changes) if actor is not None else []
        if actor is None or not told:
            return await self._store.commit(*changes)
        entries = [Put(self._entry(actor, one), expect=0) for one in told]
        last = min(self._number - MAX_ENTRIES, self._pruned + _BATCH)
        old = [
            Delete(AuditEntry, audit_key(number)) for number in range(self._pruned + 1, last + 1)
        ]
        revision = await self._store.commit(*changes, *entries, *old)
        # Only now: a commit that failed has removed nothing.
        self._pruned = max(self._pruned, last)
        return revision

    def _entry(self, actor: Actor, told: Told) -> AuditEntry:
        self._number += 1
        return AuditEntry(
            number=self._number,
            at=self._clock.now_ms(),
            actor=actor.name,
            token=actor.token,
            actor_org=actor.org or "",
            action=actor.action[:MAX_TEXT],
            source=actor.source[:MAX_TEXT],
            org=told.org,
            app=told.app,
            changes=_bounded(told.changes),
        )

    def get(self, kind: type[R], key: str) -> Stored[R] | None:
        """One record, or None."""
        return self._store.get(kind, key)

    def find(
        self, kind: type[R], index: str, value: str, *, after: str = "", limit: int | None = None
    ) -> list[Stored[R]]:
        """Records whose index has this value, ordered by key."""
        return self._store.find(kind, index, value, after=after, limit=limit)

    def scan(
        self, kind: type[R], *, after: str = "", limit: int | None = None
    ) -> Iterator[Stored[R]]:
        """All records of a kind ordered by key."""
        return self._store.scan(kind, after=after, limit=limit)

    def count(self, kind: type[Record], index: str | None = None, value: str = "") -> int:
        """How many records of a kind (with this index value)."""
        return self._store.count(kind, index, value)

    def revision(self) -> int:
        """Revision of the newest commit."""
        return self._store.revision()

    def watch(self, after: int) -> AsyncIterator[Commit]:
        """Commits after a revision, as they happen."""
        return self._store.watch(after)

    async def close(self) -> None:
        """Close the store."""
        await self._store.close()


def _bounded(changes: Sequence[str]) -> tuple[str, ...]:
    named = tuple(text[:MAX_TEXT] for text in changes[:MAX_CHANGES])
    left = len(changes) - len(named)
    return (*named, f"and {left} more") if left else named
