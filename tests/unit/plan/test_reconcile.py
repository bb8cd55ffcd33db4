"""The plan: from what is seen to where a Machine is meant to rest."""

from __future__ import annotations

import itertools

import pytest

from roost.model.machine_state import TABLE, Event, Goal, MachineState, transition
from roost.model.records import Machine
from roost.plan.reconcile import Box, Seen, Step, plan
from tests.support.machines import a_machine

S, G = MachineState, Goal


def machine(state: MachineState, goal: Goal) -> Machine:
    return a_machine(state=state, goal=goal)


class World:
    """A host and a record on which steps have their effects."""

    def __init__(self, state: MachineState, goal: Goal, seen: Seen) -> None:
        self.state, self.goal, self.seen = state, goal, seen

    def plan(self) -> tuple[Step, ...]:
        return plan(machine(self.state, self.goal), self.seen)

    def take(self, step: Step) -> None:
        box = {
            Step.CREATE: Box.CREATED,
            Step.START: Box.RUNNING,
            Step.THAW: Box.RUNNING,
            Step.FREEZE: Box.FROZEN,
            Step.HALT: Box.EXITED,
            Step.KILL: Box.EXITED,
            Step.DELETE: Box.NONE,
        }.get(step)
        network = {Step.ATTACH: True, Step.DETACH: False}.get(step, self.seen.network)
        fresh = step in (Step.CREATE, Step.DELETE)
        recorded = self.seen.exit_recorded
        if step in (Step.HALT, Step.KILL, Step.DELETE):
            recorded = False
        if step is Step.RECORD_EXIT:
            recorded = True
            self._exit()
        self.seen = Seen(
            box=box or self.seen.box,
            current=self.seen.current or fresh,
            network=network or step is Step.CREATE,
            exit_recorded=recorded,
        )
        self._mark(step)

    def _exit(self) -> None:
        """The record's side: a restart goes on, an unasked end of a started one rests."""
        if self.state is S.RESTARTING:
            self.state = S.STARTING
        elif self.state in (S.STARTED, S.STARTING):
            self.state, self.goal = S.STOPPED, G.STOPPED

    def _mark(self, step: Step) -> None:
        event = {
            Step.MARK_STARTING: Event.START,
            Step.MARK_LOST: Event.LOST,
            Step.MARK_RUNNING: Event.RUNNING,
            Step.MARK_FROZEN: Event.FROZEN,
            Step.MARK_HALTED: Event.HALTED,
            Step.MARK_SHELVED: Event.SHELVED,
            Step.MARK_GONE: Event.GONE,
        }.get(step)
        if event is None:
            return
        self.state = transition(self.state, event)
        if event is Event.RUNNING:
            self.goal = G.STARTED
        if event is Event.HALTED:
            self.goal = G.STOPPED


GOALS_OF = {
    S.CREATED: {G.STARTED, G.STOPPED},
    S.STARTING: {G.STARTED},
    S.STARTED: {G.STARTED},
    S.RESTARTING: {G.STARTED},
    S.STOPPING: {G.STOPPED},
    S.STOPPED: {G.STOPPED},
    S.SUSPENDING: {G.SUSPENDED},
    S.SUSPENDED: {G.SUSPENDED},
    S.REPLACING: {G.STARTED, G.STOPPED},
    S.FAILED: {G.STARTED, G.STOPPED},
    S.DESTROYING: {G.DESTROYED},
    S.DESTROYED: {G.DESTROYED},
}
SITUATIONS = [
    (state, goal, Seen(box=box, current=current, network=network, exit_recorded=recorded))
    for state, goals in GOALS_OF.items()
    for goal, box, current, network, recorded in itertools.product(
        sorted(goals), Box, (True, False), (True, False), (True, False)
    )
]


@pytest.mark.parametrize(("state", "goal", "seen"), SITUATIONS)
def test_every_situation_comes_to_rest(state: MachineState, goal: Goal, seen: Seen) -> None:
    """From any record and any host, executing first steps ends at rest, at the goal."""
    world = World(state, goal, seen)
    for _ in range(20):
        steps = world.plan()
        if not steps:
            break
        world.take(steps[0])
    else:
        pytest.fail(f"no rest: {world.state} {world.goal} {world.seen} {world.plan()}")
    expected = {
        G.STARTED: {S.STARTED, S.FAILED},
        G.STOPPED: {S.STOPPED, S.FAILED},
        G.SUSPENDED: {S.SUSPENDED},
        G.DESTROYED: {S.DESTROYED},
    }
    assert world.state in expected[world.goal]
    if world.state in (S.STOPPED, S.FAILED, S.DESTROYED):
        assert world.seen.box in (Box.NONE, Box.CREATED)
    if world.state in (S.FAILED, S.DESTROYED):
        assert Box.NONE == world.seen.box
        assert not world.seen.network


@pytest.mark.parametrize(
    ("state", "goal", "seen", "steps"),
    [
        (
            S.CREATED,
            G.STARTED,
            Seen(),
            [Step.MARK_STARTING, Step.ATTACH, Step.CREATE, Step.START, Step.MARK_RUNNING],
        ),
        (S.STARTING, G.STARTED, Seen(box=Box.CREATED), [Step.START, Step.MARK_RUNNING]),
        (S.STARTING, G.STARTED, Seen(box=Box.FROZEN), [Step.THAW, Step.MARK_RUNNING]),
        (S.STARTED, G.STARTED, Seen(box=Box.RUNNING), []),
        (S.SUSPENDED, G.SUSPENDED, Seen(box=Box.FROZEN), []),
        (S.STOPPED, G.STOPPED, Seen(), []),
        (S.STOPPED, G.STOPPED, Seen(box=Box.CREATED, network=True), []),
        (S.SUSPENDING, G.SUSPENDED, Seen(box=Box.RUNNING), [Step.FREEZE, Step.MARK_FROZEN]),
        (S.STARTED, G.STARTED, Seen(box=Box.EXITED), [Step.RECORD_EXIT]),
    ],
)
def test_usual_ways(state: MachineState, goal: Goal, seen: Seen, steps: list[Step]) -> None:
    """The everyday plans are these and no longer."""
    assert steps == list(plan(machine(state, goal), seen))


def test_wake_before_a_crash_is_adopted() -> None:
    """A running container beside a record at rest was woken just before a crash: it goes on."""
    for state, goal in ((S.STOPPED, G.STOPPED), (S.SUSPENDED, G.SUSPENDED)):
        steps = plan(machine(state, goal), Seen(box=Box.RUNNING, network=True))
        assert (Step.MARK_RUNNING,) == steps


def test_an_old_instance_is_replaced() -> None:
    """A container of a former configuration is ended before the new one is made."""
    seen = Seen(box=Box.RUNNING, current=False, network=True)
    steps = plan(machine(S.REPLACING, G.STARTED), seen)
    assert [Step.HALT, Step.DELETE, Step.CREATE, Step.START] == list(steps[1:5])


def test_every_state_can_be_destroyed() -> None:
    """A destroy is possible from each state but the last."""
    without = [state for state, row in TABLE.items() if Event.DESTROY not in row]
    assert [S.DESTROYED] == without
