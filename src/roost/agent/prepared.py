"""Which sleepers have their next container made ahead of time: a bounded list, oldest out first."""

from __future__ import annotations

from collections import OrderedDict


class Prepared:
    """At most `limit` Machine ids; the least recently put to sleep gives way."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._ids: OrderedDict[str, None] = OrderedDict()

    def admit(self, machine_id: str) -> str | None:
        """Note it as the newest; returns the id that must give its container up, if any.

        With a limit of 0 that is the Machine itself.
        """
        self._ids[machine_id] = None
        self._ids.move_to_end(machine_id)
        if len(self._ids) <= self._limit:
            return None
        oldest, _ = self._ids.popitem(last=False)
        return oldest

    def discard(self, machine_id: str) -> None:
        """It is prepared no longer."""
        self._ids.pop(machine_id, None)

    def __contains__(self, machine_id: str) -> bool:
        return machine_id in self._ids

    def __len__(self) -> int:
        return len(self._ids)
