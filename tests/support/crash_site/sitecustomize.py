"""Ends the daemon like kill -9 at a chosen moment: put this folder on PYTHONPATH.

CRASH_BEFORE=N ends the process before its N-th step (from 0), CRASH_AFTER=N right after it.
CRASH_WRITE=before or after ends it at the first commit that writes or removes a grant or address.
"""

from __future__ import annotations

import os
from typing import Any


def _at_step(number: int, *, before: bool) -> None:
    from roost.agent.steps import Steps

    execute = Steps.execute
    count = 0

    async def crashing(self: Steps, step: Any, machine: Any) -> None:
        nonlocal count
        mine, count = count, count + 1
        if before and mine == number:
            os._exit(137)
        await execute(self, step, machine)
        if mine == number:
            os._exit(137)

    Steps.execute = crashing  # type: ignore[method-assign]


def _at_write(*, before: bool) -> None:
    from roost.store.sqlite import SqliteStore

    commit = SqliteStore.commit

    async def crashing(self: SqliteStore, *changes: Any) -> int:
        whats = [getattr(change, "record", None) or change.kind for change in changes]
        mine = any(what.kind in {"grant", "address"} for what in whats)
        if mine and before:
            os._exit(137)
        revision = await commit(self, *changes)
        if mine:
            os._exit(137)
        return revision

    SqliteStore.commit = crashing  # type: ignore[method-assign]


if os.environ.get("ROOST_UP_FDS"):
    for _name, _before in (("CRASH_BEFORE", True), ("CRASH_AFTER", False)):
        if _name in os.environ:
            _at_step(int(os.environ[_name]), before=_before)
    if "CRASH_WRITE" in os.environ:
        _at_write(before=os.environ["CRASH_WRITE"] == "before")
