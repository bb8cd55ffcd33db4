"""How many sleeping Machines may start at once, and who is next (docs/decisions/0020).

A start holds a *slot* from its admission until its program listens (or failed, or had its time).
While no slot is free, or memory is short, wakes wait in a `FairLine`. Starts that users asked for
take slots without asking, so they slow wakes down but never wait; one wake at a time always goes.
What ran before the host or the daemon was started anew, or crashes again and again, waits in a
second line, behind all callers.

Pure: time (ms, of one monotonic clock) and available memory (bytes) are arguments. Whoever runs it
calls `turn` when a slot may be free and `look` now and then while somebody waits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

from roost.plan.fair_line import FairLine, Waiting

MIB = 1 << 20
ESTIMATE = 64 * MIB
"""What a program is thought to take by the time it listens, when its guest may have that much."""
DEFAULT_FLOOR = 256 * MIB
SLOT_MS = 10_000
"""A start that fetches an image, or hangs, stops counting after this."""
BOOT_MS = 1_000
"""How long a started program may take to listen while it counts."""
UNASKED_MS = 3_500
"""A wake that is awaited is asked for each second; one that is not leaves the line."""
TELL_MS = 1_000
LOOK_MS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`at_once` slots; `floor` bytes of memory that must stay available (0: memory is not looked
    at); a wake waits for memory for at most `patience_ms`.
    """

    at_once: int
    floor: int
    patience_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """For metrics: who waits and starts now, and what was decided since the daemon's start."""

    waiting: int = 0
    starting: int = 0
    straight: int = 0
    """Admitted without waiting."""
    queued: int = 0
    """Admitted after they had waited."""
    refused: int = 0
    """For want of memory."""
    left: int = 0
    """Nobody awaited them any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is to be said: refusals, and (wake, how many go before it) of apps that wait long."""

    refused: tuple[Waiting, ...] = ()
    told: tuple[tuple[Waiting, int], ...] = ()


@dataclass(slots=True)
class _Slot:
    memory: int
    until_ms: int
    asked: bool
    """A user asked for the start."""
    started: bool = False


def default_at_once(cpus: int) -> int:
    """Starts use about one core each and wait a little for the disk and the kernel."""
    return 2 * cpus + 2


def default_floor(memory: int) -> int:
    """256 MiB, on small hosts a twentieth of `memory`; bytes."""
    return min(DEFAULT_FLOOR, memory // 20)


def estimate(guest: int) -> int:
    """Bytes a start is thought to need at once; `guest` is the most that it may ever have."""
    return min(guest, ESTIMATE)


class WakeBudget:
    """See the module."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.line = FairLine()
        self.later = FairLine()
        """What is to run again and nobody calls; it does not wait for memory."""
        self._slots: dict[str, _Slot] = {}
        self._told: set[str] = set()
        self._next_look = 0
        self._straight = self._queued = self._refused = self._left = 0

    def counts(self, now_ms: int) -> Counts:
        """As of now."""
        self._expire(now_ms)
        return Counts(
            waiting=len(self),
            starting=len(self._slots),
            straight=self._straight,
            queued=self._queued,
            refused=self._refused,
            left=self._left,
        )

    def __len__(self) -> int:
        """How many wait, in both lines."""
        return len(self.line) + len(self.later)

    # Asking

    def admit(self, machine: str, memory: int, now_ms: int, available: int) -> bool:
        """Whether a wake may start now: it has been given a slot before, or gets one because there
        is room and nobody waits. Else call `wait`.
        """
        self._expire(now_ms)
        if machine in self._slots:
            return True
        if len(self.line) or not self._room() or not self._fits(memory, available):
            return False
        self._straight += 1
        self._slots[machine] = _Slot(memory, now_ms + SLOT_MS, asked=False)
        return True

    def wait(self, machine: str, app: str, org: str, memory: int, now_ms: int) -> None:
        """Put a wake in line."""
        waiting = Waiting(
            machine=machine, app=app, org=org, memory=memory, since_ms=now_ms, asked_ms=now_ms
        )
        self.line.push(waiting)

    def again(self, machine: str, now_ms: int) -> bool:
        """It is asked for again: True when it is in line, which is all there is to do."""
        waiting = self.line.find(machine)
        if waiting is not None:
            waiting.asked_ms = now_ms
        return waiting is not None

    def admit_later(self, waiting: Waiting, now_ms: int) -> bool:
        """Whether what is to run again may start now; else it is in line behind all wakes. One slot
        is left for who calls next.
        """
        self._expire(now_ms)
        if waiting.machine in self._slots:
            return True
        if len(self) or not self._room(spare=1):
            if self.line.find(waiting.machine) is None:
                self.later.push(waiting)
            return False
        self._slots[waiting.machine] = _Slot(waiting.memory, now_ms + SLOT_MS, asked=False)
        return True

    def called(self, org: str, app: str) -> None:
        """Somebody waits for an app: its first one that is to run again waits with the wakes."""
        if (first := self.later.of_app(org, app)) is not None:
            self.later.remove(first.machine)
            self.line.push(first)

    def forget(self, machine: str) -> None:
        """What was to run again has another goal, or another reason to start: its place is free."""
        self.later.remove(machine)
        if (waiting := self.line.find(machine)) is not None and waiting.wanted:
            self.line.remove(machine)

    def force(self, machine: str, memory: int, now_ms: int) -> None:
        """A user's start begins; it counts, and is not asked for."""
        self.line.remove(machine)
        self.later.remove(machine)
        if machine not in self._slots:
            self._slots[machine] = _Slot(memory, now_ms + SLOT_MS, asked=True)

    # What becomes of it

    def started(self, machine: str, now_ms: int) -> None:
        """Its program runs now."""
        if slot := self._slots.get(machine):
            slot.started, slot.until_ms = True, now_ms + BOOT_MS

    def over(self, machine: str) -> None:
        """Its program listens, or has ended: the slot is free."""
        self._slots.pop(machine, None)

    def not_begun(self, machine: str) -> None:
        """Nobody is at work on it (any more): the slot is free unless its program was started."""
        slot = self._slots.get(machine)
        if slot is not None and not slot.started:
            del self._slots[machine]

    # Deciding

    def turn(self, now_ms: int, available: int) -> list[str]:
        """Machines whose turn it is, each with a slot now. Nobody overtakes the first in line, also
        when only memory is short: a big one would never get its turn.
        """
        admitted = []
        self._expire(now_ms)
        while (line := self._next(available)) is not None and (first := line.pop()) is not None:
            self._queued += line is self.line
            self._slots[first.machine] = _Slot(first.memory, now_ms + SLOT_MS, asked=False)
            admitted.append(first.machine)
        return admitted

    def _next(self, available: int) -> FairLine | None:
        """The line whose first one may start now."""
        if (first := self.line.first()) is not None:
            fits = first.wanted or self._fits(first.memory, available)
            return self.line if fits and self._room() else None
        return self.later if len(self.later) and self._room(spare=1) else None

    def look(self, now_ms: int, available: int) -> Look:
        """Lets go who is not awaited any more, refuses who has waited too long for memory, and
        says, once for each app, who waits long. Does nothing within 500 ms of the last time.
        """
        if now_ms < self._next_look:
            return Look()
        self._next_look = now_ms + LOOK_MS
        self._expire(now_ms)
        left = [w for w in self.line if not w.wanted and now_ms - w.asked_ms >= UNASKED_MS]
        self._left += len(self._take_out(left))
        refused: tuple[Waiting, ...] = ()
        if self._short(available):
            most = self.limits.patience_ms
            late = [w for w in self.line if not w.wanted and now_ms - w.since_ms >= most]
            refused = self._take_out(late)
            self._refused += len(refused)
        return Look(refused=refused, told=tuple(self._tell(now_ms)))

    def _take_out(self, leaving: Iterable[Waiting]) -> tuple[Waiting, ...]:
        gone = tuple(leaving)
        for waiting in gone:
            self.line.remove(waiting.machine)
        return gone

    def _tell(self, now_ms: int) -> Iterable[tuple[Waiting, int]]:
        everybody = (*self.line, *self.later)
        self._told &= {waiting.app for waiting in everybody}
        late = {w.app for w in everybody if now_ms - w.since_ms >= TELL_MS} - self._told
        if not late:
            return
        self._told |= late
        for before, waiting in enumerate(chain(self.line.order(), self.later.order())):
            if waiting.app in late:
                late.discard(waiting.app)
                yield waiting, before

    def _expire(self, now_ms: int) -> None:
        """Slots whose time is over count no more, nor does the memory that they were to need."""
        for machine in [one for one, slot in self._slots.items() if slot.until_ms <= now_ms]:
            del self._slots[machine]

    def _room(self, spare: int = 0) -> bool:
        """Whether a wake may have a slot: users' starts leave it at least one."""
        asked = sum(slot.asked for slot in self._slots.values())
        return len(self._slots) - asked < max(1, self.limits.at_once - asked - spare)

    def _fits(self, memory: int, available: int) -> bool:
        """Whether memory stays above the floor when all that start have what they may need: what
        is available does not show it before their programs have taken it.
        """
        if not self.limits.floor:
            return True
        reserved = sum(slot.memory for slot in self._slots.values())
        return available - reserved - memory >= self.limits.floor

    def _short(self, available: int) -> bool:
        """Whether it is memory that the first in line waits for."""
        first = self.line.first()
        return first is not None and not first.wanted and not self._fits(first.memory, available)
