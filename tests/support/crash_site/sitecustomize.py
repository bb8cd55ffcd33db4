"""Ends the daemon like kill -9 at a chosen moment: put this folder on PYTHONPATH.

CRASH_BEFORE=N ends the process before its N-th step (from 0), CRASH_AFTER=N right after it.
"""

from __future__ import annotations

import os
from typing import Any


def _install(number: int, *, before: bool) -> None:
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


for _name, _before in (("CRASH_BEFORE", True), ("CRASH_AFTER", False)):
    if _name in os.environ and os.environ.get("ROOST_UP_FDS"):
        _install(int(os.environ[_name]), before=_before)
