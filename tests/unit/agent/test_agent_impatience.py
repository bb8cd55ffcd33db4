"""What is asked of a Machine while something else about it is under way."""

from __future__ import annotations

import asyncio
from pathlib import Path

from roost.agent import record
from roost.control.edit import edit_machine
from roost.model.machine_state import Goal, MachineState
from tests.support.agent_rig import AgentRig, Test, play

LONG = 300_000


def run(tmp_path: Path, test: Test) -> None:
    """Run a test over a running agent that knows one app."""
    play(AgentRig(tmp_path / "r"), test)


def test_a_crash_loop_is_stopped_at_once(tmp_path: Path) -> None:
    """A stop does not wait for the delay of the restart policy."""

    async def test(rig: AgentRig) -> None:
        machine = await rig.machine()
        await rig.until(machine, "started")
        now = rig.clock.now_ms()
        crashes = {"restarts": (now,) * 9}
        await edit_machine(rig.store, machine, lambda m: m.model_copy(update=crashes))
        rig.runtime.end(machine, 3)
        await rig.settle(lambda: rig.record(machine).restart_count == 1)
        await rig.control.machines.stop("web", machine)
        await rig.until(machine, "stopped")

    run(tmp_path, test)


def test_force_ends_the_patience_of_a_stop(tmp_path: Path) -> None:
    """A Machine that takes its time to stop is destroyed by force without waiting for it."""

    async def test(rig: AgentRig) -> None:
        machine = await rig.machine()
        await rig.until(machine, "started")
        signalled = asyncio.Event()

        async def ignore(container: str, signo: int) -> None:
            assert (machine, 15) == (container, signo)
            signalled.set()

        rig.runtime.signal = ignore  # type: ignore[method-assign]
        await rig.control.machines.stop("web", machine, signal="SIGTERM", timeout_ms=LONG)
        await signalled.wait()
        await rig.control.machines.destroy("web", machine, force=True)
        await rig.until(machine, "destroyed")

    run(tmp_path, test)


def test_a_lease_does_not_fail_who_waits_for_a_running_machine(tmp_path: Path) -> None:
    """A repeated wake of a Machine that is up already is ignored, leased or not."""

    async def test(rig: AgentRig) -> None:
        machine = await rig.machine()
        sleeper = await rig.machine()
        for one in (machine, sleeper):
            await rig.until(one, "started")
            await rig.control.machines.lease("web", one, ttl=60, owner="deploy")
        await edit_machine(
            rig.store, sleeper, lambda m: m.model_copy(update={"state": MachineState.FAILED})
        )
        rig.proxy.say("wake", machine=machine, app="web")
        rig.proxy.say("wake", machine=sleeper, app="web")
        await rig.proxy.until(lambda: bool(rig.proxy.failures))
        assert [sleeper] == [failure["machine"] for failure in rig.proxy.failures]

    run(tmp_path, test)


def test_a_wake_never_finishes_an_update(tmp_path: Path) -> None:
    """A wake that crosses an update leaves it alone: what the wake started is the old version."""

    async def test(rig: AgentRig) -> None:
        machine = await rig.machine()
        started = await rig.until(machine, "started")
        replacing = started.model_copy(update={"state": MachineState.REPLACING})
        woken = record.woken(replacing, 5)
        assert replacing == record.running(woken, Goal.STARTED, 5, fresh=True)

    run(tmp_path, test)
