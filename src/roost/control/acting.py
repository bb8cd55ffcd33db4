"""Who acts: carried along by the task that does it, and by the tasks which that one makes.

The API sets it for each call, so that a deploy is its caller's from end to end. Where it is not
set (the host's agent keeping Machines as they are wanted) nobody changed anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Name and id of a token, its organization (None: an operator's), what was asked, and from
    where.
    """

    name: str
    token: str = ""
    org: str | None = None
    action: str
    source: str = ""


def roost_itself(action: str) -> Actor:
    """Roost, doing something that nobody asked for at this moment, such as ending a grant."""
    return Actor(name="roost", action=action)


_acting: ContextVar[Actor | None] = ContextVar("acting", default=None)


def acting() -> Actor | None:
    """Who acts now."""
    return _acting.get()


@contextmanager
def acting_as(actor: Actor) -> Iterator[None]:
    """What is changed inside is this actor's doing."""
    before = _acting.set(actor)
    try:
        yield
    finally:
        _acting.reset(before)
