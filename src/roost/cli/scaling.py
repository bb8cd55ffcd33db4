"""What `scale count` asks for, and the plan that is shown before. Pure.

The server decides and carries out; counterpart: `roost.plan.scaling`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from roost.cli.views import MachineView
from roost.errors import InvalidError
from roost.plan.scaling import wanted_count

_WORD = re.compile(r"(?:([A-Za-z0-9_.-]+)=)?([+-]?\d{1,6})")


def asked_counts(words: Sequence[str], *, group: str) -> dict[str, str]:
    """Group → number of `scale count WORDS`: a bare number is for `group`.

    Raises InvalidError for anything else than `3`, `+1`, `-1` and `NAME=3`.
    """
    counts: dict[str, str] = {}
    for word in words:
        match = _WORD.fullmatch(word)
        if match is None:
            raise InvalidError(f"{word!r} is no count", hint="such as 3, +1 or web=2")
        counts[match[1] or group] = match[2]
    return counts


def plan_lines(counts: Mapping[str, str], machines: Iterable[MachineView]) -> list[str]:
    """A line for each group that changes, such as `+2 machines for group 'app'`."""
    known = [m for m in machines if m.managed and m.state not in {"destroyed", "destroying"}]
    lines = []
    for group, asked in counts.items():
        members = [m for m in known if m.group == group]
        change = wanted_count(asked, len(members)) - len(members)
        if change:
            noun = "machine" if abs(change) == 1 else "machines"
            lines.append(f"{change:+d} {noun} for group '{group}'{_where(members)}")
    return lines


def _where(members: Sequence[MachineView]) -> str:
    if not members:
        return ""
    return f" on region '{members[0].region}' with size '{members[0].size}'"
