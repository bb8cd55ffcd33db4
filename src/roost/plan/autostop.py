"""Which idle Machines go to sleep: decided every second, any number in one pass.

The rule is Fly's (docs/reference/fly-proxy-autostop-autostart): per app and region, with more
than one Machine running, `excess = running - (running at or over soft + 1)`; with exactly one, it
sleeps only when its load is 0. Roost acts once the excess has lasted `auto_stop_after`, and then on
all of it at once. Only a Machine with load 0 is chosen, the longest unused first.
`min_machines_running` is a floor in the primary region. Leased Machines are not touched.

Pure: the caller keeps the returned memory and gives it back the next second.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Action = Literal["stop", "suspend"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLoad:
    """One service of a running Machine: highest load within the past second, and now."""

    peak: int
    now: int
    soft_limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A running Machine as the rule sees it.

    `group` names the Machines that share a pool (app, region, external ports). `after_ms` is its
    auto_stop_after, `floor` its min_machines_running where that counts (else 0).
    """

    id: str
    group: tuple[str, str, tuple[int, ...]]
    action: Action
    after_ms: int
    floor: int
    leased: bool
    since_ms: int
    loads: tuple[ServiceLoad, ...]

    @property
    def idle(self) -> bool:
        """Whether nothing uses it at this moment."""
        return all(load.now == 0 for load in self.loads)

    @property
    def used(self) -> bool:
        """Whether anything used it within the past second."""
        return any(load.peak > 0 for load in self.loads)

    @property
    def over_soft(self) -> bool:
        """Whether a service is at or over its soft limit."""
        return any(load.peak >= load.soft_limit for load in self.loads)


@dataclass(frozen=True, slots=True)
class Memory:
    """Since when (ms) each group has had an excess, and when each Machine was last used."""

    excess_since: Mapping[tuple[str, str, tuple[int, ...]], int] = field(default_factory=dict)
    last_used: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sleep:
    """Put this Machine to sleep, if its load is still 0."""

    machine: str
    action: Action


def decide(
    machines: Iterable[Candidate], memory: Memory, now_ms: int
) -> tuple[list[Sleep], Memory]:
    """One pass over all running Machines whose services ask for autostop."""
    groups: dict[tuple[str, str, tuple[int, ...]], list[Candidate]] = defaultdict(list)
    for machine in machines:
        groups[machine.group].append(machine)
    since: dict[tuple[str, str, tuple[int, ...]], int] = {}
    last_used: dict[str, int] = {}
    asleep: list[Sleep] = []
    for key, members in groups.items():
        for member in members:
            before = memory.last_used.get(member.id, member.since_ms)
            last_used[member.id] = now_ms if member.used else max(before, member.since_ms)
        excess = _excess(members)
        if excess <= 0:
            continue
        since[key] = memory.excess_since.get(key, now_ms)
        asleep += _choose(members, excess, since[key], last_used, now_ms)
    return asleep, Memory(since, last_used)


def _excess(members: list[Candidate]) -> int:
    """How many of a group's Machines are more than its load needs."""
    floor = max(member.floor for member in members)
    if len(members) == 1:
        spare = 0 if members[0].used else 1
    else:
        spare = len(members) - (sum(member.over_soft for member in members) + 1)
    return min(spare, len(members) - floor)


def _choose(
    members: list[Candidate],
    excess: int,
    since: int,
    last_used: Mapping[str, int],
    now_ms: int,
) -> list[Sleep]:
    """The longest unused ones with load 0, once the excess (and their own start) is old enough.

    The last one of a group must itself have been unused for that long: the excess may be older
    than its latest use when others have just been put to sleep.
    """
    alone = len(members) == 1
    ripe = [
        member
        for member in members
        if member.idle
        and not member.leased
        and now_ms - max(since, member.since_ms, last_used[member.id] if alone else 0)
        >= member.after_ms
    ]
    ripe.sort(key=lambda member: (last_used[member.id], member.since_ms, member.id))
    return [Sleep(member.id, member.action) for member in ripe[:excess]]
