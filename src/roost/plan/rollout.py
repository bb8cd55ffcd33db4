"""What a deploy does to an app's Machines, and in which order.

Pure. `plan_rollout(groups wanted, Machines there are, settings)` returns stages. A stage is done
before the next begins; its lanes run side by side; a lane does its batches one after the other; the
steps of a batch run side by side. The first Machine of every group is changed alone: it shows
whether the release works. Source: docs/launch/deploy and Fly's own client.
Counterpart: `roost.deploy.rollout_run` carries it out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from roost.model.machine_state import MachineState

T = TypeVar("T")

GROUPS_AT_ONCE = 16
DOWN_AT_ONCE = 30
"""Machines that stay down are updated up to this many at a time."""

DEFAULT_MAX_UNAVAILABLE = 0.33
DEFAULT_MAX_CONCURRENT = 8

_GOING = frozenset({MachineState.DESTROYED, MachineState.DESTROYING})
_UP = frozenset(
    {
        MachineState.STARTED,
        MachineState.STARTING,
        MachineState.RESTARTING,
        MachineState.REPLACING,
        MachineState.FAILED,
    }
)
"""States whose Machines run after the update; all others are updated and stay down."""


class Strategy(StrEnum):
    """How careful a deploy is."""

    ROLLING = "rolling"
    IMMEDIATE = "immediate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A process group that is wanted."""

    name: str
    has_services: bool
    has_mount: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """A Machine that exists."""

    id: str
    group: str
    state: MachineState


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """`max_unavailable`: a count from 1 on, below it a share of the Machines, rounded up."""

    strategy: Strategy = Strategy.ROLLING
    max_unavailable: float = DEFAULT_MAX_UNAVAILABLE
    max_concurrent: int = DEFAULT_MAX_CONCURRENT
    ha: bool = True
    update_only: bool = False
    """Make no new Machines and destroy none."""


@dataclass(frozen=True, slots=True)
class Create:
    """Make a new Machine of a group and start it."""

    group: str

    def describe(self) -> str:
        """One line for the user."""
        return f"create a Machine of group {self.group}"


@dataclass(frozen=True, slots=True)
class Update:
    """Give a Machine the new configuration; `launch` says whether it runs afterwards."""

    machine_id: str
    group: str
    launch: bool

    def describe(self) -> str:
        """One line for the user."""
        rest = "" if self.launch else " (it stays down)"
        return f"update Machine {self.machine_id} of group {self.group}{rest}"


@dataclass(frozen=True, slots=True)
class Destroy:
    """Remove a Machine whose group is not wanted any more."""

    machine_id: str
    group: str

    def describe(self) -> str:
        """One line for the user."""
        return f"destroy Machine {self.machine_id} of group {self.group}"


Step = Create | Update | Destroy
Batch = tuple[Step, ...]
Lane = tuple[Batch, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """Lanes that run side by side."""

    lanes: tuple[Lane, ...]

    def steps(self) -> Iterator[Step]:
        """All steps of the stage."""
        return (step for lane in self.lanes for batch in lane for step in batch)


def plan_rollout(
    groups: Sequence[Group], present: Iterable[Present], settings: Settings
) -> tuple[Stage, ...]:
    """The stages of a deploy; empty when there is nothing to do. Machines on their way out are
    left alone.
    """
    living = sorted((one for one in present if one.state not in _GOING), key=lambda one: one.id)
    wanted = {group.name for group in groups}
    gone = [Destroy(one.id, one.group) for one in living if one.group not in wanted]
    new = [group for group in groups if not any(one.group == group.name for one in living)]
    if settings.update_only:
        gone, new = [], []
    kept = [one for one in living if one.group in wanted]
    stages = [Stage((_batches(gone, settings.max_concurrent),))] if gone else []
    if settings.strategy is Strategy.IMMEDIATE:
        changes: list[Step] = [step for group in new for step in _creates(group, settings)]
        changes += [_update(one) for one in kept]
        if changes:
            stages.append(Stage((_batches(changes, settings.max_concurrent),)))
        return tuple(stages)
    stages += [
        Stage(tuple(_batches(_creates(group, settings), 1) for group in some))
        for some in _chunks(new, GROUPS_AT_ONCE)
    ]
    names = sorted({one.group for one in kept})
    for chunk in _chunks(names, GROUPS_AT_ONCE):
        stages += _rolling([[one for one in kept if one.group == name] for name in chunk], settings)
    return tuple(stages)


def machines_for(group: Group, *, ha: bool) -> int:
    """How many Machines a group without any gets: two when it has services and may have two."""
    return 2 if ha and group.has_services and not group.has_mount else 1


def lane_width(max_unavailable: float, machines: int) -> int:
    """How many running Machines may be down at a time: at least one."""
    if max_unavailable >= 1:
        return int(max_unavailable)
    return max(1, math.ceil(max_unavailable * machines))


def stays_down(state: MachineState) -> bool:
    """Whether a Machine in this state is updated without being started."""
    return state not in _UP


def _rolling(groups: list[list[Present]], settings: Settings) -> Iterator[Stage]:
    """First of each group alone, running ones before those that are down; then two lanes each."""
    firsts: list[Lane] = []
    rest: list[Lane] = []
    for machines in groups:
        up = [one for one in machines if not stays_down(one.state)]
        down = [one for one in machines if stays_down(one.state)]
        width = lane_width(settings.max_unavailable, len(up))
        first = (up or down).pop(0)
        firsts.append(((_update(first),),))
        rest += [
            _batches([_update(one) for one in lane], size)
            for lane, size in ((up, width), (down, DOWN_AT_ONCE))
            if lane
        ]
    yield Stage(tuple(firsts))
    if rest:
        yield Stage(tuple(rest))


def _creates(group: Group, settings: Settings) -> list[Step]:
    return [Create(group.name)] * machines_for(group, ha=settings.ha)


def _update(machine: Present) -> Update:
    return Update(machine.id, machine.group, launch=not stays_down(machine.state))


def _batches(steps: Sequence[Step], size: int) -> Lane:
    return tuple(tuple(chunk) for chunk in _chunks(steps, size))


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
