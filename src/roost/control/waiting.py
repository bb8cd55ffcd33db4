"""Waiting for a Machine's state: woken by the store's commits, no timer but the deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from roost.control.edit import machine_not_found
from roost.errors import ConflictError, DeadlineError, InvalidError, UnavailableError
from roost.model.machine_state import PERSISTENT, Goal, MachineState
from roost.model.records import Machine
from roost.store.base import Commit, Delete, Put, Store

SETTLED = "settled"
"""Any state in which a Machine rests."""
_TERMINAL = frozenset({MachineState.DESTROYING, MachineState.DESTROYED})


def check_states(states: frozenset[str]) -> None:
    """Raises InvalidError for an unknown state, or none at all."""
    known = {str(state) for state in MachineState} | {SETTLED}
    unknown = sorted(states - known)
    if unknown or not states:
        raise InvalidError(
            f"{', '.join(unknown) or 'nothing'} is not a state to wait for",
            hint=f"use {', '.join(sorted(known))}",
        )


def satisfied(machine: Machine, states: frozenset[str]) -> bool:
    """Whether the Machine is in one of the states.

    A Machine made without launch is `created` until its image is prepared, then `stopped`; a wait
    for `stopped` takes either.
    """
    if str(machine.state) in states:
        return True
    if SETTLED in states and machine.state in PERSISTENT:
        return True
    made = machine.state is MachineState.CREATED and machine.goal is Goal.STOPPED
    return made and MachineState.STOPPED in states


def check_reachable(machine: Machine, states: frozenset[str], instance_id: str | None) -> None:
    """Raises InvalidError when the wait can never be satisfied."""
    if instance_id and machine.instance_id != instance_id:
        raise InvalidError(
            f"version {instance_id} of machine {machine.id} was replaced by {machine.instance_id}"
        )
    if machine.state in _TERMINAL and not states & {*_TERMINAL, SETTLED}:
        raise _unreachable(machine, states)
    if machine.state is MachineState.FAILED and machine.goal is not Goal.DESTROYED:
        raise _unreachable(machine, states)


async def wait_for(
    store: Store,
    machine: Machine,
    states: frozenset[str],
    timeout: float,
    instance_id: str | None = None,
) -> Machine:
    """The Machine as soon as it is in one of the states, at the latest after `timeout` seconds.

    Raises InvalidError (unknown or unreachable state), DeadlineError (it says which state the
    Machine has), NotFoundError (its record was removed, unless `destroyed` was waited for).
    """
    check_states(states)
    try:
        async with asyncio.timeout(timeout):
            async for seen in _versions(store, machine.id):
                machine = seen
                if satisfied(machine, states):
                    return machine
                check_reachable(machine, states, instance_id)
    except TimeoutError:
        raise DeadlineError(
            f"machine {machine.id} did not reach {_words(states)} within {timeout:g} s: "
            f"it is {machine.state}"
        ) from None
    if MachineState.DESTROYED in states:
        return machine.model_copy(update={"state": MachineState.DESTROYED})
    raise machine_not_found(machine.id)


async def _versions(store: Store, machine_id: str) -> AsyncIterator[Machine]:
    """The record now and after each change; ends when it is removed."""
    while True:
        revision = store.revision()
        stored = store.get(Machine, machine_id)
        if stored is None:
            return
        yield stored.record
        try:
            async for commit in store.watch(revision):
                found, record = _in(commit, machine_id)
                if record is not None:
                    yield record
                elif found:
                    return
        except ConflictError:
            continue  # Fell behind the history: look again.
        raise UnavailableError("Roost is shutting down", hint="try again")


def _in(commit: Commit, machine_id: str) -> tuple[bool, Machine | None]:
    found, record = False, None
    for change in commit.changes:
        match change:
            case Put(record=Machine() as changed) if changed.id == machine_id:
                found, record = True, changed
            case Delete(kind=kind, key=key) if kind is Machine and key == machine_id:
                found, record = True, None
            case _:
                pass
    return found, record


def _unreachable(machine: Machine, states: frozenset[str]) -> InvalidError:
    reason = next((e.request.get("error") for e in machine.events if e.request), None)
    why = f": {reason}" if machine.state is MachineState.FAILED and reason else ""
    return InvalidError(
        f"machine failed to reach desired state {_words(states)}, it is {machine.state}{why}",
        code="unreachable_state",
    )


def _words(states: frozenset[str]) -> str:
    return " or ".join(sorted(str(state) for state in states))
