"""How many sleepers start at once, when memory counts, and who is told what."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from roost.plan.fair_line import Waiting
from roost.plan.wake_budget import (
    BOOT_MS,
    ESTIMATE,
    MIB,
    SLOT_MS,
    TELL_MS,
    UNASKED_MS,
    Limits,
    WakeBudget,
    default_at_once,
    default_floor,
    estimate,
)

PLENTY = 64 << 30
NEED = 64 * MIB
LONG = 60_000


def a_budget(at_once: int = 2, floor: int = 0, patience_ms: int = LONG) -> WakeBudget:
    return WakeBudget(Limits(at_once=at_once, floor=floor, patience_ms=patience_ms))


def ask(
    budget: WakeBudget, machine: str, now_ms: int = 0, available: int = PLENTY, app: str = ""
) -> bool:
    """As the agent does; True when it may start."""
    if budget.admit(machine, NEED, now_ms, available):
        return True
    budget.wait(machine, app or machine, "acme", NEED, now_ms)
    return False


def test_the_limit_holds_and_a_free_slot_goes_to_the_first() -> None:
    """As many as the limit start at once; a program that listens makes room for the next."""
    budget = a_budget()
    assert [True, True, False, False] == [ask(budget, name) for name in "abcd"]
    assert [] == budget.turn(0, PLENTY)
    budget.started("a", 5)
    assert [] == budget.turn(5, PLENTY)
    budget.over("a")
    assert ["c"] == budget.turn(6, PLENTY)
    assert [] == budget.turn(6, PLENTY)
    assert ask(budget, "c", 7), "its slot is its own"
    counts = budget.counts(7)
    assert (2, 1, 1, 2) == (counts.straight, counts.queued, counts.waiting, counts.starting)


def test_nobody_overtakes_the_line() -> None:
    """Who comes while others wait goes behind them, also when a slot is free."""
    budget = a_budget(at_once=1)
    assert ask(budget, "a")
    assert not ask(budget, "b")
    budget.over("a")
    assert not ask(budget, "c")
    assert ["b"] == budget.turn(1, PLENTY)


@pytest.mark.parametrize("began", [False, True])
def test_no_slot_is_lost(began: bool) -> None:
    """A start that says nothing any more stops counting: soon when its program runs, later when it
    has not begun; and at once when its worker ends before it began.
    """
    budget = a_budget(at_once=1)
    assert ask(budget, "a")
    if began:
        budget.started("a", 0)
    assert not ask(budget, "b")
    patience = BOOT_MS if began else SLOT_MS
    assert [] == budget.turn(patience - 1, PLENTY)
    assert ["b"] == budget.turn(patience, PLENTY)
    budget.not_begun("b")
    assert 0 == budget.counts(patience).starting


def test_a_worker_that_ends_keeps_the_slot_of_a_running_program() -> None:
    """The program still boots after its worker has done its part."""
    budget = a_budget(at_once=1)
    assert ask(budget, "a")
    budget.started("a", 0)
    budget.not_begun("a")
    assert not ask(budget, "b")


@pytest.mark.parametrize("how", ["admit", "turn", "look"])
def test_what_is_over_needs_no_memory(how: str) -> None:
    """A start that nobody tells of any more keeps neither its slot nor its memory, also while there
    are slots enough: wakes are not refused for it.
    """
    available = 256 * MIB + NEED
    budget = a_budget(at_once=10, floor=256 * MIB, patience_ms=BOOT_MS)
    for name in "uvw":
        budget.force(name, NEED, 0)
        budget.started(name, 0)
    if how == "admit":
        assert ask(budget, "a", BOOT_MS, available)
    else:
        assert not ask(budget, "a", 0, available)
        assert how == "turn" or () == budget.look(BOOT_MS, available).refused
        assert ["a"] == budget.turn(BOOT_MS, available)
    assert 1 == budget.counts(BOOT_MS).starting


def test_users_starts_count_but_do_not_wait() -> None:
    """Starts that users asked for take slots beyond the limit; wakes wait for them, except one."""
    budget = a_budget()
    for name in "uvwxyz":
        budget.force(name, NEED, 0)
    assert [True, False] == [ask(budget, name) for name in "ab"]
    budget.over("a")
    assert ["b"] == budget.turn(0, PLENTY)
    assert 7 == budget.counts(0).starting
    assert not ask(budget, "c")
    budget.force("c", NEED, 0)
    assert 0 == len(budget.line), "started by a user, it waits no more"


def test_memory_stays_above_the_floor() -> None:
    """What starts is counted before it shows as taken; the first in line is not overtaken."""
    floor = 256 * MIB
    budget = a_budget(at_once=10, floor=floor)
    assert ask(budget, "a", available=floor + 2 * NEED)
    assert ask(budget, "b", available=floor + 2 * NEED)
    assert not ask(budget, "c", available=floor + 2 * NEED), "two may still take all that is left"
    budget.over("a")
    assert [] == budget.turn(1, floor + NEED)
    assert ["c"] == budget.turn(2, floor + 2 * NEED)
    budget.wait("big", "big", "acme", 4 * NEED, 2)
    budget.wait("small", "small", "acme", 1, 2)
    assert [] == budget.turn(3, floor + 3 * NEED)
    assert a_budget(floor=0).admit("a", NEED, 0, 0), "without a floor nobody looks"


def again(budget: WakeBudget, machine: str, now_ms: int = 0, app: str = "") -> bool:
    """As the agent does for what ran before it; True when it may start."""
    waiting = Waiting(
        machine=machine,
        app=app or machine,
        org="acme",
        memory=NEED,
        since_ms=now_ms,
        asked_ms=now_ms,
        wanted=True,
    )
    return budget.admit_later(waiting, now_ms)


def test_what_is_to_run_again_waits_behind_callers() -> None:
    """After a start of the host: one slot is left for who calls, who calls goes first, and all have
    their turn in the end, however long it takes and whatever memory there is.
    """
    floor = 256 * MIB
    budget = a_budget(at_once=3, floor=floor, patience_ms=1000)
    assert [True, True, False, False] == [again(budget, name) for name in "abcd"]
    assert not again(budget, "c"), "once in line is enough"
    assert ask(budget, "x"), "one slot was left"
    assert not ask(budget, "y")
    assert 3 == budget.counts(0).waiting
    budget.over("a")
    assert ["y"] == budget.turn(0, PLENTY)
    budget.over("b")
    assert [] == budget.turn(0, PLENTY), "the last slot is for who calls"
    assert () == budget.look(9000, 0).refused
    assert 2 == budget.counts(9000).waiting
    budget.over("x")
    assert ["c"] == budget.turn(9000, 0)
    assert ["d"] == budget.turn(9000 + SLOT_MS, 0)
    counts = budget.counts(9000 + SLOT_MS)
    assert (1, 1, 0) == (counts.starting, counts.queued, counts.left)


def test_what_is_called_does_not_wait_for_others() -> None:
    """When somebody waits for an app, its first Machine goes with the wakes; it neither leaves nor
    is refused there.
    """
    budget = a_budget(at_once=1, floor=256 * MIB, patience_ms=1000)
    assert again(budget, "first")
    for name in "abc":
        again(budget, name)
    for name in "mn":
        again(budget, name, app="shop")
    budget.called("acme", "shop")
    budget.called("acme", "nobody")
    budget.called("nobody", "shop")
    assert not again(budget, "m"), "it is in line already"
    assert 5 == budget.counts(0).waiting
    look = budget.look(9000, 0)
    assert () == look.refused
    told = [(waiting.app, before) for waiting, before in look.told]
    assert [("shop", 0), ("a", 1), ("b", 2), ("c", 3)] == told
    order = []
    for turn in range(5):
        now = SLOT_MS * (turn + 1)
        order += budget.turn(now, 0)
    assert ["m", "a", "b", "c", "n"] == order


@pytest.mark.parametrize("first", ["wake", "wanted"])
def test_only_wakes_are_refused_for_memory(first: str) -> None:
    """And only while it is memory that the first in line waits for."""
    budget = a_budget(at_once=1, floor=256 * MIB, patience_ms=1000)
    assert again(budget, "running")
    for who in (first, "wake" if first == "wanted" else "wanted"):
        if who == "wake":
            assert not ask(budget, who)
        else:
            assert not again(budget, who)
            budget.called("acme", who)
    budget.again("wake", 3000)
    refused = [waiting.machine for waiting in budget.look(3000, 0).refused]
    assert (["wake"] if first == "wake" else []) == refused
    assert ["wanted"] == budget.turn(SLOT_MS, 0)


def test_a_user_need_not_wait_for_the_host() -> None:
    """A start that is asked for takes what was to run again out of its line."""
    budget = a_budget(at_once=1)
    assert again(budget, "a")
    assert not again(budget, "b")
    budget.force("b", NEED, 0)
    assert (0, 2) == (budget.counts(0).waiting, budget.counts(0).starting)


def test_who_waits_too_long_for_memory_is_refused() -> None:
    """After their patience, and only when it is memory that is short."""
    floor = 256 * MIB
    budget = a_budget(at_once=1, floor=floor, patience_ms=5000)
    assert not ask(budget, "a", 0, floor)
    assert not ask(budget, "b", 1000, floor)
    budget.again("a", 4000)
    budget.again("b", 4000)
    assert () == budget.look(4999, floor).refused
    assert ["a"] == [waiting.machine for waiting in budget.look(5500, floor).refused]
    assert 1 == budget.counts(5500).refused
    budget.again("b", 6500)
    assert () == budget.look(6500, PLENTY).refused
    assert ["b"] == budget.turn(6500, PLENTY)


def test_a_wake_that_nobody_awaits_leaves() -> None:
    """It is asked for each second while somebody waits; else its place goes to those who do."""
    budget = a_budget(at_once=1)
    for name in "abc":
        ask(budget, name)
    assert budget.again("c", 1000)
    assert not budget.again("a", 1000), "it is not in line"
    budget.look(UNASKED_MS, PLENTY)
    budget.over("a")
    assert ["c"] == budget.turn(UNASKED_MS, PLENTY)
    assert 1 == budget.counts(UNASKED_MS).left


def test_apps_that_wait_long_are_told_once_how_many_are_before() -> None:
    """One line for each app and each time it waits, with its place in the order of turns."""
    budget = a_budget(at_once=1)
    ask(budget, "a")
    for number in range(3):
        ask(budget, f"m{number}", app="crowd")
    ask(budget, "one", app="quiet")
    assert () == budget.look(TELL_MS - 1, PLENTY).told
    told = budget.look(TELL_MS + 500, PLENTY).told
    assert [("m0", 0), ("one", 1)] == [(waiting.machine, before) for waiting, before in told]
    assert () == budget.look(TELL_MS + 1000, PLENTY).told


def test_estimates_and_defaults() -> None:
    """A small guest needs no more than it may have; small hosts keep a smaller floor."""
    assert 16 * MIB == estimate(16 * MIB)
    assert ESTIMATE == estimate(8 << 30)
    assert 6 == default_at_once(2)
    assert (256 * MIB, 50 * MIB) == (default_floor(64 << 30), default_floor(1000 * MIB))


class Crowd(RuleBasedStateMachine):
    """Any number of wakes, users' starts and Machines that are to run again, in any order, with any
    memory.
    """

    machines = st.integers(0, 11).map(str)

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.available = PLENTY
        self.budget = a_budget(at_once=3, floor=256 * MIB)
        self.starting: set[str] = set()
        self.forced: set[str] = set()
        self.wanted: set[str] = set()

    def _admitted(self, machine: str) -> None:
        if machine in self.wanted:
            self.wanted.remove(machine)
            self.starting.add(machine)
            return
        reserved = NEED * len((self.starting | self.forced) - {machine})
        assert self.available - reserved - NEED >= 256 * MIB
        self.starting.add(machine)

    @rule(machine=machines, app=st.sampled_from(["a", "b", "c"]))
    def wake(self, machine: str, app: str) -> None:
        if machine in self.starting | self.forced or self.budget.again(machine, self.now):
            return
        self._forget(machine)
        if ask(self.budget, machine, self.now, self.available, app):
            self._admitted(machine)

    @rule(machine=machines, app=st.sampled_from(["a", "b", "c"]))
    def is_to_run_again(self, machine: str, app: str) -> None:
        if machine in self.starting | self.forced or self.budget.line.find(machine):
            return
        if machine not in self.wanted:
            self.wanted.add(machine)
            if again(self.budget, machine, self.now, app):
                self._admitted(machine)

    @rule(app=st.sampled_from(["a", "b", "c"]))
    def is_called(self, app: str) -> None:
        self.budget.called("acme", app)

    @rule(machine=machines)
    def gets_another_goal(self, machine: str) -> None:
        self._forget(machine)

    def _forget(self, machine: str) -> None:
        self.budget.forget(machine)
        self.wanted.discard(machine)

    @rule(machine=machines)
    def user_starts(self, machine: str) -> None:
        self.wanted.discard(machine)
        self.budget.force(machine, NEED, self.now)
        if machine not in self.starting:
            self.forced.add(machine)

    @rule(machine=machines)
    def ends(self, machine: str) -> None:
        self.budget.over(machine)
        self.starting.discard(machine)
        self.forced.discard(machine)

    @rule(available=st.sampled_from([0, 256 * MIB + NEED, 256 * MIB + 3 * NEED, PLENTY]))
    def memory(self, available: int) -> None:
        self.available = available

    @rule()
    def turn(self) -> None:
        lines = (*self.budget.line.order(), *self.budget.later.order())
        foretold = [waiting.machine for waiting in lines]
        admitted = self.budget.turn(self.now, self.available)
        assert admitted == foretold[: len(admitted)]
        for machine in admitted:
            self._admitted(machine)

    @invariant()
    def the_limit_holds(self) -> None:
        held = len(self.starting | self.forced)
        assert held == self.budget.counts(self.now).starting
        in_line = {waiting.machine for waiting in (*self.budget.line, *self.budget.later)}
        assert len(self.budget) == len(in_line)
        assert in_line >= self.wanted
        assert len(self.starting) <= 3

    def teardown(self) -> None:
        """Everybody gets a turn once slots are given back and there is memory."""
        self.available = PLENTY
        for machine in self.forced | self.starting:
            self.budget.over(machine)
        for _ in range(len(self.budget)):
            for machine in self.budget.turn(self.now, PLENTY):
                self.budget.over(machine)
        assert 0 == len(self.budget)


TestCrowd = Crowd.TestCase
TestCrowd.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
