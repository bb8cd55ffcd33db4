"""The steps of a proxy upgrade."""

from __future__ import annotations

import pytest

from roost.plan.handover import Outcome, Stage, after

ENDS = {Stage.SERVING, Stage.FAILED}


def test_every_step_done_leads_to_serving() -> None:
    """Started, told, then the sockets: nothing is taken before the new process knows everything."""
    stage, seen = Stage.STARTING, [Stage.STARTING]
    while stage not in ENDS:
        stage = after(stage, Outcome.DONE)
        seen.append(stage)
    assert seen == [Stage.STARTING, Stage.TELLING, Stage.TAKING, Stage.SERVING]


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage not in ENDS])
def test_any_step_may_fail(stage: Stage) -> None:
    """Whatever breaks, the upgrade as a whole has failed; no step is tried again."""
    assert after(stage, Outcome.BROKEN) is Stage.FAILED


@pytest.mark.parametrize("stage", sorted(ENDS))
@pytest.mark.parametrize("outcome", Outcome)
def test_nothing_follows_an_end(stage: Stage, outcome: Outcome) -> None:
    """What serves is not taken back by its upgrade, and what failed does not come back to life."""
    with pytest.raises(KeyError):
        after(stage, outcome)
