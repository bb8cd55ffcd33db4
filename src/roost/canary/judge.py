"""From what was seen to alarms. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from roost.canary.base import Drift, Finding, Kind, Outcome, Probed

MAX_FINDINGS = 100
"""Of one kind; a network that is wide open gives one alarm for each attempt."""
_LINES = 3

_AFTER_BREACH = (
    "stop the Machines you do not trust, restart the daemon (it makes every router anew) and "
    "report this as SECURITY.md says"
)
_AFTER_BLIND = (
    "until this works the canary proves nothing here; look at the drift findings and the daemon's "
    "log, and restart the daemon, which mends routers"
)
_AFTER_DRIFT = (
    "find out who changed it; a restarted daemon puts it back, at the first Machine that starts "
    "or run of the canary"
)


def findings(probed: Probed) -> tuple[Finding, ...]:
    """Breaches first, then blindness, then drift; each at most MAX_FINDINGS."""
    breaches = [_breach(item) for item in probed.outcomes if item.happened and not item.wanted]
    blind = [_blind(item) for item in probed.outcomes if item.wanted and not item.happened]
    drifts = [_drift(item) for item in probed.drifts]
    return (*_bounded(breaches), *_bounded(blind), *_bounded(drifts))


def _breach(outcome: Outcome) -> Finding:
    attempt = outcome.attempt
    said = f"from {_place(attempt.network)} a Machine could {attempt.what}"
    evidence = f": {outcome.how}" if outcome.how else ""
    sentence = f"{said} ({attempt.means} to {attempt.to}){evidence}; {_AFTER_BREACH}"
    return Finding(kind=Kind.BREACH, network=attempt.network, sentence=sentence)


def _blind(outcome: Outcome) -> Finding:
    attempt = outcome.attempt
    said = f"in {_place(attempt.network)} it was not possible to {attempt.what}"
    evidence = f": {outcome.how}" if outcome.how else ""
    sentence = f"{said} ({attempt.means} to {attempt.to}){evidence}; {_AFTER_BLIND}"
    return Finding(kind=Kind.BLIND, network=attempt.network, sentence=sentence)


def _drift(drift: Drift) -> Finding:
    parts = []
    if drift.missing:
        parts.append(f"missing: {_shown(drift.missing)}")
    if drift.unexpected:
        parts.append(f"unexpected: {_shown(drift.unexpected)}")
    where = _place(drift.network)
    sentence = f"{drift.what} of {where} not as designed; {'; '.join(parts)}; {_AFTER_DRIFT}"
    return Finding(kind=Kind.DRIFT, network=drift.network, sentence=sentence)


def _shown(lines: tuple[str, ...]) -> str:
    more = f" and {len(lines) - _LINES} more" if len(lines) > _LINES else ""
    return ", ".join(f"`{line.strip()}`" for line in lines[:_LINES]) + more


def _place(network: int) -> str:
    return f"network {network}" if network else "the host"


def _bounded(found: Iterable[Finding]) -> list[Finding]:
    """Each sentence once, at most MAX_FINDINGS, with one that counts the rest by network."""
    every = list({finding.sentence: finding for finding in found}.values())
    kept, rest = every[:MAX_FINDINGS], every[MAX_FINDINGS:]
    if not rest:
        return kept
    by_network = Counter(finding.network for finding in rest)
    counts = ", ".join(f"{_place(number)}: {count}" for number, count in sorted(by_network.items()))
    first = rest[0]
    sentence = f"and {len(rest)} more of these ({counts}); the first ones say what to do"
    return [*kept, Finding(kind=first.kind, network=first.network, sentence=sentence)]
