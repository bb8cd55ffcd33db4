"""How many Machines a group gets, which go, and where new ones are."""

from __future__ import annotations

import pytest

from roost.errors import InvalidError
from roost.model.machine_state import MachineState
from roost.plan.placement import Placement, choose_region, placements, regions
from roost.plan.rollout import Present
from roost.plan.scaling import Change, plan_scale, wanted_count


@pytest.mark.parametrize(
    ("asked", "present", "expected"),
    [(3, 1, 3), ("3", 5, 3), ("+2", 1, 3), ("-1", 3, 2), ("-9", 3, 0), (0, 3, 0), ("0", 0, 0)],
)
def test_counts(asked: str | int, present: int, expected: int) -> None:
    """Numbers are absolute, signed texts are relative, and nothing is below none."""
    assert wanted_count(asked, present) == expected


@pytest.mark.parametrize("asked", ["", "x", "1.5", "++1", -1, True, 1001, "+1001", "9999999"])
def test_no_counts(asked: str | int) -> None:
    """Anything else, and too many, is an error with a hint."""
    with pytest.raises(InvalidError) as caught:
        wanted_count(asked, 1)
    assert caught.value.hint


def machine(name: str, state: MachineState) -> Present:
    """A Machine of group app."""
    return Present(id=name, group="app", state=state)


def test_those_that_do_not_run_go_first() -> None:
    """Scaling down keeps running Machines as long as there are others."""
    present = [
        machine("a", MachineState.STARTED),
        machine("b", MachineState.STOPPED),
        machine("c", MachineState.STARTED),
        machine("d", MachineState.SUSPENDED),
    ]
    assert plan_scale("app", 2, present) == Change(group="app", destroy=("b", "d"))
    assert plan_scale("app", "-3", present).destroy == ("b", "d", "a")
    assert plan_scale("app", 6, present) == Change(group="app", create=2)
    assert plan_scale("app", 4, present) == Change(group="app")


def test_one_host_is_one_region() -> None:
    """Regions and placements answer with the host's region only."""
    assert [region.code for region in regions("home")] == ["home"]
    expected = [Placement(region="home", count=2, concurrency=2)]
    assert placements("home", "any", 2) == placements("home", "home", 2) == expected
    with pytest.raises(InvalidError):
        placements("home", "ams", 1)
    with pytest.raises(InvalidError):
        placements("home", "any", 0)


def test_a_primary_region_of_elsewhere_is_told() -> None:
    """A fly.toml written for another place deploys here, with a warning."""
    assert choose_region("home", None).warning is None
    assert choose_region("home", "home").warning is None
    chosen = choose_region("home", "ams")
    assert chosen.region == "home"
    assert "'ams'" in str(chosen.warning)
