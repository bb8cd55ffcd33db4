"""From where a Machine is to where it is meant to rest: a list of steps.

Pure. `plan(machine, seen)` looks at the record (goal, state) and at what the host sees, and returns
steps of which each prefix is safe: if the agent dies after any of them, the next plan goes on from
there. The agent executes the first, looks again, and plans anew, so a step is never taken on stale
facts. Counterpart: `roost.agent.machine_worker`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from roost.model.machine_state import Goal, MachineState
from roost.model.records import Machine


class Box(StrEnum):
    """What the host sees of a Machine's container."""

    NONE = "none"
    CREATED = "created"
    RUNNING = "running"
    FROZEN = "frozen"
    EXITED = "exited"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A host's view: the container, whether it was made from the current instance, the network,
    and whether its exit is already in the Machine's history.
    """

    box: Box = Box.NONE
    current: bool = True
    network: bool = False
    exit_recorded: bool = False


class Step(StrEnum):
    """One thing to do to the host or to the record."""

    ATTACH = "attach the network"
    CREATE = "create the container"
    START = "start the program"
    THAW = "thaw it"
    FREEZE = "freeze it"
    HALT = "signal it, wait, kill it"
    KILL = "kill it"
    RECORD_EXIT = "record how it ended"
    DELETE = "delete the container"
    DETACH = "detach the network"
    MARK_STARTING = "mark it starting"
    MARK_LOST = "mark it lost by a crash or reboot"
    MARK_RUNNING = "mark it started"
    MARK_FROZEN = "mark it suspended"
    MARK_HALTED = "mark it stopped"
    MARK_SHELVED = "mark it updated but not started"
    MARK_GONE = "mark it destroyed"


def plan(machine: Machine, seen: Seen) -> tuple[Step, ...]:
    """Steps from what is seen to the Machine's goal; empty when it rests."""
    failed = machine.state is MachineState.FAILED and machine.goal is not Goal.DESTROYED
    if failed or machine.state is MachineState.DESTROYED:
        return _clear(seen)
    if _ended_unseen(machine, seen):
        return (Step.RECORD_EXIT,)
    match machine.goal:
        case Goal.STARTED:
            return _towards_started(machine, seen)
        case Goal.STOPPED:
            return _towards_stopped(machine, seen)
        case Goal.SUSPENDED:
            return _towards_suspended(machine, seen)
        case Goal.DESTROYED:
            return (*_end(seen), *_clear(seen), Step.MARK_GONE)
        case _:
            assert_never(machine.goal)


def _ended_unseen(machine: Machine, seen: Seen) -> bool:
    """An exit must reach the history before anything else happens to the container."""
    return (
        seen.box is Box.EXITED
        and not seen.exit_recorded
        and machine.state is not MachineState.CREATED
    )


def _towards_started(machine: Machine, seen: Seen) -> tuple[Step, ...]:
    rest = _boot(machine, seen)
    match machine.state:
        case MachineState.STARTED if seen.box in (Box.NONE, Box.BROKEN):
            return (Step.MARK_LOST, *rest)
        case MachineState.STARTED | MachineState.STARTING:
            return rest
        case MachineState.RESTARTING if seen.box in (Box.RUNNING, Box.FROZEN):
            return rest
        case MachineState.SUSPENDED | MachineState.STOPPED if seen.box is Box.RUNNING:
            return rest
        case _:
            return (Step.MARK_STARTING, *rest)


def _boot(machine: Machine, seen: Seen) -> tuple[Step, ...]:
    attach = () if seen.network else (Step.ATTACH,)
    begin = (*attach, Step.CREATE, Step.START, Step.MARK_RUNNING)
    restarting = machine.state is MachineState.RESTARTING
    match seen.box:
        case Box.NONE:
            return begin
        case Box.EXITED | Box.BROKEN:
            return (Step.DELETE, *begin)
        case Box.RUNNING | Box.FROZEN if restarting or not seen.current:
            return (*_end(seen), Step.DELETE, *begin)
        case Box.CREATED:
            return (Step.START, Step.MARK_RUNNING) if seen.current else (Step.DELETE, *begin)
        case Box.FROZEN:
            return (Step.THAW, Step.MARK_RUNNING)
        case Box.RUNNING:
            return () if machine.state is MachineState.STARTED else (Step.MARK_RUNNING,)
        case _:
            assert_never(seen.box)


def _towards_stopped(machine: Machine, seen: Seen) -> tuple[Step, ...]:
    if machine.state is MachineState.STOPPED and seen.box is Box.RUNNING and seen.current:
        # Woken just before a crash: an explicit stop always passes through STOPPING.
        return (Step.MARK_RUNNING,)
    prepared = seen.box is Box.CREATED and seen.current
    steps = () if prepared else (*_end(seen), *_delete(seen), *_detach(seen))
    match machine.state:
        case MachineState.STOPPED:
            return steps
        case MachineState.REPLACING | MachineState.CREATED:
            return (*steps, Step.MARK_SHELVED)
        case _:
            return (*steps, Step.MARK_HALTED)


def _towards_suspended(machine: Machine, seen: Seen) -> tuple[Step, ...]:
    match seen.box:
        case Box.RUNNING if machine.state is MachineState.SUSPENDED:
            # Thawed by a wake just before a crash: what runs is in use.
            return (Step.MARK_RUNNING,)
        case Box.RUNNING:
            return (Step.FREEZE, Step.MARK_FROZEN)
        case Box.FROZEN:
            return () if machine.state is MachineState.SUSPENDED else (Step.MARK_FROZEN,)
        case _:
            return (*_clear(seen), Step.MARK_HALTED)


def _end(seen: Seen) -> tuple[Step, ...]:
    match seen.box:
        case Box.RUNNING:
            return (Step.HALT,)
        case Box.FROZEN:
            return (Step.KILL,)
        case _:
            return ()


def _delete(seen: Seen) -> tuple[Step, ...]:
    return () if seen.box is Box.NONE else (Step.DELETE,)


def _detach(seen: Seen) -> tuple[Step, ...]:
    return (Step.DETACH,) if seen.network else ()


def _clear(seen: Seen) -> tuple[Step, ...]:
    """Leave nothing on the host."""
    return (*_end(seen), *_delete(seen), *_detach(seen))
