"""The steps of a proxy upgrade: one enum, one table. Pure.

Each prefix is safe: until `serving` the old process serves, or serves again at once when the new
one ends; from then on the new one does (docs/decisions/0018-handover.md).
"""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """How far an upgrade is."""

    STARTING = "starting"
    """The new process was started; it listens on nothing."""
    TELLING = "telling"
    """It is told everything; the old one serves."""
    TAKING = "taking"
    """It gets sockets and load; callers wait in the sockets for some milliseconds."""
    SERVING = "serving"
    """It serves; the old one's connections go on until they end."""
    FAILED = "failed"
    """The new process was ended; the old one serves."""


class Outcome(StrEnum):
    """What became of a step."""

    DONE = "done"
    BROKEN = "broken"


_NEXT = {
    (Stage.STARTING, Outcome.DONE): Stage.TELLING,
    (Stage.TELLING, Outcome.DONE): Stage.TAKING,
    (Stage.TAKING, Outcome.DONE): Stage.SERVING,
    (Stage.STARTING, Outcome.BROKEN): Stage.FAILED,
    (Stage.TELLING, Outcome.BROKEN): Stage.FAILED,
    (Stage.TAKING, Outcome.BROKEN): Stage.FAILED,
}


def after(stage: Stage, outcome: Outcome) -> Stage:
    """The stage that follows. Raises KeyError after an end."""
    return _NEXT[stage, outcome]
