"""The thread that writes: takes all commits that wait, one transaction and one flush for them.

Each commit is checked against what the ones before it in the transaction wrote, so one whose
expectation fails is left out alone. Results are reported only after the flush: whoever is told
of a conflict sees, when reading again, what it conflicts with.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from roost.errors import RoostError, UnavailableError
from roost.store.codec import Row, decode_indexes, encode_indexes
from roost.store.conflict import conflict
from roost.store.sqlite_file import damaged

MAX_BATCH = 256
"""Commits per transaction: bounds how long the first of them waits for the last."""

Outcome = int | RoostError
"""A commit's revision, or why it was not made."""


@dataclass(frozen=True, slots=True)
class Job:
    """One commit to write. `rows` are checked together, then applied in order."""

    rows: tuple[Row, ...]
    ticket: int


Report = Callable[[list[tuple[int, Outcome]]], None]
"""Called in the writer's thread with (ticket, outcome) of each commit of a batch, in order."""


class Writer:
    """Owns the writing connection and its thread."""

    def __init__(self, connection: sqlite3.Connection, path: Path, report: Report) -> None:
        self._connection = connection
        self._path = path
        self._report = report
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="roost-store", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def put(self, job: Job) -> None:
        """Hand over a commit. Never blocks; the caller bounds how many wait."""
        self._queue.put(job)

    def stop(self) -> None:
        """Write what waits, then close the file. Blocks until done."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        open_ = True
        while open_:
            batch, open_ = self._take()
            if batch:
                self._report(self._write(batch))
        with suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()

    def _take(self) -> tuple[list[Job], bool]:
        batch: list[Job] = []
        job = self._queue.get()
        while job is not None:
            batch.append(job)
            if len(batch) == MAX_BATCH:
                return batch, True
            try:
                job = self._queue.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False

    def _write(self, batch: list[Job]) -> list[tuple[int, Outcome]]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            outcomes = self._apply_all(batch)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            failure: RoostError = damaged(self._path, error)
            return [(job.ticket, failure) for job in batch]
        except Exception as error:  # noqa: BLE001 - the thread must live on; every waiter is told
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            failure = UnavailableError(f"writing to {self._path} failed: {error}")
            return [(job.ticket, failure) for job in batch]
        return outcomes

    def _apply_all(self, batch: list[Job]) -> list[tuple[int, Outcome]]:
        row = self._connection.execute("SELECT revision FROM position").fetchone()
        start = revision = int(row[0])
        outcomes: list[tuple[int, Outcome]] = []
        for job in batch:
            problem = self._check(job.rows)
            if problem is not None:
                outcomes.append((job.ticket, problem))
                continue
            revision += 1
            for change in job.rows:
                self._apply(change, revision)
            outcomes.append((job.ticket, revision))
        if revision != start:
            self._connection.execute("UPDATE position SET revision = ?", (revision,))
        return outcomes

    def _check(self, rows: tuple[Row, ...]) -> RoostError | None:
        for row in rows:
            if row.expect is None:
                continue
            found = self._connection.execute(
                "SELECT revision FROM records WHERE kind = ? AND key = ?", (row.kind, row.key)
            ).fetchone()
            revision = int(found[0]) if found else 0
            if revision != row.expect:
                return conflict(row.kind, row.key, row.expect, revision)
        return None

    def _apply(self, row: Row, revision: int) -> None:
        found = self._connection.execute(
            "SELECT indexes FROM records WHERE kind = ? AND key = ?", (row.kind, row.key)
        ).fetchone()
        before = decode_indexes(found[0]) if found else set()
        after = set(row.indexes)
        self._connection.executemany(
            "DELETE FROM listed WHERE kind = ? AND name = ? AND value = ? AND key = ?",
            [(row.kind, name, value, row.key) for name, value in before - after],
        )
        self._connection.executemany(
            "INSERT INTO listed VALUES (?, ?, ?, ?)",
            [(row.kind, name, value, row.key) for name, value in after - before],
        )
        if row.body is None:
            self._connection.execute(
                "DELETE FROM records WHERE kind = ? AND key = ?", (row.kind, row.key)
            )
            return
        self._connection.execute(
            "INSERT INTO records VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (kind, key)"
            " DO UPDATE SET revision = ?3, indexes = ?4, body = ?5",
            (row.kind, row.key, revision, encode_indexes(row.indexes), row.body),
        )
