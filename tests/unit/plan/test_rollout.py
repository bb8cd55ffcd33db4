"""The order in which a deploy changes Machines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.model.machine_state import MachineState
from roost.plan.rollout import (
    Create,
    Destroy,
    Group,
    Present,
    Settings,
    Stage,
    Step,
    Strategy,
    Update,
    lane_width,
    machines_for,
    plan_rollout,
)

WEB = Group(name="web", has_services=True)
WORKER = Group(name="worker", has_services=False)
UP, DOWN = MachineState.STARTED, MachineState.STOPPED


def machines(count: int, group: str = "web", state: MachineState = UP) -> list[Present]:
    """`count` Machines with ids web-0, web-1, …"""
    return [
        Present(id=f"{group}-{state}-{number}", group=group, state=state) for number in range(count)
    ]


def shape(stages: tuple[Stage, ...]) -> list[list[list[int]]]:
    """For each stage the lanes, for each lane the sizes of its batches."""
    return [[[len(batch) for batch in lane] for lane in stage.lanes] for stage in stages]


@pytest.mark.parametrize(
    ("group", "ha", "expected"),
    [
        (WEB, True, 2),
        (WEB, False, 1),
        (WORKER, True, 1),
        (Group(name="db", has_services=True, has_mount=True), True, 1),
    ],
)
def test_how_many_machines_a_new_group_gets(group: Group, ha: bool, expected: int) -> None:
    """Two with services, one without, one with a volume, one without high availability."""
    assert machines_for(group, ha=ha) == expected


def test_a_first_deploy_makes_the_second_after_the_first() -> None:
    """Groups side by side; the second Machine of a group waits for the first."""
    stages = plan_rollout([WEB, WORKER], [], Settings())
    assert stages == (Stage((((Create("web"),), (Create("web"),)), ((Create("worker"),),))),)


def test_removed_groups_go_first_then_new_ones_come_then_updates() -> None:
    """Destroy, create, update: in this order, each in a stage of its own."""
    present = [*machines(1, "old"), *machines(1, "web")]
    stages = plan_rollout([WEB, WORKER], present, Settings())
    assert [list(stage.steps()) for stage in stages] == [
        [Destroy("old-started-0", "old")],
        [Create("worker")],
        [Update("web-started-0", "web", launch=True)],
    ]


def test_the_first_is_alone_then_two_lanes() -> None:
    """10 running: 1, then lanes of ceil(0.33 x 10) = 4; those down go in a lane of their own."""
    present = [*machines(10), *machines(40, state=DOWN)]
    stages = plan_rollout([WEB], present, Settings())
    assert shape(stages) == [[[1]], [[4, 4, 1], [30, 10]]]
    (first,) = stages[0].steps()
    assert first == Update("web-started-0", "web", launch=True)


def test_machines_that_are_down_stay_down() -> None:
    """Stopped, suspended and created ones are updated without a launch; failed ones are tried."""
    states = [
        MachineState.STOPPED,
        MachineState.SUSPENDED,
        MachineState.CREATED,
        MachineState.FAILED,
        MachineState.STARTING,
    ]
    present = [Present(id=str(state), group="web", state=state) for state in states]
    stages = plan_rollout([WEB], present, Settings())
    launched = {
        step.machine_id: step.launch
        for stage in stages
        for step in stage.steps()
        if isinstance(step, Update)
    }
    assert launched == {
        "stopped": False,
        "suspended": False,
        "created": False,
        "failed": True,
        "starting": True,
    }


def test_at_most_sixteen_groups_at_once() -> None:
    """Twenty groups take two rounds, for creating and for updating."""
    groups = [Group(name=f"g{number:02}", has_services=False) for number in range(20)]
    assert [len(stage.lanes) for stage in plan_rollout(groups, [], Settings())] == [16, 4]
    present = [one for group in groups for one in machines(1, group.name)]
    assert [len(stage.lanes) for stage in plan_rollout(groups, present, Settings())] == [16, 4]


def test_immediate_does_all_at_once_in_bounded_batches() -> None:
    """One stage after the removals, batches of max_concurrent."""
    settings = Settings(strategy=Strategy.IMMEDIATE, max_concurrent=8)
    present = [*machines(1, "old"), *machines(17)]
    assert shape(plan_rollout([WEB, WORKER], present, settings)) == [[[1]], [[8, 8, 2]]]


def test_update_only_makes_and_destroys_nothing() -> None:
    """New secrets reach the Machines there are; groups are left as they are."""
    present = [*machines(1, "old"), *machines(1, "web")]
    stages = plan_rollout([WEB, WORKER], present, Settings(update_only=True))
    assert [list(stage.steps()) for stage in stages] == [
        [Update("web-started-0", "web", launch=True)]
    ]


def test_machines_on_their_way_out_are_left_alone() -> None:
    """A destroyed or destroying Machine counts as none: its group is made anew."""
    present = machines(2, state=MachineState.DESTROYING)
    assert plan_rollout([WORKER, WEB], present, Settings(ha=False)) == plan_rollout(
        [WORKER, WEB], [], Settings(ha=False)
    )


@pytest.mark.parametrize(
    ("share", "count", "expected"),
    [(0.33, 10, 4), (0.33, 1, 1), (0.5, 3, 2), (1, 10, 1), (3, 10, 3), (2.9, 10, 2), (0.01, 5, 1)],
)
def test_width_of_a_lane(share: float, count: int, expected: int) -> None:
    """From 1 on a count, below it a share rounded up, never nothing."""
    assert lane_width(share, count) == expected


STATES = st.sampled_from(list(MachineState))
PRESENT = st.lists(st.tuples(st.sampled_from(["web", "worker", "old"]), STATES), max_size=12)


@given(PRESENT, st.sampled_from(list(Strategy)), st.floats(0.01, 9), st.booleans())
def test_every_machine_has_exactly_one_step(
    kinds: list[tuple[str, MachineState]], strategy: Strategy, share: float, ha: bool
) -> None:
    """Whatever there is, each living Machine is updated or destroyed once, and no other is."""
    present = [
        Present(id=f"m{number:02}", group=group, state=state)
        for number, (group, state) in enumerate(kinds)
    ]
    stages = plan_rollout(
        [WEB, WORKER], present, Settings(strategy=strategy, max_unavailable=share, ha=ha)
    )
    steps: list[Step] = [step for stage in stages for step in stage.steps()]
    living = [one for one in present if one.state not in {"destroyed", "destroying"}]
    updated = sorted(step.machine_id for step in steps if isinstance(step, Update))
    gone = sorted(step.machine_id for step in steps if isinstance(step, Destroy))
    assert updated == sorted(one.id for one in living if one.group != "old")
    assert gone == sorted(one.id for one in living if one.group == "old")
    made = {step.group for step in steps if isinstance(step, Create)}
    assert made == {"web", "worker"} - {one.group for one in living}
