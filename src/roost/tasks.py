"""Structured concurrency: the one place where tasks are made.

Every task has a name and lives in a TaskGroup that somebody awaits, so that no failure is lost
and shutting down is leaving a block.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class SingleFlight(Generic[K, T]):
    """At most one run of a job per key; whoever asks meanwhile shares its result.

    The job runs in the given TaskGroup, so a waiter that is cancelled does not cancel it for the
    others. An exception of the job is raised in every waiter and never tears the group down.
    """

    def __init__(self, group: asyncio.TaskGroup, name: str) -> None:
        self._group = group
        self._name = name
        self._running: dict[K, asyncio.Future[T]] = {}

    def busy(self, key: K) -> bool:
        """Whether a job for this key runs now."""
        return key in self._running

    async def run(self, key: K, job: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Join the running job of this key, or start it. Blocks until it is done."""
        future = self._running.get(key)
        if future is None:
            future = asyncio.get_running_loop().create_future()
            future.add_done_callback(_retrieve)
            self._running[key] = future
            self._group.create_task(self._work(key, job, future), name=f"{self._name}:{key}")
        return await asyncio.shield(future)

    async def _work(
        self, key: K, job: Callable[[], Coroutine[Any, Any, T]], future: asyncio.Future[T]
    ) -> None:
        try:
            result = await job()
        except asyncio.CancelledError:
            future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - handed to every waiter
            if not future.cancelled():
                future.set_exception(error)
        else:
            if not future.cancelled():
                future.set_result(result)
        finally:
            del self._running[key]


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Mark the exception as seen: a job whose waiters all left has already been logged by it."""
    if not future.cancelled():
        future.exception()
