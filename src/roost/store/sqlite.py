"""The store's default driver: one SQLite file in WAL mode.

Reads run on the event loop through a connection of their own: microseconds, and they see exactly
what was committed. Commits go to one writer thread, which lets those that arrive during a flush
share the next one (`sqlite_writer`). Only the newest commits are kept in memory, for watch.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from roost.errors import RoostError, UnavailableError
from roost.model.records import Record
from roost.store.base import Change, Commit, R, Stored
from roost.store.codec import decode, encode
from roost.store.history import LENGTH, History
from roost.store.sqlite_file import damaged, open_reader, open_writer
from roost.store.sqlite_writer import Job, Outcome, Writer

PAGE = 500
"""Records that scan() holds at a time."""
MAX_PENDING = 4096
"""Commits that may wait for the writer; more callers wait before they enter."""


@dataclass(slots=True)
class _Pending:
    changes: tuple[Change, ...]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[int]


class SqliteStore:
    """Records in one file. Use it from one event loop; open() and close() it there."""

    def __init__(self, path: Path, *, history: int = LENGTH) -> None:
        """Open or make the file. Raises UnavailableError. Blocks a few milliseconds."""
        self._path = path
        writer = open_writer(path)
        try:
            self._reader = open_reader(path)
        except UnavailableError:
            writer.close()
            raise
        self._closed = False
        revision = int(self._rows("SELECT revision FROM position", ())[0][0])
        self._history = History(revision, history)
        self._pending: dict[int, _Pending] = {}
        self._tickets = 0
        self._slots = asyncio.Semaphore(MAX_PENDING)
        self._writer = Writer(writer, path, self._report)
        self._writer.start()

    def get(self, kind: type[R], key: str) -> Stored[R] | None:
        """One record, or None. Raises UnavailableError when the file is damaged."""
        rows = self._rows(
            "SELECT key, revision, body FROM records WHERE kind = ? AND key = ?", (kind.kind, key)
        )
        return _stored(kind, rows[0]) if rows else None

    def find(
        self, kind: type[R], index: str, value: str, *, after: str = "", limit: int | None = None
    ) -> list[Stored[R]]:
        """Records whose index has this value, ordered by key, keys greater than `after`."""
        rows = self._rows(
            "SELECT records.key, revision, body FROM listed JOIN records USING (kind, key)"
            " WHERE listed.kind = ? AND name = ? AND value = ? AND listed.key > ?"
            " ORDER BY listed.key LIMIT ?",
            (kind.kind, index, value, after, -1 if limit is None else max(limit, 0)),
        )
        return [_stored(kind, row) for row in rows]

    def scan(
        self, kind: type[R], *, after: str = "", limit: int | None = None
    ) -> Iterator[Stored[R]]:
        """All records of a kind ordered by key; at most a page of them is in memory."""
        left = limit
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            rows = self._rows(
                "SELECT key, revision, body FROM records WHERE kind = ? AND key > ?"
                " ORDER BY key LIMIT ?",
                (kind.kind, after, size),
            )
            for row in rows:
                yield _stored(kind, row)
            if len(rows) < size:
                return
            after = str(rows[-1][0])
            left = None if left is None else left - len(rows)

    def count(self, kind: type[Record], index: str | None = None, value: str = "") -> int:
        """How many records of a kind (with this index value)."""
        if index is None:
            rows = self._rows("SELECT count(*) FROM records WHERE kind = ?", (kind.kind,))
        else:
            rows = self._rows(
                "SELECT count(*) FROM listed WHERE kind = ? AND name = ? AND value = ?",
                (kind.kind, index, value),
            )
        return int(rows[0][0])

    def revision(self) -> int:
        """Revision of the newest commit that was reported."""
        return self._history.revision

    async def commit(self, *changes: Change) -> int:
        """Apply all changes atomically and durably; returns the new revision.

        Waits for the disk, sharing its flush with others. A cancelled caller's commit is made all
        the same. Raises ConflictError, and UnavailableError when the disk refuses or the store is
        closed.
        """
        if not changes:
            return self.revision()
        async with self._slots:
            if self._closed:
                raise UnavailableError("the store is closed")
            rows = tuple(encode(change) for change in changes)
            loop = asyncio.get_running_loop()
            done: asyncio.Future[int] = loop.create_future()
            self._tickets += 1
            self._pending[self._tickets] = _Pending(changes, loop, done)
            self._writer.put(Job(rows, self._tickets))
            return await done

    def watch(self, after: int) -> AsyncIterator[Commit]:
        """Commits after a revision, as they happen. Raises ConflictError (see History.watch)."""
        return self._history.watch(after)

    async def close(self) -> None:
        """Finish what waits and release the file; a second call does nothing."""
        if self._closed:
            return
        self._closed = True
        # The reader goes first: SQLite removes its side files when the writer closes as the last.
        self._reader.close()
        await asyncio.to_thread(self._writer.stop)
        # What the writer reported last is queued on the loop ahead of this task's waking.
        self._history.close()

    def _report(self, outcomes: list[tuple[int, Outcome]]) -> None:
        """In the writer's thread: bring a batch's results to the loop."""
        loop = self._pending[outcomes[0][0]].loop
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(self._resolve, outcomes)

    def _resolve(self, outcomes: list[tuple[int, Outcome]]) -> None:
        for ticket, outcome in outcomes:
            pending = self._pending.pop(ticket)
            if isinstance(outcome, int):
                self._history.append(Commit(outcome, pending.changes))
            if pending.done.done():
                continue
            if isinstance(outcome, RoostError):
                pending.done.set_exception(outcome)
            else:
                pending.done.set_result(outcome)

    def _rows(self, statement: str, arguments: Sequence[str | int]) -> list[tuple[str, int, str]]:
        if self._closed:
            raise UnavailableError("the store is closed")
        try:
            return self._reader.execute(statement, arguments).fetchall()
        except sqlite3.Error as error:
            raise damaged(self._path, error) from error


def _stored(kind: type[R], row: tuple[str, int, str]) -> Stored[R]:
    key, revision, body = row
    return Stored(decode(kind, key, body), revision)
