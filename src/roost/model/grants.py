"""Consent to an app's address on another organization's network: one enum, one table.

An app of organization A gets an address on a network of organization B only when B agrees. The
grant is that agreement: asked for by A, accepted or rejected by B, and ended by either side or by
its date. The address exists exactly while the grant is accepted.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from roost.errors import PreconditionError
from roost.model.records import Record


class GrantState(StrEnum):
    """Where a grant is."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    """Taken back by the app's side before it was decided."""
    RELEASED = "released"
    """Its address was given back, by whichever side."""
    EXPIRED = "expired"


class GrantEvent(StrEnum):
    """What happens to a grant."""

    ACCEPT = "accept"
    REJECT = "reject"
    RELEASE = "release"
    EXPIRE = "expire"


TABLE: dict[GrantState, dict[GrantEvent, GrantState]] = {
    GrantState.PENDING: {
        GrantEvent.ACCEPT: GrantState.ACCEPTED,
        GrantEvent.REJECT: GrantState.REJECTED,
        GrantEvent.RELEASE: GrantState.WITHDRAWN,
        GrantEvent.EXPIRE: GrantState.EXPIRED,
    },
    GrantState.ACCEPTED: {
        GrantEvent.RELEASE: GrantState.RELEASED,
        GrantEvent.EXPIRE: GrantState.EXPIRED,
    },
    GrantState.REJECTED: {},
    GrantState.WITHDRAWN: {},
    GrantState.RELEASED: {},
    GrantState.EXPIRED: {},
}


def transition(state: GrantState, event: GrantEvent) -> GrantState:
    """The state after an event. Raises PreconditionError where the event has no place."""
    after = TABLE[state].get(event)
    if after is None:
        raise PreconditionError(
            f"the grant is {state}, so it cannot be {_PAST[event]}",
            hint="`roost ips grants list` shows which grants wait for an answer",
        )
    return after


_PAST = {
    GrantEvent.ACCEPT: "accepted",
    GrantEvent.REJECT: "rejected",
    GrantEvent.RELEASE: "released",
    GrantEvent.EXPIRE: "ended by its date",
}


class Grant(Record):
    """One app's address on another organization's network, agreed or asked for."""

    kind: ClassVar[str] = "grant"
    id: str
    """A ULID."""
    app: str
    app_org: str
    org: str
    """The organization whose network it is."""
    network: str
    """The network's name; whether it exists is looked up when the grant is accepted."""
    ports: tuple[int, ...] = ()
    """The only external ports that answer; none named means all."""
    state: GrantState = GrantState.PENDING
    ip: str = ""
    """The address, once accepted."""
    expires_at: int | None = None
    created_at: int
    created_by: str
    """Which organization, or `operator`; its own audit log says by which token."""
    decided_at: int | None = None
    decided_by: str = ""

    @property
    def key(self) -> str:
        """The id."""
        return self.id

    @property
    def open(self) -> bool:
        """Whether something can still happen to it."""
        return bool(TABLE[self.state])

    def indexes(self) -> dict[str, str]:
        """By app and by either organization; `open` lists those that may still expire."""
        pairs = {"app": self.app, "org": self.org, "app_org": self.app_org}
        return pairs | ({"expiring": "yes"} if self.open and self.expires_at is not None else {})
