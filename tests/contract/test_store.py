"""What every store driver must do, the one for tests included."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path

import pytest

from roost.errors import ConflictError, UnavailableError
from roost.model.records import App, Counter
from roost.store.base import Commit, Delete, Put, Store
from roost.store.memory import MemoryStore
from roost.store.sqlite import PAGE, SqliteStore
from tests.support.store_records import app, counter

Run = Callable[[Callable[[Store], Awaitable[None]]], None]


@pytest.fixture(params=["memory", "sqlite"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Runs a test body with an empty store of each driver (history: 8 commits)."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Store]:
        store: Store
        if request.param == "memory":
            store = MemoryStore(history=8)
        else:
            store = SqliteStore(tmp_path / "roost.db", history=8)
        try:
            yield store
        finally:
            await store.close()

    def runner(body: Callable[[Store], Awaitable[None]]) -> None:
        async def main() -> None:
            async with opened() as store:
                await body(store)

        asyncio.run(main())

    return runner


def test_get_returns_what_was_put(run: Run) -> None:
    """A committed record comes back equal, with the commit's revision."""

    async def body(store: Store) -> None:
        assert store.get(App, "one") is None
        revision = await store.commit(Put(app("one")))
        stored = store.get(App, "one")
        assert stored is not None
        assert (stored.record, stored.revision) == (app("one"), revision)
        assert store.revision() == revision == 1

    run(body)


def test_delete_removes_record_and_indexes(run: Run) -> None:
    """A deleted record is found no more; deleting what is missing is no error."""

    async def body(store: Store) -> None:
        await store.commit(Put(app("one")))
        await store.commit(Delete(App, "one"), Delete(App, "never"))
        assert store.get(App, "one") is None
        assert store.find(App, "org", "personal") == []
        assert store.count(App) == 0

    run(body)


def test_index_follows_the_record(run: Run) -> None:
    """A record whose index value changes is listed under the new value only."""

    async def body(store: Store) -> None:
        await store.commit(Put(app("one", org="a")), Put(app("two", org="a")))
        await store.commit(Put(app("one", org="b")))
        assert [s.record.name for s in store.find(App, "org", "a")] == ["two"]
        assert [s.record.name for s in store.find(App, "org", "b")] == ["one"]
        assert store.count(App, "org", "a") == 1
        assert store.count(App, "network", "1") == 2

    run(body)


def test_find_pages_by_key(run: Run) -> None:
    """`find` goes on after a key and stops at the limit."""

    async def body(store: Store) -> None:
        await store.commit(*(Put(app(name)) for name in ("d", "a", "c", "b")))
        page = store.find(App, "org", "personal", after="a", limit=2)
        assert [s.record.name for s in page] == ["b", "c"]
        assert store.find(App, "org", "personal", limit=0) == []

    run(body)


def test_scan_crosses_pages_in_order(run: Run) -> None:
    """`scan` yields each record once, by key, beyond one page, and honours its bounds."""

    async def body(store: Store) -> None:
        names = [f"c{number:05d}" for number in range(PAGE * 2 + 1)]
        await store.commit(*(Put(counter(name)) for name in reversed(names)))
        everything = islice(store.scan(Counter), len(names) + 1)
        assert [s.record.name for s in everything] == names
        assert [s.record.name for s in store.scan(Counter, after=names[3], limit=2)] == names[4:6]
        assert len(list(store.scan(Counter, limit=PAGE + 1))) == PAGE + 1
        assert store.count(Counter) == len(names)

    run(body)


def test_scan_survives_changes_meanwhile(run: Run) -> None:
    """Records that come and go during a scan neither break it nor repeat others."""

    async def body(store: Store) -> None:
        await store.commit(*(Put(counter(f"c{number:05d}")) for number in range(PAGE + 10)))
        seen = []
        for stored in islice(store.scan(Counter), 2 * PAGE):
            seen.append(stored.record.name)
            if len(seen) == 5:
                await store.commit(Delete(Counter, "c00001"), Put(counter("b")))
        assert seen == [f"c{number:05d}" for number in range(PAGE + 10)]

    run(body)


def test_commit_is_all_or_nothing(run: Run) -> None:
    """One change that fails its expectation leaves out the whole commit."""

    async def body(store: Store) -> None:
        revision = await store.commit(Put(counter("one", 1)))
        with pytest.raises(ConflictError, match="'one' exists already"):
            await store.commit(Put(counter("two")), Put(counter("one", 2), expect=0))
        assert store.get(Counter, "two") is None
        stored = store.get(Counter, "one")
        assert stored is not None
        assert stored.record.value == 1
        assert store.revision() == revision

    run(body)


@pytest.mark.parametrize("expect", [0, 2, 99])
def test_compare_and_set_refuses_other_revisions(run: Run, expect: int) -> None:
    """Only the stored revision passes; 0 means that there is none."""

    async def body(store: Store) -> None:
        revision = await store.commit(Put(counter("one", 1)))
        with pytest.raises(ConflictError):
            await store.commit(Put(counter("one", 2), expect=expect))
        with pytest.raises(ConflictError):
            await store.commit(Delete(Counter, "one", expect=expect))
        assert await store.commit(Put(counter("one", 3), expect=revision)) == revision + 1

    run(body)


def test_delete_with_expectation_needs_the_record(run: Run) -> None:
    """Deleting at a revision what is missing is a conflict; expecting absence is not."""

    async def body(store: Store) -> None:
        with pytest.raises(ConflictError, match="gone"):
            await store.commit(Delete(Counter, "one", expect=1))
        await store.commit(Delete(Counter, "one", expect=0))

    run(body)


def test_expectations_look_at_the_state_before_the_commit(run: Run) -> None:
    """All expectations of a commit are checked before any of its changes is applied."""

    async def body(store: Store) -> None:
        await store.commit(Put(counter("one", 1), expect=0), Put(counter("one", 2), expect=0))
        stored = store.get(Counter, "one")
        assert stored is not None
        assert stored.record.value == 2

    run(body)


def test_one_of_many_concurrent_creators_wins(run: Run) -> None:
    """Of concurrent commits that expect absence exactly one succeeds, others see its record."""

    async def body(store: Store) -> None:
        async def attempt(value: int) -> int | None:
            try:
                await store.commit(Put(counter("one", value), expect=0))
            except ConflictError:
                assert store.get(Counter, "one") is not None
                return None
            return value

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(attempt(value)) for value in range(50)]
        winners = [task.result() for task in tasks if task.result() is not None]
        stored = store.get(Counter, "one")
        assert stored is not None
        assert [stored.record.value] == winners

    run(body)


def test_revisions_grow_by_one_under_concurrency(run: Run) -> None:
    """Concurrent commits get distinct, gapless revisions, also when some of them fail."""

    async def body(store: Store) -> None:
        async def attempt(number: int) -> int | None:
            try:
                expect = 7 if number % 3 == 0 else None
                return await store.commit(Put(counter(f"c{number}"), expect=expect))
            except ConflictError:
                return None

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(attempt(number)) for number in range(90)]
        revisions = sorted(task.result() or 0 for task in tasks)
        assert revisions == [0] * 30 + list(range(1, 61))
        assert store.revision() == 60

    run(body)


def test_commits_are_made_in_the_order_in_which_they_began(run: Run) -> None:
    """When a commit returns, or is refused, all that were begun before it are visible."""

    async def body(store: Store) -> None:
        await store.commit(Put(app("there")))
        async with asyncio.TaskGroup() as group:
            for number in range(300):
                group.create_task(store.commit(Put(counter(f"c{number}"))))
            await asyncio.sleep(0)
            with pytest.raises(ConflictError):
                await store.commit(Put(app("there"), expect=0))
            assert store.count(Counter) == 300

    run(body)


def test_an_empty_commit_writes_nothing(run: Run) -> None:
    """Without changes there is no new revision."""

    async def body(store: Store) -> None:
        assert await store.commit() == 0
        assert store.revision() == 0

    run(body)


def test_watch_sees_every_commit_once_in_order(run: Run) -> None:
    """A watch yields the commits after its revision, made before and after it began."""

    async def body(store: Store) -> None:
        await store.commit(Put(counter("one", 1)))
        await store.commit(Put(counter("two", 2)))
        seen: list[Commit] = []

        async def follow() -> None:
            async for commit in store.watch(1):
                seen.append(commit)
                if commit.revision == 4:
                    return

        async with asyncio.TaskGroup() as group:
            group.create_task(follow())
            await store.commit(Delete(Counter, "one"))
            await store.commit(Put(counter("three", 3)), Put(counter("four", 4)))
        assert [commit.revision for commit in seen] == [2, 3, 4]
        assert seen[0].changes == (Put(counter("two", 2)),)
        assert seen[1].changes == (Delete(Counter, "one"),)
        assert seen[2].changes == (Put(counter("three", 3)), Put(counter("four", 4)))

    run(body)


def test_watch_leaves_out_failed_commits(run: Run) -> None:
    """What was refused is not seen."""

    async def body(store: Store) -> None:
        with pytest.raises(ConflictError):
            await store.commit(Put(counter("one"), expect=5))
        await store.commit(Put(counter("two")))
        async for commit in store.watch(0):
            assert commit.changes == (Put(counter("two")),)
            break

    run(body)


def test_watch_refuses_forgotten_history(run: Run) -> None:
    """A revision that the bounded history no longer reaches raises ConflictError."""

    async def body(store: Store) -> None:
        for number in range(10):
            await store.commit(Put(counter("one", number)))
        with pytest.raises(ConflictError, match="history"):
            await anext(aiter(store.watch(1)))
        assert (await anext(aiter(store.watch(2)))).revision == 3

    run(body)


def test_a_slow_watcher_is_told(run: Run) -> None:
    """A watcher that falls out of the history gets ConflictError, never a gap."""

    async def body(store: Store) -> None:
        await store.commit(Put(counter("one", 0)))
        watch = aiter(store.watch(0))
        assert (await anext(watch)).revision == 1
        for number in range(9):
            await store.commit(Put(counter("one", number)))
        with pytest.raises(ConflictError):
            await anext(watch)

    run(body)


def test_close_ends_watches_and_refuses_commits(run: Run) -> None:
    """After close a watch ends and a commit fails with a sentence."""

    async def body(store: Store) -> None:
        seen: list[int] = []

        async def follow() -> None:
            seen.extend([commit.revision async for commit in store.watch(0)])

        async with asyncio.TaskGroup() as group:
            group.create_task(follow())
            await store.commit(Put(counter("one")))
            await store.close()
        assert seen == [1]
        with pytest.raises(UnavailableError, match="closed"):
            await store.commit(Put(counter("two")))

    run(body)
