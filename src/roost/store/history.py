"""The newest commits of this process, and those who wait for the next one.

A ring of bounded length: a watcher that falls out of it is told to look at the records again
(ConflictError). Lives on the event loop; nothing here is called from another thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from roost.errors import ConflictError
from roost.store.base import Commit

LENGTH = 4096


class History:
    """Commits with revisions `floor`+1 … `revision`, at most `length` of them."""

    def __init__(self, revision: int, length: int = LENGTH) -> None:
        self._ring: list[Commit | None] = [None] * length
        self._start = revision
        self._revision = revision
        self._waiters: set[asyncio.Future[None]] = set()
        self._closed = False

    @property
    def revision(self) -> int:
        """Revision of the newest commit."""
        return self._revision

    def append(self, commit: Commit) -> None:
        """Add the next commit and wake all watchers. Never blocks."""
        self._ring[commit.revision % len(self._ring)] = commit
        self._revision = commit.revision
        self._wake()

    def close(self) -> None:
        """End all watches after what is there."""
        self._closed = True
        self._wake()

    async def watch(self, after: int) -> AsyncIterator[Commit]:
        """Commits after a revision, in order, until close().

        Raises ConflictError when `after` is older than the ring reaches back, also later on, when
        the reader was too slow.
        """
        position = after
        while True:
            while position < self._revision:
                commit = self._at(position + 1)
                position += 1
                yield commit
            if self._closed:
                return
            await self._next()

    def _at(self, revision: int) -> Commit:
        commit = self._ring[revision % len(self._ring)]
        if revision <= self._start or commit is None or commit.revision != revision:
            raise ConflictError(
                f"commit {revision} is no longer in the history",
                hint="read the records again and watch from the current revision",
                code="history_lost",
            )
        return commit

    async def _next(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
