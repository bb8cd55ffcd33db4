"""Turns and workers: order, cancellation, and coming home."""

from __future__ import annotations

import asyncio
import errno
import threading

import pytest

from roost.errors import UnavailableError
from roost.network.worker import Turns, Worker


def test_turns_are_taken_one_by_one_for_each_key() -> None:
    """Holders of one key follow each other in order; another key does not wait."""

    async def main() -> None:
        turns, order = Turns(), list[str]()
        gate = asyncio.Event()

        async def take(key: str, name: str) -> None:
            async with turns.of(key):
                order.append(f"{name} in")
                await gate.wait()
                order.append(f"{name} out")

        async with asyncio.TaskGroup() as group:
            for key, name in (("a", "one"), ("a", "two"), ("b", "other")):
                group.create_task(take(key, name))
            await asyncio.sleep(0)
            assert ["one in", "other in"] == order
            gate.set()
        assert order.index("one out") < order.index("two in")
        assert {} == turns._locks

    asyncio.run(main())


def test_a_cancelled_wait_for_a_turn_leaves_no_trace() -> None:
    """Whoever gives up waiting for a turn does not keep others from theirs."""

    async def main() -> None:
        turns = Turns()
        async with turns.of("a"):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0), turns.of("a"):
                    pass
        async with turns.of("a"):
            pass
        assert {} == turns._locks

    asyncio.run(main())


def test_a_cancelled_job_is_waited_for() -> None:
    """Cancelling whoever waits for a job ends the wait only when the job is done."""

    async def main() -> None:
        worker, started, go = Worker("test", threads=1), threading.Event(), threading.Event()
        done: list[bool] = []

        def job() -> None:
            started.set()
            go.wait()
            done.append(True)

        async with asyncio.TaskGroup() as group:
            task = group.create_task(worker.run("test", job))
            await asyncio.to_thread(started.wait)
            task.cancel()
            await asyncio.sleep(0)
            assert not task.done()
            go.set()
        assert task.cancelled()
        assert [True] == done

    asyncio.run(main())


@pytest.mark.parametrize(
    ("number", "hint"),
    [(errno.EPERM, "run Roost as root"), (errno.ENOSPC, "user.max_net_namespaces")],
)
def test_system_errors_say_what_to_do(number: int, hint: str) -> None:
    """An OSError of a job becomes an UnavailableError that names the job and the fix."""

    def job() -> None:
        raise OSError(number, "no")

    async def main() -> None:
        await Worker("test", threads=1).run("do it", job)

    with pytest.raises(UnavailableError, match="cannot do it") as caught:
        asyncio.run(main())
    assert hint in str(caught.value.hint)
