"""Whether a Machine whose program ended is started again, and when.

Source: docs/machines/guides-examples/machine-restart-policy. Unset means `on-failure`; retries are
counted within five minutes; an explicit stop is never undone. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from roost.model.records import Machine

WINDOW_MS = 5 * 60_000
DEFAULT_RETRIES = 10
_FIRST_DELAY_MS = 100
_MAX_DELAY_MS = 30_000


class Verdict(StrEnum):
    """What becomes of it."""

    RESTART = "restart"
    REST = "rest"
    DESTROY = "destroy"


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict and, for a restart, how long to wait first (milliseconds)."""

    verdict: Verdict
    delay_ms: int = 0


def after_exit(machine: Machine, exit_code: int, now_ms: int) -> Decision:
    """Decide for a Machine whose main process ended with `exit_code` (128+n for signal n)."""
    if machine.stop_requested:
        return Decision(Verdict.REST)
    policy = machine.config.restart.policy if machine.config.restart else "on-failure"
    recent = recent_restarts(machine, now_ms)
    if policy == "always":
        return Decision(Verdict.RESTART, _delay(len(recent)))
    if policy != "no" and exit_code != 0 and len(recent) < _limit(machine):
        return Decision(Verdict.RESTART, _delay(len(recent)))
    return Decision(Verdict.DESTROY if machine.config.auto_destroy else Verdict.REST)


def recent_restarts(machine: Machine, now_ms: int) -> tuple[int, ...]:
    """The restarts (ms) that still count."""
    return tuple(at for at in machine.restarts if now_ms - at < WINDOW_MS)


def _limit(machine: Machine) -> int:
    restart = machine.config.restart
    if restart is None or restart.max_retries is None:
        return DEFAULT_RETRIES
    return restart.max_retries


def _delay(recent: int) -> int:
    """At once the first time, then doubling, so that a crash loop does not eat the host."""
    if recent == 0:
        return 0
    return min(_FIRST_DELAY_MS << min(recent, 16), _MAX_DELAY_MS)
