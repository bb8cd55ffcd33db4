"""What requests do to a Machine's record: pure functions, for use under compare-and-set.

Each flips the state before anybody is answered, so that whoever waits next never sees the old
one. Asking for what is under way already changes nothing. Counterpart: `roost.agent.record` writes
what the host then did.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from roost.errors import ConflictError, InvalidError, PreconditionError
from roost.model.machine_config import MachineConfig
from roost.model.machine_state import Event, Goal, MachineState, transition
from roost.model.records import Machine, MachineEvent

MAX_EVENTS = 50
RESTING = frozenset(
    {
        MachineState.CREATED,
        MachineState.STOPPED,
        MachineState.SUSPENDED,
        MachineState.FAILED,
        MachineState.DESTROYING,
        MachineState.DESTROYED,
    }
)
"""States in which destroy needs no force."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """When a request came (ms) and the id of the event that tells of it."""

    now_ms: int
    event_id: str


def noted(machine: Machine, stamp: Stamp, kind: str, status: str) -> Machine:
    """The record with a user's event in front, at most MAX_EVENTS kept."""
    event = MachineEvent(
        id=stamp.event_id, type=kind, status=status, source="user", timestamp=stamp.now_ms
    )
    return machine.model_copy(
        update={"events": (event, *machine.events)[:MAX_EVENTS], "updated_at": stamp.now_ms}
    )


def start(machine: Machine, stamp: Stamp) -> Machine:
    """Goal started. Raises IllegalTransitionError."""
    state = transition(machine.state, Event.START)
    if machine.goal is Goal.STARTED and state is machine.state:
        return machine
    update: dict[str, Any] = {
        "goal": Goal.STARTED,
        "stop_requested": False,
        "stop_signal": None,
        "stop_timeout_ms": None,
        "restarts": (),
    }
    return _flipped(machine, stamp, Event.START, state, update)


def stop(
    machine: Machine, stamp: Stamp, signal: str | None = None, timeout_ms: int | None = None
) -> Machine:
    """Goal stopped; a suspended one loses its memory. Raises IllegalTransitionError."""
    state = transition(machine.state, Event.STOP)
    update: dict[str, Any] = {
        "goal": Goal.STOPPED,
        "stop_requested": True,
        "stop_signal": signal,
        "stop_timeout_ms": timeout_ms,
    }
    if state is machine.state and machine.model_copy(update=update) == machine:
        return machine
    return _flipped(machine, stamp, Event.STOP, state, update)


def suspend(machine: Machine, stamp: Stamp) -> Machine:
    """Goal suspended; only a started Machine can. Raises IllegalTransitionError."""
    state = transition(machine.state, Event.SUSPEND)
    if machine.goal is Goal.SUSPENDED and state is machine.state:
        return machine
    update: dict[str, Any] = {"goal": Goal.SUSPENDED, "stop_requested": True}
    return _flipped(machine, stamp, Event.SUSPEND, state, update)


def restart(machine: Machine, stamp: Stamp, signal: str | None, timeout_ms: int | None) -> Machine:
    """Stop, then start again; only a started Machine can. Raises IllegalTransitionError."""
    state = transition(machine.state, Event.RESTART)
    update: dict[str, Any] = {
        "goal": Goal.STARTED,
        "stop_requested": False,
        "stop_signal": signal,
        "stop_timeout_ms": timeout_ms,
        "restarts": (),
    }
    return _flipped(machine, stamp, Event.RESTART, state, update)


def destroy(machine: Machine, stamp: Stamp, *, force: bool) -> Machine:
    """Goal destroyed; again is no error. Raises PreconditionError (running, without force)."""
    if machine.goal is Goal.DESTROYED:
        return machine
    if not force and machine.state not in RESTING:
        raise PreconditionError(
            f"machine {machine.id} is {machine.state}, so it is not destroyed",
            hint="stop it first, or destroy it with --force",
        )
    state = transition(machine.state, Event.DESTROY)
    update: dict[str, Any] = {"goal": Goal.DESTROYED, "stop_requested": True}
    if force:
        update |= {"stop_signal": "SIGKILL", "stop_timeout_ms": 0}
    return _flipped(machine, stamp, Event.DESTROY, state, update)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """The next configuration of a Machine. `launch`: start it afterwards."""

    config: MachineConfig
    image_digest: str
    instance_id: str
    launch: bool
    cordoned: bool | None = None


def update(machine: Machine, stamp: Stamp, launch_stamp: Stamp, new: NewVersion) -> Machine:
    """State replacing, with a new instance id. Raises IllegalTransitionError."""
    state = transition(machine.state, Event.UPDATE)
    change: dict[str, Any] = {
        "config": new.config,
        "image_digest": new.image_digest,
        "instance_id": new.instance_id,
        "goal": Goal.STARTED if new.launch else Goal.STOPPED,
        "stop_requested": not new.launch,
        "stop_signal": None,
        "stop_timeout_ms": None,
        "restart_count": 0,
        "restarts": (),
    }
    if new.cordoned is not None:
        change["cordoned"] = new.cordoned
    if machine.lease is not None:
        change["lease"] = machine.lease.model_copy(update={"version": new.instance_id})
    changed = _flipped(machine, stamp, Event.UPDATE, state, change)
    return noted(changed, launch_stamp, "launch", "created") if new.launch else changed


def check_update(machine: Machine, *, name: str, region: str, current_version: str) -> None:
    """What an update must not change. Raises InvalidError, ConflictError (seen version is old)."""
    if current_version and current_version != machine.instance_id:
        raise ConflictError(
            f"machine {machine.id} has version {machine.instance_id}, not {current_version}",
            hint="get it again and repeat the change",
            code="version_mismatch",
        )
    if name not in ("", machine.name):
        raise InvalidError(f"the name of machine {machine.id} cannot be changed")
    if region not in ("", machine.region):
        raise InvalidError(f"the region of machine {machine.id} cannot be changed")


def cordon(machine: Machine, stamp: Stamp, *, on: bool) -> Machine:
    """Give it no new work (or give it some again)."""
    if machine.cordoned is on:
        return machine
    return machine.model_copy(update={"cordoned": on, "updated_at": stamp.now_ms})


def metadata(machine: Machine, stamp: Stamp, key: str, value: str | None) -> Machine:
    """Set or (None) remove one metadata key; the version stays."""
    data = {k: v for k, v in machine.config.metadata.items() if k != key}
    if value is not None:
        data[key] = value
    if data == machine.config.metadata:
        return machine
    config = machine.config.model_copy(update={"metadata": data})
    return machine.model_copy(update={"config": config, "updated_at": stamp.now_ms})


def _flipped(
    machine: Machine, stamp: Stamp, event: Event, state: MachineState, update: dict[str, Any]
) -> Machine:
    flipped = machine.model_copy(update={**update, "state": state})
    return noted(flipped, stamp, str(event), str(state))
