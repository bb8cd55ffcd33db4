"""A store whose commits are made in order but late, as a disk's are: others run in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from roost.errors import RoostError
from roost.store.base import Change
from roost.store.memory import MemoryStore

TURNS = 3
"""Turns of the event loop in which commits gather for a flush, and as many that it takes."""


Waiting = tuple[tuple[Change, ...], asyncio.Future[int]]


class LaggingStore(MemoryStore):
    """Records in memory; what is committed is seen some turns of the event loop later, and what is
    committed meanwhile by the flush after that.
    """

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[Waiting] = []
        self._busy = False

    async def commit(self, *changes: Change) -> int:
        """Wait for the next flush."""
        if not changes:
            return self.revision()
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((changes, done))
        if not self._busy:
            self._busy = True
            _later(TURNS, self._take)
        return await done

    def _take(self) -> None:
        batch, self._waiting = self._waiting, []
        _later(TURNS, partial(self._flush, batch))

    def _flush(self, batch: list[Waiting]) -> None:
        for changes, done in batch:
            try:
                done.set_result(self.commit_now(*changes))
            except RoostError as error:
                done.set_exception(error)
        self._busy = bool(self._waiting)
        if self._busy:
            self._take()


def _later(turns: int, do: Callable[[], None]) -> None:
    if turns:
        asyncio.get_running_loop().call_soon(_later, turns - 1, do)
    else:
        do()
