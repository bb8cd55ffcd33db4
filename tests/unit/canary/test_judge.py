"""From outcomes to alarms."""

from __future__ import annotations

from roost.canary.base import Attempt, Drift, Kind, Means, Outcome, Probed
from roost.canary.judge import MAX_FINDINGS, findings


def outcome(
    *, wanted: bool, happened: bool, network: int = 3, how: str = "", to: str = "fdaa:0:7::3"
) -> Outcome:
    attempt = Attempt(what="reach DNS of network 7", network=network, to=to, means=Means.UDP)
    return Outcome(attempt=attempt, wanted=wanted, happened=happened, how=how)


def test_all_as_it_should_be() -> None:
    """What must fail failed and what must work worked: no alarm."""
    seen = (outcome(wanted=False, happened=False), outcome(wanted=True, happened=True))
    assert () == findings(Probed(outcomes=seen))


def test_a_success_is_a_breach() -> None:
    """The sentence says from where, what, towards what, the evidence, and what to do."""
    seen = (outcome(wanted=False, happened=True, how="it arrived"),)
    (found,) = findings(Probed(outcomes=seen))
    assert (Kind.BREACH, 3) == (found.kind, found.network)
    assert found.sentence.startswith(
        "from network 3 a Machine could reach DNS of network 7 (udp to fdaa:0:7::3): it arrived; "
    )
    assert "SECURITY.md" in found.sentence


def test_a_failed_control_is_blindness() -> None:
    """A control that failed is no sign of safety."""
    (found,) = findings(Probed(outcomes=(outcome(wanted=True, happened=False),)))
    assert Kind.BLIND is found.kind
    assert "it was not possible to reach DNS of network 7" in found.sentence
    assert "proves nothing" in found.sentence


def test_drift_shows_its_first_lines() -> None:
    """What is missing and what is unexpected, a few lines each, and how many more."""
    lines = tuple(f"line {number}" for number in range(5))
    drift = Drift(network=0, what="nftables rules", missing=lines, unexpected=("\taccept",))
    (found,) = findings(Probed(drifts=(drift,)))
    assert Kind.DRIFT is found.kind
    assert "nftables rules of the host not as designed" in found.sentence
    assert "missing: `line 0`, `line 1`, `line 2` and 2 more" in found.sentence
    assert "unexpected: `accept`" in found.sentence


def test_breaches_come_first_and_are_bounded() -> None:
    """A network that is wide open gives a bounded number of alarms, none twice; the last of a
    kind counts the rest.
    """
    seen = [outcome(wanted=True, happened=False)]
    seen += [
        outcome(wanted=False, happened=True, network=1 + n % 2, to=f"port {n}") for n in range(250)
    ]
    seen += seen
    found = findings(Probed(outcomes=tuple(seen)))
    assert MAX_FINDINGS + 2 == len(found)
    assert {Kind.BREACH} == {each.kind for each in found[:-1]}
    assert Kind.BLIND is found[-1].kind
    assert "and 150 more of these (network 1: 75, network 2: 75)" in found[-2].sentence
