"""Whose turn it is among those who wait for room."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from roost.plan.fair_line import FairLine, Waiting


def a_wake(machine: str, app: str = "web", org: str = "acme") -> Waiting:
    return Waiting(machine=machine, app=app, org=org, memory=0, since_ms=0, asked_ms=0)


def line_of(*wakes: Waiting) -> FairLine:
    line = FairLine()
    for wake in wakes:
        line.push(wake)
    return line


def taken(line: FairLine) -> list[str]:
    order = []
    while (wake := line.pop()) is not None:
        order.append(wake.machine)
    return order


def test_turns_of_organizations_apps_and_machines() -> None:
    """Organizations take turns, then their apps; in an app who came first goes first."""
    line = line_of(
        *(a_wake(f"a{n}", "a") for n in range(3)),
        *(a_wake(f"b{n}", "b") for n in range(2)),
        a_wake("z0", "z", "other"),
        a_wake("z1", "z", "other"),
    )
    assert ["a0", "z0", "b0", "z1", "a1", "b1", "a2"] == [w.machine for w in line.order()]
    assert ["a0", "z0", "b0", "z1", "a1", "b1", "a2"] == taken(line)
    assert 0 == len(line)


def test_a_thousand_do_not_delay_one_by_more_than_a_turn() -> None:
    """One wake of another app, or of another organization, is the second to go from when it came,
    whatever the crowd's app had before.
    """
    line = line_of(*(a_wake(f"m{n}", "crowd") for n in range(1000)))
    assert ["m0", "m1"] == [w.machine for w in (line.pop(), line.pop()) if w]
    line.push(a_wake("one", "quiet"))
    assert ["m2", "one", "m3"] == taken(line)[:3]
    line = line_of(*(a_wake(f"m{n}", f"app{n}", "crowd") for n in range(1000)), a_wake("one"))
    assert ["m0", "one", "m1"] == taken(line)[:3]


def test_who_leaves_changes_nobodys_turn() -> None:
    """Taking somebody out, or asking twice, leaves the others in their order."""
    line = line_of(*(a_wake(f"{app}{n}", app) for app in "ab" for n in range(2)))
    line.push(a_wake("a1", "a"))
    line.remove("a0")
    line.remove("nobody")
    assert ["a1", "b0", "b1"] == taken(line)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 9)),
            st.just("pop"),
            st.integers(0, 9),
        ),
        max_size=60,
    )
)
def test_nobody_is_lost_or_starved(steps: list[tuple[int, int, int] | str | int]) -> None:
    """Whatever comes and goes: everybody in line is taken once, in the order foretold, and of two
    apps of an organization that both wait none goes twice before the other goes once.
    """
    line = FairLine()
    waiting: set[str] = set()
    for step in steps:
        if isinstance(step, tuple):
            org, app, number = step
            machine = f"{org}/{app}/{number}"
            line.push(a_wake(machine, f"{org}/{app}", str(org)))
            waiting.add(machine)
        elif isinstance(step, int):
            gone = next((m for m in sorted(waiting) if m.endswith(str(step))), "")
            line.remove(gone)
            waiting.discard(gone)
        elif (popped := line.pop()) is not None:
            waiting.remove(popped.machine)
    assert waiting == {wake.machine for wake in line}
    foretold = [wake.machine for wake in line.order()]
    order = taken(line)
    assert foretold == order
    assert sorted(order) == sorted(waiting)
    _is_fair([machine.split("/")[0] for machine in order])
    for slug in "0123":
        _is_fair([m.rpartition("/")[0] for m in order if m.startswith(f"{slug}/")])


def _is_fair(turns: list[str]) -> None:
    """Between two turns of one, everybody who still has a turn later had one."""
    for index, who in enumerate(turns):
        later = turns[index + 1 :]
        if who in later:
            between = later[: later.index(who)]
            assert set(later) - {who} <= set(between)
