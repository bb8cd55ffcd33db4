"""Changing a Machine's record under compare-and-set: read, change, write, and again on conflict."""

from __future__ import annotations

from collections.abc import Callable

from roost.errors import ConflictError, NotFoundError
from roost.model.access import Token
from roost.model.machine_state import MachineState
from roost.model.records import Machine
from roost.store.base import Change, Delete, Put, Store

MAX_TRIES = 32


def machine_not_found(machine_id: str) -> NotFoundError:
    """The error for an unknown Machine; clients look for the words `machine not found`."""
    return NotFoundError(f"machine not found: {machine_id}")


async def edit_machine(store: Store, machine_id: str, fn: Callable[[Machine], Machine]) -> Machine:
    """Replace a Machine's record by `fn` of the newest one; returns what is stored then.

    `fn` may be called several times and may raise; returning an equal record writes nothing.
    Raises NotFoundError, and ConflictError after MAX_TRIES lost races.
    """
    for _ in range(MAX_TRIES):
        stored = store.get(Machine, machine_id)
        if stored is None:
            raise machine_not_found(machine_id)
        changed = fn(stored.record)
        if changed == stored.record:
            return stored.record
        try:
            await store.commit(Put(changed, expect=stored.revision), *_taken_along(store, changed))
        except ConflictError:
            continue
        return changed
    raise ConflictError(f"machine {machine_id} is changed by too many at once", hint="try again")


def _taken_along(store: Store, machine: Machine) -> list[Change]:
    """A Machine's tokens die in the commit in which it does."""
    if machine.state is not MachineState.DESTROYED:
        return []
    found = store.find(Token, "machine", machine.id)
    return [Delete(Token, stored.record.id) for stored in found]
