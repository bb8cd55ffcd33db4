"""The store's driver for tests: dictionaries, nothing on disk, the same contract as sqlite."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

from roost.errors import UnavailableError
from roost.model.records import Record
from roost.store.base import Change, Commit, Delete, Put, R, Stored
from roost.store.conflict import conflict
from roost.store.history import LENGTH, History

Bucket = tuple[str, str, str]


class MemoryStore:
    """Records in this process's memory; everything is lost with it."""

    def __init__(self, *, history: int = LENGTH) -> None:
        self._rows: dict[str, dict[str, Stored[Any]]] = defaultdict(dict)
        self._keys: dict[str, list[str]] = defaultdict(list)
        self._buckets: dict[Bucket, list[str]] = defaultdict(list)
        self._history = History(0, history)
        self._closed = False

    def get(self, kind: type[R], key: str) -> Stored[R] | None:
        """One record, or None."""
        return cast("Stored[R] | None", self._rows[kind.kind].get(key))

    def find(
        self, kind: type[R], index: str, value: str, *, after: str = "", limit: int | None = None
    ) -> list[Stored[R]]:
        """Records whose index has this value, ordered by key."""
        keys = _slice(self._buckets.get((kind.kind, index, value), []), after, limit)
        return [cast("Stored[R]", self._rows[kind.kind][key]) for key in keys]

    def scan(
        self, kind: type[R], *, after: str = "", limit: int | None = None
    ) -> Iterator[Stored[R]]:
        """All records of a kind ordered by key."""
        for key in _slice(self._keys[kind.kind], after, limit):
            stored = self._rows[kind.kind].get(key)
            if stored is not None:
                yield cast("Stored[R]", stored)

    def count(self, kind: type[Record], index: str | None = None, value: str = "") -> int:
        """How many records of a kind (with this index value)."""
        if index is None:
            return len(self._keys[kind.kind])
        return len(self._buckets.get((kind.kind, index, value), []))

    def revision(self) -> int:
        """Revision of the newest commit."""
        return self._history.revision

    async def commit(self, *changes: Change) -> int:
        """Apply all changes or none; gives way to other tasks once, as a real flush does."""
        try:
            return self.commit_now(*changes)
        finally:
            await asyncio.sleep(0)

    def commit_now(self, *changes: Change) -> int:
        """The same at once, for fakes that must act inside a synchronous call."""
        if self._closed:
            raise UnavailableError("the store is closed")
        if not changes:
            return self.revision()
        for change in changes:
            self._check(change)
        revision = self.revision() + 1
        for change in changes:
            self._apply(change, revision)
        self._history.append(Commit(revision, tuple(changes)))
        return revision

    def watch(self, after: int) -> AsyncIterator[Commit]:
        """Commits after a revision, as they happen."""
        return self._history.watch(after)

    async def close(self) -> None:
        """End all watches."""
        self._closed = True
        self._history.close()

    def _check(self, change: Change) -> None:
        kind, key = _identity(change)
        stored = self._rows[kind].get(key)
        found = stored.revision if stored else 0
        if change.expect is not None and change.expect != found:
            raise conflict(kind, key, change.expect, found)

    def _apply(self, change: Change, revision: int) -> None:
        kind, key = _identity(change)
        old = self._rows[kind].pop(key, None)
        if old is not None:
            _remove(self._keys[kind], key)
            for name, value in old.record.indexes().items():
                _remove(self._buckets[kind, name, value], key)
        if isinstance(change, Put):
            self._rows[kind][key] = Stored(change.record, revision)
            insort(self._keys[kind], key)
            for name, value in change.record.indexes().items():
                insort(self._buckets[kind, name, value], key)


def _identity(change: Change) -> tuple[str, str]:
    match change:
        case Put(record=record):
            return record.kind, record.key
        case Delete(kind=kind, key=key):
            return kind.kind, key


def _slice(keys: list[str], after: str, limit: int | None) -> list[str]:
    start = bisect_right(keys, after) if after else 0
    return keys[start:] if limit is None else keys[start : start + max(limit, 0)]


def _remove(keys: list[str], key: str) -> None:
    position = bisect_left(keys, key)
    if position < len(keys) and keys[position] == key:
        del keys[position]
