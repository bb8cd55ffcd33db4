"""Looking for drift: every router and the host's side of it, once. Blocks; runs on a worker."""

from __future__ import annotations

from collections.abc import Sequence

from roost.canary import state
from roost.canary.base import Drift, Subject
from roost.canary.ground import Ground, Traveller
from roost.network import nft
from roost.network.names import host_table


def survey(ground: Ground, subjects: Sequence[Subject]) -> list[Drift]:
    """What is not as designed now. Raises UnavailableError and OSError."""
    with Traveller(ground) as traveller:
        found: list[Drift | None] = []
        ways = {}
        for subject in subjects:
            ways[subject.id] = way = traveller.way(subject)
            found.append(state.router_state(subject.router, way).drift(subject.id))
            rules = nft.listing()
            wanted = state.wanted_router_rules(subject.router, rules, egress=way.wanted)
            found.append(state.rules_drift(subject.id, rules, wanted))
        if ground.egress:
            traveller.to_host()
            at_host = state.host_state(ways, forwards=True, forwards6=ground.egress6)
            found.append(at_host.drift(0))
            rules = nft.listing(host_table(ground.tag))
            found.append(state.rules_drift(0, rules, state.wanted_host_rules(ground.tag, rules)))
    return [drift for drift in found if drift is not None]


def lasting(first: Sequence[Drift], second: Sequence[Drift]) -> list[Drift]:
    """What both looks found, line by line: the rest was on its way. Pure."""
    later = {(drift.network, drift.what): drift for drift in second}
    kept = []
    for drift in first:
        again = later.get((drift.network, drift.what))
        if again is None:
            continue
        missing = tuple(line for line in drift.missing if line in again.missing)
        unexpected = tuple(line for line in drift.unexpected if line in again.unexpected)
        if missing or unexpected:
            kept.append(
                Drift(
                    network=drift.network, what=drift.what, missing=missing, unexpected=unexpected
                )
            )
    return kept
