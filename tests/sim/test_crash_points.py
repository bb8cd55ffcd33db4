"""The daemon dies at every driver call in turn: nothing is lost, doubled or left behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from roost.model.machine_state import MachineState
from roost.runtime.base import ContainerState
from tests.support.agent_rig import AgentRig

POINTS = range(12)
"""More than any sequence has calls; beyond their end nothing dies, which must be fine too."""


class Dying:
    """Ends whoever makes the n-th call from now on, as a killed daemon would."""

    def __init__(self, rig: AgentRig, point: int) -> None:
        self._left = point
        rig.on_driver_call = self

    def __call__(self) -> None:
        self._left -= 1
        if self._left == -1:
            raise asyncio.CancelledError


async def started(rig: AgentRig) -> str:
    await rig.app()
    machine = await rig.machine()
    await rig.until(machine, "started")
    return machine


async def after_death(rig: AgentRig) -> None:
    """Let the doomed agent get as far as it can."""
    for _ in range(200):
        await asyncio.sleep(0)


def play(tmp_path: Path, point: int, verb: str, final: MachineState) -> AgentRig:
    """Start a Machine, ask `verb` of an agent that dies at `point`, then run a fresh agent."""

    async def main() -> AgentRig:
        rig = AgentRig(tmp_path / "r")
        await rig.proxy.start()
        async with rig.running():
            if verb == "create":
                await rig.app()
                Dying(rig, point)
                machine = await rig.machine()
            else:
                machine = await started(rig)
                Dying(rig, point)
                await ask(rig, machine, verb)
            await after_death(rig)
        rig.boot()
        rig.on_driver_call = None
        async with rig.running():
            await rig.idle()
            assert final is rig.record(machine).state
        await rig.proxy.stop()
        return rig

    return asyncio.run(main())


async def ask(rig: AgentRig, machine: str, verb: str) -> None:
    if verb == "destroy":
        await rig.control.machines.destroy("web", machine, force=True)
    else:
        await getattr(rig.control.machines, verb)("web", machine)


@pytest.mark.parametrize("point", POINTS)
def test_create(tmp_path: Path, point: int) -> None:
    """A Machine whose creation was acknowledged runs, once, in one network."""
    rig = play(tmp_path, point, "create", MachineState.STARTED)
    assert [ContainerState.RUNNING] == [item.state for item in rig.host.containers.values()]
    assert 1 == len(rig.network.machines)


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize(
    ("verb", "final", "states"),
    [
        ("stop", MachineState.STOPPED, [ContainerState.CREATED]),
        ("suspend", MachineState.SUSPENDED, [ContainerState.FROZEN]),
        ("restart", MachineState.STARTED, [ContainerState.RUNNING]),
        ("destroy", MachineState.DESTROYED, []),
    ],
)
def test_change(
    tmp_path: Path, point: int, verb: str, final: MachineState, states: list[ContainerState]
) -> None:
    """An acknowledged change is completed by the next daemon, and no orphan is left."""
    rig = play(tmp_path, point, verb, final)
    found = [item.state for item in rig.host.containers.values()]
    assert found == states or (verb == "stop" and not found)
    assert len(found) == len(rig.network.machines)
