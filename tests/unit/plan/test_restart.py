"""What becomes of a Machine whose program ended."""

from __future__ import annotations

import pytest

from roost.model.machine_config import MachineConfig, Restart
from roost.model.records import Machine
from roost.plan.restart import Decision, Verdict, after_exit
from tests.support.machines import a_machine

NOW = 10_000_000


def with_policy(policy: str | None, **more: object) -> Machine:
    restart = Restart.model_validate({"policy": policy}) if policy else None
    return a_machine(config=MachineConfig(image="x", restart=restart), **more)


@pytest.mark.parametrize(
    ("policy", "code", "verdict"),
    [
        (None, 1, Verdict.RESTART),
        (None, 0, Verdict.REST),
        ("on-failure", 137, Verdict.RESTART),
        ("on-failure", 0, Verdict.REST),
        ("always", 0, Verdict.RESTART),
        ("always", 1, Verdict.RESTART),
        ("no", 0, Verdict.REST),
        ("no", 1, Verdict.REST),
    ],
)
def test_policy_table(policy: str | None, code: int, verdict: Verdict) -> None:
    """Each policy answers as Fly documents it; unset is on-failure."""
    assert verdict == after_exit(with_policy(policy), code, NOW).verdict


def test_an_asked_for_stop_is_never_undone() -> None:
    """Even `always` rests after a stop that somebody asked for."""
    machine = with_policy("always", stop_requested=True)
    assert Decision(Verdict.REST) == after_exit(machine, 1, NOW)


def test_retries_run_out_within_five_minutes() -> None:
    """Ten restarts within five minutes are the limit; older ones do not count."""
    spent = with_policy(None, restarts=tuple(NOW - i for i in range(10)))
    assert Verdict.REST == after_exit(spent, 1, NOW).verdict
    assert Verdict.RESTART == after_exit(spent, 1, NOW + 300_000).verdict


def test_auto_destroy_goes_when_it_would_rest() -> None:
    """`machine run --rm` leaves nothing behind."""
    config = MachineConfig(image="x", auto_destroy=True, restart=Restart(policy="no"))
    assert Verdict.DESTROY == after_exit(a_machine(config=config), 3, NOW).verdict


def test_delay_doubles_and_is_bounded() -> None:
    """The first restart is at once, later ones wait longer, never more than half a minute."""
    delays = [
        after_exit(with_policy("always", restarts=(NOW,) * count), 1, NOW).delay_ms
        for count in (0, 1, 2, 3, 20)
    ]
    assert [0, 200, 400, 800, 30_000] == delays
