"""The idle rule: who goes to sleep, and when."""

from __future__ import annotations

from roost.plan.autostop import Candidate, Memory, ServiceLoad, Sleep, decide

AFTER = 10_000


def machine(
    name: str,
    *,
    now: int = 0,
    peak: int = 0,
    soft: int = 20,
    floor: int = 0,
    leased: bool = False,
    since: int = 0,
    app: str = "a",
) -> Candidate:
    return Candidate(
        id=name,
        group=(app, "ams", (80,)),
        action="stop",
        after_ms=AFTER,
        floor=floor,
        leased=leased,
        since_ms=since,
        loads=(ServiceLoad(peak=peak, now=now, soft_limit=soft),),
    )


def run(seconds: list[list[Candidate]]) -> list[list[str]]:
    """One decision a second; the ids put to sleep in each."""
    memory, slept = Memory(), []
    for second, candidates in enumerate(seconds):
        asleep, memory = decide(candidates, memory, second * 1000)
        slept.append([item.machine for item in asleep])
    return slept


def test_single_idle_machine_sleeps_after_its_time() -> None:
    """One Machine without load sleeps once it has had none for auto_stop_after, not before."""
    slept = run([[machine("m")]] * 12)
    assert [[]] * 10 + [["m"]] * 2 == slept


def test_single_machine_in_use_stays() -> None:
    """A use within any second starts the time anew."""
    idle, used = [machine("m")], [machine("m", peak=1)]
    slept = run([*[idle] * 8, used, *[idle] * 11])
    assert [] == slept[18]
    assert ["m"] == slept[19]


def test_an_open_connection_keeps_the_only_machine_awake() -> None:
    """Load that is held, even without new use, is load."""
    slept = run([[machine("m", now=1, peak=1)]] * 30)
    assert [[]] * 30 == slept


def test_excess_is_running_minus_over_soft_plus_one() -> None:
    """Of five Machines with two over soft, the formula spares three and the two idle ones sleep."""
    members = [
        machine("busy1", now=25, peak=25),
        machine("busy2", now=25, peak=25),
        machine("some", now=1, peak=1),
        machine("idle1"),
        machine("idle2"),
    ]
    slept = run([members] * 11)
    assert ["idle1", "idle2"] == slept[10]


def test_whole_excess_sleeps_in_one_pass_and_the_last_follows() -> None:
    """Any number of Machines sleep in one pass; the last of an idle group the next second."""
    members = [machine(f"m{i}") for i in range(4)]
    slept = run([*[members] * 11, members[3:]])
    assert ["m0", "m1", "m2"] == slept[10]
    assert ["m3"] == slept[11]


def test_last_machine_waits_for_its_own_idleness() -> None:
    """When the others have just been put to sleep, the one that was in use is not taken along."""
    pair = [machine("idle"), machine("used", peak=1, now=0)]
    slept = run([*[pair] * 11, *[[machine("used")]] * 11])
    assert ["idle"] == slept[10]
    assert [] == slept[12]
    assert ["used"] == slept[20]


def test_floor_keeps_min_machines_running() -> None:
    """min_machines_running are left, whatever the load."""
    members = [machine(f"m{i}", floor=2) for i in range(3)]
    assert ["m0"] == run([members] * 11)[10]
    assert [[]] * 30 == run([members[:2]] * 30)


def test_leased_machine_is_not_touched() -> None:
    """A leased Machine is passed over."""
    assert [[]] * 30 == run([[machine("m", leased=True)]] * 30)


def test_fresh_machine_gets_its_whole_time() -> None:
    """A Machine started while the group had an excess is not put to sleep before its own time."""
    old, new = machine("old", now=1, peak=1), machine("new", since=5_000)
    slept = run([*[[old, machine("was")]] * 5, *[[old, new]] * 12])
    assert [] == slept[14]
    assert ["new"] == slept[15]


def test_apps_are_judged_apart() -> None:
    """One app's load does not keep another's Machine awake."""
    members = [machine("busy", now=3, peak=3), machine("idle", app="b")]
    asleep, _ = decide(members, Memory({("b", "ams", (80,)): 0}), AFTER)
    assert [Sleep("idle", "stop")] == asleep
