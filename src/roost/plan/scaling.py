"""How many Machines a process group gets when somebody scales it, and which ones go.

Pure. Counterpart: `roost.deploy.scaler`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from roost.errors import InvalidError
from roost.model.machine_state import MachineState
from roost.plan.rollout import Present

MOST_MACHINES = 1000
"""Machines of one process group."""

_COUNT = re.compile(r"[+-]?[0-9]{1,6}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What to do to one group: `create` so many, or destroy these."""

    group: str
    create: int = 0
    destroy: tuple[str, ...] = ()


def wanted_count(asked: str | int, present: int) -> int:
    """The number meant by `3`, `"3"`, `"+1"` or `"-1"`; going below none counts as none.

    Raises InvalidError when it is no number, or too many.
    """
    text = str(asked).strip()
    if isinstance(asked, bool) or not _COUNT.fullmatch(text):
        raise InvalidError(f"{asked!r} is not a number of Machines", hint="write 3, +1 or -1")
    relative = isinstance(asked, str) and text[0] in "+-"
    if not relative and int(text) < 0:
        raise InvalidError(f"{asked} Machines are not possible", hint="write 0 or more")
    count = max(0, present + int(text)) if relative else int(text)
    if count > MOST_MACHINES:
        raise InvalidError(
            f"{count} Machines of one group are too many", hint=f"at most {MOST_MACHINES}"
        )
    return count


def plan_scale(group: str, asked: str | int, present: Sequence[Present]) -> Change:
    """The change that brings a group to the number asked for. Raises InvalidError.

    Machines that do not run go first, then those made last (ids sort last).
    """
    count = wanted_count(asked, len(present))
    surplus = len(present) - count
    if surplus <= 0:
        return Change(group=group, create=-surplus)
    keep_longest = sorted(present, key=lambda one: (one.state is MachineState.STARTED, one.id))
    return Change(group=group, destroy=tuple(one.id for one in keep_longest[:surplus]))
