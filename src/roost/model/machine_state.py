"""The life of a Machine: one enum, one table, one transition function.

Fly's states (docs/machines/machine-states): persistent ones rest, transient ones are left by the
host's own doing. What a user asks for is a `Goal`; the agent moves the state towards it.
Counterpart: `roost.plan.reconcile` says which steps lead there.
"""

from __future__ import annotations

from enum import StrEnum

from roost.errors import PreconditionError


class MachineState(StrEnum):
    """Where a Machine is; the names are Fly's."""

    CREATED = "created"
    STARTING = "starting"
    STARTED = "started"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    SUSPENDING = "suspending"
    SUSPENDED = "suspended"
    REPLACING = "replacing"
    FAILED = "failed"
    DESTROYING = "destroying"
    DESTROYED = "destroyed"


class Goal(StrEnum):
    """Where a Machine is meant to rest."""

    STARTED = "started"
    STOPPED = "stopped"
    SUSPENDED = "suspended"
    DESTROYED = "destroyed"


class Event(StrEnum):
    """What happens to a Machine: requests of users and of the proxy, then facts from the host."""

    START = "start"
    STOP = "stop"
    SUSPEND = "suspend"
    RESTART = "restart"
    UPDATE = "update"
    DESTROY = "destroy"
    RUNNING = "running"
    HALTED = "halted"
    FROZEN = "frozen"
    BROKE = "broke"
    LOST = "lost"
    GONE = "gone"
    SHELVED = "shelved"


S, E = MachineState, Event

_REQUESTS = {E.UPDATE: S.REPLACING, E.DESTROY: S.DESTROYING}
_RESTING_DOWN = {**_REQUESTS, E.START: S.STARTING, E.STOP: S.STOPPING}

TABLE: dict[MachineState, dict[Event, MachineState]] = {
    S.CREATED: {**_RESTING_DOWN, E.SHELVED: S.STOPPED, E.BROKE: S.FAILED},
    S.STARTING: {
        **_REQUESTS,
        E.START: S.STARTING,
        E.STOP: S.STOPPING,
        E.RUNNING: S.STARTED,
        E.BROKE: S.FAILED,
        E.HALTED: S.STOPPED,
    },
    S.STARTED: {
        **_REQUESTS,
        E.START: S.STARTED,
        E.STOP: S.STOPPING,
        E.SUSPEND: S.SUSPENDING,
        E.RESTART: S.RESTARTING,
        E.RUNNING: S.STARTED,
        E.LOST: S.STARTING,
        E.HALTED: S.STOPPED,
        E.BROKE: S.FAILED,
    },
    S.RESTARTING: {
        **_REQUESTS,
        E.START: S.STARTING,
        E.STOP: S.STOPPING,
        E.HALTED: S.STARTING,
        E.BROKE: S.FAILED,
    },
    S.STOPPING: {
        **_REQUESTS,
        E.STOP: S.STOPPING,
        E.START: S.STARTING,
        E.HALTED: S.STOPPED,
        E.BROKE: S.FAILED,
    },
    S.STOPPED: {**_RESTING_DOWN, E.HALTED: S.STOPPED, E.RUNNING: S.STARTED, E.BROKE: S.FAILED},
    S.SUSPENDING: {
        **_REQUESTS,
        E.SUSPEND: S.SUSPENDING,
        E.START: S.STARTING,
        E.STOP: S.STOPPING,
        E.FROZEN: S.SUSPENDED,
        E.HALTED: S.STOPPED,
        E.BROKE: S.FAILED,
    },
    S.SUSPENDED: {
        **_REQUESTS,
        E.SUSPEND: S.SUSPENDED,
        E.START: S.STARTING,
        E.STOP: S.STOPPING,
        E.RUNNING: S.STARTED,
        E.HALTED: S.STOPPED,
        E.BROKE: S.FAILED,
    },
    S.REPLACING: {
        E.UPDATE: S.REPLACING,
        E.DESTROY: S.DESTROYING,
        E.START: S.STARTING,
        E.SHELVED: S.STOPPED,
        E.BROKE: S.FAILED,
    },
    S.FAILED: {**_RESTING_DOWN, E.BROKE: S.FAILED, E.HALTED: S.STOPPED},
    S.DESTROYING: {E.DESTROY: S.DESTROYING, E.GONE: S.DESTROYED, E.BROKE: S.DESTROYING},
    S.DESTROYED: {},
}

PERSISTENT = frozenset(
    {S.CREATED, S.STARTED, S.STOPPED, S.SUSPENDED, S.FAILED, S.DESTROYED},
)
"""States that a wait for the pseudo-state `settled` accepts."""

STARTABLE = frozenset({S.CREATED, S.STOPPED, S.SUSPENDED, S.STOPPING, S.SUSPENDING, S.FAILED})
"""States from which a connection may wake the Machine (FAILED: it is tried again)."""


class IllegalTransitionError(PreconditionError):
    """The event is not possible in this state."""

    def __init__(self, state: MachineState, event: Event) -> None:
        super().__init__(
            f"machine is {state}, so it cannot {event}", hint="wait until it has settled"
        )
        self.state = state
        self.event = event


def transition(state: MachineState, event: Event) -> MachineState:
    """Next state. Raises IllegalTransitionError (HTTP 412) when the table has no entry."""
    try:
        return TABLE[state][event]
    except KeyError:
        raise IllegalTransitionError(state, event) from None
