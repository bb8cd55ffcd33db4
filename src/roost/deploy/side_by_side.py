"""Jobs that run side by side; the first error ends them all and is raised as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any


async def side_by_side(jobs: Iterable[Coroutine[Any, Any, None]], name: str) -> None:
    """Run all jobs and wait for them. Raises the first error of a job, the others cancelled."""
    try:
        async with asyncio.TaskGroup() as group:
            for number, job in enumerate(jobs):
                group.create_task(job, name=f"{name}:{number}")
    except BaseExceptionGroup as errors:
        raise first_of(errors) from None


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first single exception in a group of groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
