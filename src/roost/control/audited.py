"""The store as control uses it: a commit that somebody makes carries its own audit entry.

Entry and change are in one commit, so there is neither without the other. The host's agent has the
plain store: what it writes is what happened, not what somebody changed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence

from roost.clock import Clock
from roost.control.acting import Actor, acting
from roost.control.audit_words import Told, tell
from roost.model.access import AuditEntry
from roost.model.records import Record
from roost.store.base import Change, Commit, Delete, Put, R, Store, Stored

MAX_ENTRIES = 20_000
"""Entries kept of one organization, and of what belongs to none; each new one takes the place of
the oldest. Each has its own number, so that nobody makes another one's entries go.
"""
MAX_CHANGES = 20
"""Changes that an entry names; of more it gives the number."""
MAX_TEXT = 200
"""Characters of each text in an entry."""


class AuditedStore:
    """A store whose commits are written down when somebody acts; reads are the store's own."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        newest = next(iter(store.scan(AuditEntry, limit=1)), None)
        self._number = newest.record.number if newest else 0
        self._slots: dict[str, int] = {}
        """By organization, the slot of its newest entry."""

    async def commit(self, *changes: Change) -> int:
        """The store's commit, with an entry for each organization whose things are changed.

        Counters, leases and records written as they were are no changes. Raises as the store does;
        then nothing is written, the entry neither.
        """
        actor = acting()
        told = tell(self._store, changes) if actor is not None else []
        if actor is None or not told:
            return await self._store.commit(*changes)
        entries = [self._entry(actor, one) for one in told]
        old = [change for entry in entries for change in self._in_place_of(entry)]
        return await self._store.commit(*changes, *(Put(one, expect=0) for one in entries), *old)

    def _in_place_of(self, entry: AuditEntry) -> Sequence[Delete]:
        """Deletions of the entry that had the slot, MAX_ENTRIES of its organization ago."""
        found = self._store.find(AuditEntry, "slot", entry.indexes()["slot"])
        return [Delete(AuditEntry, stored.record.key) for stored in found]

    def _next_slot(self, org: str) -> int:
        if org not in self._slots:
            newest = self._store.find(AuditEntry, "org", org, limit=1)
            self._slots[org] = newest[0].record.slot if newest else -1
        self._slots[org] = (self._slots[org] + 1) % MAX_ENTRIES
        return self._slots[org]

    def _entry(self, actor: Actor, told: Told) -> AuditEntry:
        self._number += 1
        return AuditEntry(
            number=self._number,
            slot=self._next_slot(told.org),
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
