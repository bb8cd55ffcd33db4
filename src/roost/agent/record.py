"""Changes of a Machine's record that the agent makes: facts from the host, as pure functions.

Each takes the newest record and returns the next one, so that it can be used under
compare-and-set; when the record has meanwhile got another goal, it comes back unchanged and the
worker plans anew.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from roost.model.machine_state import TABLE, Event, Goal, MachineState, transition
from roost.model.records import Machine, MachineEvent
from roost.plan.restart import Verdict, after_exit, recent_restarts
from roost.runtime.base import Exit

MAX_EVENTS = 50
SOURCE = "flyd"
"""What Fly's API names the host's own doing."""

_SETTLED = {Goal.STARTED: MachineState.STARTED, Goal.SUSPENDED: MachineState.SUSPENDED}


def note(
    machine: Machine, kind: str, status: str, now_ms: int, request: dict[str, Any] | None = None
) -> Machine:
    """Add an event, newest first, at most 50 kept."""
    event = MachineEvent(
        id=f"{machine.instance_id}-{now_ms}",
        type=kind,
        status=status,
        source=SOURCE,
        timestamp=now_ms,
        request=request,
    )
    events = (event, *machine.events)[:MAX_EVENTS]
    return machine.model_copy(update={"events": events, "updated_at": now_ms})


def mark(machine: Machine, event: Event, now_ms: int) -> Machine:
    """Apply a state event, if the table has it (else the record as it is)."""
    if event not in TABLE[machine.state]:
        return machine
    state = transition(machine.state, event)
    return machine.model_copy(update={"state": state, "updated_at": now_ms})


def running(machine: Machine, goal_seen: Goal, now_ms: int, *, fresh: bool) -> Machine:
    """The program runs: state started. `goal_seen` is the goal the step was planned for;
    `fresh` is False for a resume, which keeps the time of the start.
    """
    if machine.goal is not goal_seen or Event.RUNNING not in TABLE[machine.state]:
        return machine
    update: dict[str, Any] = {"goal": Goal.STARTED, "stop_requested": False}
    if fresh:
        update["started_at"] = now_ms
    marked = mark(machine, Event.RUNNING, now_ms).model_copy(update=update)
    return note(marked, "start", "started", now_ms)


def woken(machine: Machine, now_ms: int) -> Machine:
    """Somebody called: the goal is started, the state on its way there."""
    if machine.goal is Goal.DESTROYED or Event.START not in TABLE[machine.state]:
        return machine
    if machine.state is MachineState.REPLACING:
        # What was just started is the old version: the update goes its own way.
        return machine
    update = {"goal": Goal.STARTED, "stop_requested": False}
    marked = mark(machine, Event.START, now_ms).model_copy(update=update)
    event = MachineEvent(
        id=f"{machine.instance_id}-{now_ms}-wake",
        type="start",
        status="starting",
        source="proxy",
        timestamp=now_ms,
    )
    return marked.model_copy(update={"events": (event, *marked.events)[:MAX_EVENTS]})


def put_to_sleep(machine: Machine, event: Event, now_ms: int) -> Machine:
    """The idle rule's decision (STOP or SUSPEND)."""
    goal = Goal.SUSPENDED if event is Event.SUSPEND else Goal.STOPPED
    update = {
        "goal": goal,
        "stop_requested": True,
        "stop_signal": None,
        "stop_timeout_ms": None,
    }
    marked = mark(machine, event, now_ms).model_copy(update=update)
    return note(marked, str(event), str(marked.state), now_ms)


def halted(machine: Machine, goal_seen: Goal, now_ms: int) -> Machine:
    """Nothing of it runs: it rests stopped (also when a suspended one was lost)."""
    if machine.goal is not goal_seen:
        return machine
    return mark(machine, Event.HALTED, now_ms).model_copy(update={"goal": Goal.STOPPED})


def frozen(machine: Machine, goal_seen: Goal, now_ms: int) -> Machine:
    """It rests suspended."""
    if machine.goal is not goal_seen:
        return machine
    return note(mark(machine, Event.FROZEN, now_ms), "suspend", "suspended", now_ms)


def broke(machine: Machine, now_ms: int, reason: str) -> Machine:
    """It could not be started: state failed, with the reason in the history."""
    marked = mark(machine, Event.BROKE, now_ms)
    return note(marked, "launch", "failed", now_ms, {"error": reason})


def exit_recorded(machine: Machine, exit_: Exit | None) -> bool:
    """Whether this very end is already in the history."""
    for event in machine.events:
        if event.type == "exit" and event.request:
            seen = event.request.get("exit_event", {}).get("exited_at_ms")
            return exit_ is not None and seen == exit_.at_ms
    return False


def exited(machine: Machine, exit_: Exit, now_ms: int, *, requested: bool) -> tuple[Machine, int]:
    """Write down how it ended and decide what follows: (record, milliseconds to wait first)."""
    asked = requested or machine.stop_requested
    stays = asked or machine.state not in (MachineState.STARTED, MachineState.STARTING)
    if stays:
        after = machine
        if machine.state is MachineState.RESTARTING:
            after = mark(machine, Event.HALTED, now_ms)
        return _note_exit(after, exit_, now_ms, asked=True, restarting=False), 0
    decision = after_exit(machine, exit_.exit_code, now_ms)
    match decision.verdict:
        case Verdict.RESTART:
            after = machine.model_copy(
                update={
                    "state": MachineState.STARTING,
                    "restart_count": machine.restart_count + 1,
                    "restarts": (*recent_restarts(machine, now_ms), now_ms),
                }
            )
        case Verdict.DESTROY:
            after = mark(machine, Event.DESTROY, now_ms).model_copy(update={"goal": Goal.DESTROYED})
        case Verdict.REST:
            after = mark(machine, Event.HALTED, now_ms).model_copy(update={"goal": Goal.STOPPED})
    restarting = decision.verdict is Verdict.RESTART
    noted = _note_exit(after, exit_, now_ms, asked=False, restarting=restarting)
    return noted, decision.delay_ms


def _note_exit(
    machine: Machine, exit_: Exit, now_ms: int, *, asked: bool, restarting: bool
) -> Machine:
    ended = datetime.fromtimestamp(exit_.at_ms / 1000, UTC).isoformat()
    request = {
        "exit_event": {
            "exit_code": exit_.exit_code,
            "guest_exit_code": exit_.exit_code,
            "signal": exit_.signal or -1,
            "guest_signal": exit_.signal or -1,
            "oom_killed": exit_.oom_killed,
            "requested_stop": asked,
            "restarting": restarting,
            "exited_at": ended,
            "exited_at_ms": exit_.at_ms,
        },
        "restart_count": machine.restart_count,
    }
    return note(machine, "exit", "stopped", now_ms, request)
