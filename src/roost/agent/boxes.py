"""The agent's picture of the host's containers, kept right by its own steps and by exits.

In memory only, and only for containers that exist: a sleeping Machine has no entry.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from roost.plan.reconcile import Box
from roost.runtime.base import ContainerState, Exit, Observed

_BOX = {
    ContainerState.CREATED: Box.CREATED,
    ContainerState.RUNNING: Box.RUNNING,
    ContainerState.FROZEN: Box.FROZEN,
    ContainerState.EXITED: Box.EXITED,
    ContainerState.BROKEN: Box.BROKEN,
}


class Boxes:
    """Container id → what is known of it."""

    def __init__(self) -> None:
        self._known: dict[str, Observed] = {}
        self._exits: dict[str, asyncio.Event] = {}

    def reset(self, observed: list[Observed]) -> None:
        """Take a fresh observation for the whole truth."""
        self._known = {item.id: item for item in observed}

    def ids(self) -> list[str]:
        """Ids of all containers."""
        return list(self._known)

    def box(self, machine_id: str) -> Box:
        """Its state in the plan's words."""
        known = self._known.get(machine_id)
        return _BOX[known.state] if known else Box.NONE

    def label(self, machine_id: str, name: str) -> str:
        """A label of the container, "" when unknown."""
        known = self._known.get(machine_id)
        return known.labels.get(name, "") if known else ""

    def exit_of(self, machine_id: str) -> Exit | None:
        """How it ended, if it did."""
        known = self._known.get(machine_id)
        return known.exit if known else None

    def created(self, machine_id: str, labels: dict[str, str]) -> None:
        """It was made, its program not yet started."""
        self._known[machine_id] = Observed(
            id=machine_id, state=ContainerState.CREATED, labels=labels
        )
        self._exits[machine_id] = asyncio.Event()

    def set(self, machine_id: str, state: ContainerState) -> None:
        """It changed (started, frozen, thawed), unless its end was already seen."""
        known = self._known.get(machine_id)
        if known is not None and known.state is not ContainerState.EXITED:
            self._known[machine_id] = replace(known, state=state)

    def exited(self, exit_: Exit) -> bool:
        """Its main process ended; False when the container is not known (any more)."""
        known = self._known.get(exit_.id)
        if known is None:
            return False
        self._known[exit_.id] = replace(known, state=ContainerState.EXITED, exit=exit_)
        self._exits.setdefault(exit_.id, asyncio.Event()).set()
        return True

    def deleted(self, machine_id: str) -> None:
        """Nothing of it is left."""
        self._known.pop(machine_id, None)
        self._exits.pop(machine_id, None)

    async def wait_exit(self, machine_id: str, seconds: float) -> bool:
        """Wait until it has ended; False when it has not within `seconds`."""
        if self.box(machine_id) in (Box.EXITED, Box.NONE):
            return True
        event = self._exits.setdefault(machine_id, asyncio.Event())
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            return False
        return True
