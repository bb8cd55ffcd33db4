"""The line of wakes that wait for room: organizations take turns, in each its apps, in each app who
came first goes first.

So an app that wakes a thousand Machines at once delays another app's one wake by one turn, and an
organization with a thousand apps delays another organization by one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class Waiting:
    """A wake in line: `memory` (bytes) is what it may need at once; since when it waits and when it
    was last asked for (ms). One that is `wanted` is to be started whether or not anybody waits: it
    stays until its turn.
    """

    machine: str
    app: str
    org: str
    memory: int
    since_ms: int
    asked_ms: int
    wanted: bool = False


_Apps = OrderedDict[str, dict[str, Waiting]]


class FairLine:
    """Each Machine is in it at most once. All but iterating over it is O(1)."""

    def __init__(self) -> None:
        self._orgs: OrderedDict[str, _Apps] = OrderedDict()
        self._places: dict[str, Waiting] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Waiting]:
        """In no order that means anything."""
        return iter(self._places.values())

    def find(self, machine: str) -> Waiting | None:
        """The Machine's place, if it has one."""
        return self._places.get(machine)

    def of_app(self, org: str, app: str) -> Waiting | None:
        """The first of an app."""
        apps = self._orgs.get(org, OrderedDict())
        return next(iter(apps.get(app, {}).values()), None)

    def push(self, waiting: Waiting) -> None:
        """To the end of its app; an app or organization that is new comes after all others."""
        if waiting.machine in self._places:
            return
        self._places[waiting.machine] = waiting
        apps = self._orgs.setdefault(waiting.org, OrderedDict())
        apps.setdefault(waiting.app, {})[waiting.machine] = waiting

    def first(self) -> Waiting | None:
        """Whose turn it is."""
        for apps in self._orgs.values():
            for machines in apps.values():
                return next(iter(machines.values()))
        return None

    def pop(self) -> Waiting | None:
        """Takes out whose turn it is; its app and organization go behind the others."""
        taken = self.first()
        if taken is not None:
            self.remove(taken.machine)
            if apps := self._orgs.get(taken.org):
                self._orgs.move_to_end(taken.org)
                if taken.app in apps:
                    apps.move_to_end(taken.app)
        return taken

    def remove(self, machine: str) -> None:
        """Takes a Machine out; nobody else's turn changes."""
        gone = self._places.pop(machine, None)
        if gone is None:
            return
        apps = self._orgs[gone.org]
        del apps[gone.app][machine]
        if not apps[gone.app]:
            del apps[gone.app]
        if not apps:
            del self._orgs[gone.org]

    def order(self) -> Iterator[Waiting]:
        """All, in the order in which they would be taken. O(n), over a copy."""
        copy = FairLine()
        for apps in self._orgs.values():
            for machines in apps.values():
                for waiting in machines.values():
                    copy.push(waiting)
        while (taken := copy.pop()) is not None:
            yield taken
