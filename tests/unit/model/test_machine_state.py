"""The Machine state table."""

from __future__ import annotations

import itertools

import pytest

from roost.model.machine_state import (
    PERSISTENT,
    STARTABLE,
    TABLE,
    Event,
    IllegalTransitionError,
    MachineState,
    transition,
)

S, E = MachineState, Event


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([E.START, E.RUNNING], S.STARTED),
        ([E.START, E.RUNNING, E.STOP, E.HALTED], S.STOPPED),
        ([E.START, E.RUNNING, E.SUSPEND, E.FROZEN, E.START, E.RUNNING], S.STARTED),
        ([E.START, E.RUNNING, E.RESTART, E.HALTED, E.RUNNING], S.STARTED),
        ([E.START, E.RUNNING, E.UPDATE, E.START, E.RUNNING], S.STARTED),
        ([E.SHELVED, E.UPDATE, E.SHELVED], S.STOPPED),
        ([E.START, E.BROKE, E.START], S.STARTING),
        ([E.START, E.RUNNING, E.DESTROY, E.GONE], S.DESTROYED),
        ([E.START, E.RUNNING, E.STOP, E.START], S.STARTING),
    ],
)
def test_lives(events: list[Event], state: MachineState) -> None:
    """Usual lives end where Fly's documentation says."""
    now = S.CREATED
    for event in events:
        now = transition(now, event)
    assert state == now


def test_illegal_events_are_refused_with_both_names() -> None:
    """An event that the table does not know changes nothing and says what was asked where."""
    for state, event in itertools.product(MachineState, Event):
        if event not in TABLE[state]:
            with pytest.raises(IllegalTransitionError, match=f"{state}.*{event}"):
                transition(state, event)


def test_destroyed_is_the_end() -> None:
    """Nothing leads out of destroyed, and it can be reached from everywhere."""
    assert {} == TABLE[S.DESTROYED]
    for state in set(MachineState) - {S.DESTROYED, S.DESTROYING}:
        assert S.DESTROYING == transition(state, E.DESTROY)


def test_startable_states_have_a_start() -> None:
    """A connection may wake only what can start."""
    for state in STARTABLE:
        assert E.START in TABLE[state]


def test_transient_states_are_left() -> None:
    """Every state that is not persistent has a way out by the host's own doing."""
    for state in set(MachineState) - PERSISTENT:
        assert TABLE[state]
