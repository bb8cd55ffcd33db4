"""Numbers are given out once."""

from __future__ import annotations

import asyncio

import pytest

from roost.control.numbers import Numbers
from roost.errors import UnavailableError
from roost.model.records import Counter
from roost.store.base import Change
from roost.store.memory import MemoryStore


def test_first_number_is_one_and_series_are_apart() -> None:
    """Each series starts at 1 and grows by one."""

    async def check() -> None:
        numbers = Numbers(MemoryStore())
        assert [await numbers.take("a") for _ in range(3)] == [1, 2, 3]
        assert await numbers.take("b") == 1

    asyncio.run(check())


def test_a_burst_gets_distinct_numbers_in_few_commits() -> None:
    """Those who ask together get each another number, and share commits."""

    async def check() -> None:
        store = MemoryStore()
        numbers = Numbers(store)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(numbers.take("a")) for _ in range(100)]
        assert sorted(task.result() for task in tasks) == list(range(1, 101))
        assert store.revision() <= 3

    asyncio.run(check())


def test_a_new_process_goes_on_behind_the_last() -> None:
    """Nothing is given out again after a restart, also when two work on one store."""

    async def check() -> None:
        store = MemoryStore()
        one, two = Numbers(store), Numbers(store)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(n.take("a")) for n in (one, two) for _ in range(20)]
        assert sorted(task.result() for task in tasks) == list(range(1, 41))
        assert await Numbers(store).take("a") == 41

    asyncio.run(check())


def test_a_cancelled_asker_does_not_hold_up_others() -> None:
    """When the one who advances the series is cancelled, another does it."""

    async def check() -> None:
        numbers = Numbers(MemoryStore())
        async with asyncio.TaskGroup() as group:
            first = group.create_task(numbers.take("a"))
            others = [group.create_task(numbers.take("a")) for _ in range(3)]
            await asyncio.sleep(0)
            first.cancel()
        assert len({task.result() for task in others}) == 3

    asyncio.run(check())


class FullDisk(MemoryStore):
    """Refuses the first commit."""

    refused = False

    async def commit(self, *changes: Change) -> int:
        if not self.refused:
            self.refused = True
            raise UnavailableError("disk full")
        return await super().commit(*changes)


def test_a_failed_commit_gives_nothing_out() -> None:
    """The error reaches the asker, and the next one gets the number."""

    async def check() -> None:
        store = FullDisk()
        numbers = Numbers(store)
        with pytest.raises(UnavailableError):
            await numbers.take("a")
        assert await numbers.take("a") == 1
        stored = store.get(Counter, "a")
        assert stored is not None
        assert stored.record.value == 1

    asyncio.run(check())
