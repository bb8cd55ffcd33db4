"""Destroyed Machines stay readable for a while: clients look up how a short-lived one ended."""

from __future__ import annotations

from roost.control.context import Context
from roost.model.records import Machine
from roost.store.base import Change, Delete

KEPT = 100
"""Destroyed Machines kept per app, newest first."""
SLACK = 16
"""How many more may gather before the oldest are dropped together."""


class Tombstones:
    """Finds those that are due to go; asked whenever a Machine is made or destroyed."""

    def __init__(self, context: Context) -> None:
        self._store = context.store
        self._logs = context.logs

    def excess(self, app: str) -> list[Change]:
        """Deletions that bring an app back to KEPT; their output goes with them."""
        if self._store.count(Machine, "tombstone", app) <= KEPT + SLACK:
            return []
        found = [stored.record for stored in self._store.find(Machine, "tombstone", app)]
        found.sort(key=lambda machine: (machine.updated_at, machine.id), reverse=True)
        for machine in found[KEPT:]:
            self._logs.forget(app, machine.id)
        return [Delete(Machine, machine.id) for machine in found[KEPT:]]
