"""Numbers that are given out once and never again: network ids, Machine numbers, versions.

A series' Counter record holds the last number given out. It is advanced and flushed before
anybody sees the number, so a crash leaves a gap, never a repetition. Those who ask while an advance
is being flushed share the next one: a burst of a thousand creates costs a few flushes, where a
counter in the creating commit itself would let one of them through per flush.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from roost.errors import ConflictError
from roost.model.records import Counter
from roost.store.base import Put, Store

MAX_TRIES = 32


@dataclass(slots=True)
class _Series:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: dict[asyncio.Future[int], None] = field(default_factory=dict)
    """In order of arrival."""
    users: int = 0


class Numbers:
    """Gives out the next number of a series (the first is 1)."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._series: dict[str, _Series] = {}

    async def take(self, name: str) -> int:
        """The next number of series `name`. Waits for one or two flushes."""
        series = self._series.setdefault(name, _Series())
        series.users += 1
        mine: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        series.waiting[mine] = None
        try:
            async with series.lock:
                if not mine.done():
                    await self._lead(name, series, mine)
            return mine.result()
        finally:
            series.waiting.pop(mine, None)
            series.users -= 1
            if not series.users:
                del self._series[name]

    async def _lead(self, name: str, series: _Series, mine: asyncio.Future[int]) -> None:
        """Advance for all who wait now, oneself among them; later ones wait for the lock."""
        batch = list(series.waiting)
        first = await self._advance(name, len(batch))
        for offset, waiter in enumerate(batch):
            if waiter in series.waiting:
                del series.waiting[waiter]
                waiter.set_result(first + offset)
        assert mine.done()

    async def _advance(self, name: str, count: int) -> int:
        for _ in range(MAX_TRIES):
            stored = self._store.get(Counter, name)
            last = stored.record.value if stored else 0
            expect = stored.revision if stored else 0
            try:
                await self._store.commit(Put(Counter(name=name, value=last + count), expect=expect))
            except ConflictError:
                continue
            return last + 1
        raise ConflictError(f"numbers of {name!r} are taken by too many at once", hint="try again")
