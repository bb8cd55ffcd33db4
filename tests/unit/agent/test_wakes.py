"""Many wakes at once over a fake host: the limit, the order, memory, and that no slot is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

from roost.agent.wakes import Wakes
from roost.control.edit import edit_machine
from roost.control.machine_requests import CreateMachine
from roost.errors import UnavailableError
from roost.model.machine_config import MachineConfig
from roost.plan.wake_budget import MIB, Limits
from tests.support.agent_rig import SERVICE, AgentRig, Test, play
from tests.support.machines import a_machine


def run(tmp_path: Path, test: Test, **limits: int) -> None:
    """Run a test over a running agent that knows one app and starts one Machine at a time."""
    rig = AgentRig(tmp_path / "r")
    rig.wakes = Limits(**({"at_once": 1, "floor": 0, "patience_ms": 5000} | limits))
    rig.boot()
    play(rig, test)


async def sleepers(rig: AgentRig, app: str, count: int, **config: object) -> list[str]:
    """Machines that were never started."""
    fields = {"image": "roost/host", "init": {"cmd": ["server"]}, "services": [SERVICE]} | config
    request = CreateMachine(config=MachineConfig.model_validate(fields), skip_launch=True)
    made = [(await rig.control.machines.create(app, request)).id for _ in range(count)]
    await rig.idle()
    return made


def wake(rig: AgentRig, app: str, machines: list[str]) -> None:
    """As the proxy does while somebody waits for each."""
    for machine in machines:
        rig.proxy.say("wake", machine=machine, app=app)


def waiting(rig: AgentRig) -> int:
    return rig.agent.wake_counts().waiting


class Starts:
    """The Machines whose programs were started, in their order, and which of them boot."""

    def __init__(self, rig: AgentRig) -> None:
        self._rig = rig
        self.order: list[str] = []
        self.making: set[str] = set()
        self.most = 0
        rig.on_driver_call = self._note

    def _note(self) -> None:
        what, _, machine = self._rig.called[-1].partition(" ")
        if what in ("create", "start"):
            self.making.add(machine)
            self.most = max(self.most, len(self.making))
        if what == "start":
            self.order.append(machine)

    def listen(self) -> None:
        """The ports of all that were started accept now."""
        for machine in self.making.intersection(self.order):
            self.making.discard(machine)
            self._rig.proxy.say("ready", machine=machine, port=8080, after_us=1)


def test_a_thousand_wakes(tmp_path: Path) -> None:
    """Ten start at a time until all are served, each once. Nine hundred wakes of one app do not
    keep a hundred other apps, or another organization, waiting.
    """

    async def test(rig: AgentRig) -> None:
        crowd = await sleepers(rig, "web", 899)
        quiet: dict[str, str] = {}
        for number in range(100):
            await rig.control.apps.create(f"quiet-{number}")
            (quiet[f"quiet-{number}"],) = await sleepers(rig, f"quiet-{number}", 1)
        await rig.control.orgs.create("other")
        await rig.control.apps.create("stranger", org="other")
        (stranger,) = await sleepers(rig, "stranger", 1)
        starts = Starts(rig)
        wake(rig, "web", crowd)
        for app, machine in quiet.items():
            wake(rig, app, [machine])
        wake(rig, "stranger", [stranger])
        await rig.settle(lambda: waiting(rig) == 990)
        while len(starts.order) < 1000:
            due = min(1000, len(starts.order) + 10)
            starts.listen()
            await rig.settle(lambda due=due: len(starts.order) >= due)  # type: ignore[misc]
        await rig.idle()
        assert 10 == starts.most
        assert sorted([*crowd, *quiet.values(), stranger]) == sorted(starts.order)
        in_turn = [machine for machine in starts.order if machine in crowd]
        places = {machine: place for place, machine in enumerate(in_turn)}
        # Of those that start at the same time any may be ready first.
        assert all(abs(places[machine] - place) < 10 for place, machine in enumerate(crowd))
        assert stranger in starts.order[:20]
        assert set(quiet.values()) <= set(starts.order[:120])
        assert {"started"} == {str(rig.record(machine).state) for machine in crowd}
        counts = rig.agent.wake_counts()
        assert (10, 990, 0) == (counts.straight, counts.queued, counts.waiting)

    run(tmp_path, test, at_once=10)


def test_a_start_that_fails_makes_room(tmp_path: Path) -> None:
    """Whether the driver fails, the program ends at once, or the Machine is gone when its turn
    comes: the next one starts.
    """

    async def test(rig: AgentRig) -> None:
        first, failing, gone, last = await sleepers(rig, "web", 4)
        (ending,) = await sleepers(rig, "web", 1, init={"cmd": ["true"]})
        wake(rig, "web", [first, failing, gone, ending, last])
        await rig.settle(lambda: waiting(rig) == 4)
        await rig.until(first, "started")
        await rig.control.machines.destroy("web", gone)
        rig.runtime.fail("start", UnavailableError("no"))
        rig.proxy.say("ready", machine=first, port=8080, after_us=1)
        await rig.until(last, "started")
        told = [(refusal["machine"], refusal["code"]) for refusal in rig.proxy.failures]
        assert [(failing, "PM07"), (gone, "PM08")] == told
        assert "failed" == str(rig.record(failing).state)

    run(tmp_path, test)


def test_the_suspended_do_not_wait(tmp_path: Path) -> None:
    """A thaw is done at once while starts wait for room."""

    async def test(rig: AgentRig) -> None:
        frozen = await rig.machine(services=[SERVICE | {"autostop": "suspend"}])
        await rig.until(frozen, "started")
        await rig.control.machines.suspend("web", frozen)
        await rig.until(frozen, "suspended")
        rig.proxy.say("ready", machine=frozen, port=8080, after_us=1)
        first, second = await sleepers(rig, "web", 2)
        wake(rig, "web", [first, second])
        await rig.settle(lambda: waiting(rig) == 1)
        wake(rig, "web", [frozen])
        await rig.until(frozen, "started")
        assert 1 == waiting(rig)

    run(tmp_path, test)


def test_a_users_start_does_not_wait(tmp_path: Path) -> None:
    """An API call starts a Machine that waits in line, and takes it out."""

    async def test(rig: AgentRig) -> None:
        first, second = await sleepers(rig, "web", 2)
        wake(rig, "web", [first, second])
        await rig.settle(lambda: waiting(rig) == 1)
        await rig.control.machines.start("web", second)
        await rig.until(second, "started")
        assert 0 == waiting(rig)

    run(tmp_path, test)


def test_waiting_for_memory(tmp_path: Path) -> None:
    """Without memory a wake waits, the app's log says so after a second, and it starts when there
    is some; one that waits too long is refused with what is missing and what to do.
    """

    async def test(rig: AgentRig) -> None:
        patient, late = await sleepers(rig, "web", 2)
        rig.available = 300 * MIB
        wake(rig, "web", [patient])
        await rig.settle(lambda: waiting(rig) == 1)
        await pass_time(rig, 1.5)
        await rig.settle(lambda: bool(lines(rig)))
        assert lines(rig) == [
            "waiting for room on the host: no wakes are before it, and 1 may start at once; "
            "300 MiB of memory are available, 256 MiB must stay free"
        ]
        rig.available = -1
        await pass_time(rig, 0.1)
        await pass_time(rig, 0.1)
        assert 1 == waiting(rig), "what cannot be read is what it was"
        rig.available = 400 * MIB
        await pass_time(rig, 0.1)
        await rig.until(patient, "started")
        rig.proxy.say("ready", machine=patient, port=8080, after_us=1)
        rig.available = 300 * MIB
        await pass_time(rig, 0.1)
        for _ in range(7):
            wake(rig, "web", [late])
            await pass_time(rig, 1)
        await rig.proxy.until(lambda: rig.proxy.failures)
        refusal = rig.proxy.failures[0]
        assert (late, "PM07") == (refusal["machine"], refusal["code"])
        assert "300 MiB are available" in refusal["message"]
        assert "lower --memory-floor" in refusal["message"]

    run(tmp_path, test, floor=256 * MIB)


async def pass_time(rig: AgentRig, seconds: float) -> None:
    """Let time pass once the agent has read all that the proxy said."""
    before = rig.agent.reports
    rig.proxy.report()
    await rig.settle(lambda: rig.agent.reports > before)
    await rig.clock.tick(seconds)


def lines(rig: AgentRig) -> list[str]:
    found = rig.agent.parts.logs.read("web")
    return [line.message for line in found if line.message.startswith("waiting for room")]


def test_who_is_not_awaited_leaves(tmp_path: Path) -> None:
    """A wake that the proxy does not repeat makes way, and the Machine stays asleep."""

    async def test(rig: AgentRig) -> None:
        first, second = await sleepers(rig, "web", 2)
        rig.available = 0
        wake(rig, "web", [first])
        await rig.settle(lambda: waiting(rig) == 1)
        await pass_time(rig, 2)
        wake(rig, "web", [second])
        await rig.settle(lambda: waiting(rig) == 2)
        await pass_time(rig, 2)
        await rig.settle(lambda: waiting(rig) == 1)
        rig.available = 4 << 30
        await pass_time(rig, 0.1)
        await rig.until(second, "started")
        assert "stopped" == str(rig.record(first).state)

    run(tmp_path, test, floor=256 * MIB)


def test_a_host_that_was_started_anew(tmp_path: Path) -> None:
    """What ran before starts a few at a time, and none that nobody calls before one that somebody
    calls; users' starts do not wait, and in the end all run.
    """

    async def main() -> None:
        rig = AgentRig(tmp_path / "r")
        rig.wakes = Limits(at_once=3, floor=1 << 40, patience_ms=1000)
        rig.boot()
        await rig.proxy.start()
        async with rig.running():
            await rig.app()
            crowd = [await rig.machine() for _ in range(8)]
            await rig.control.apps.create("shop")
            shop = [await rig.machine("shop") for _ in range(3)]
            for machine in (*crowd, *shop):
                await rig.until(machine, "started")
        reboot(rig)
        starts = Starts(rig)
        async with rig.running():
            await rig.settle(lambda: waiting(rig) == 9 and not rig.agent.busy)
            assert 2 == len(starts.order), "one slot is for who calls"
            asked = next(machine for machine in crowd[::-1] if machine not in starts.order)
            await rig.control.machines.start("web", asked)
            await rig.settle(lambda: starts.order[-1] == asked)
            rig.proxy.say("load", machines={}, waiting={"shop": 1})
            starts.listen()
            await rig.settle(lambda: len(starts.order) > 3)
            assert starts.order[3] in shop
            while waiting(rig):
                starts.listen()
                await asyncio.sleep(0)
            for machine in (*crowd, *shop):
                await rig.until(machine, "started")
            assert sorted((*crowd, *shop)) == sorted(starts.order)
            assert 3 >= starts.most
        await rig.proxy.stop()

    asyncio.run(main())


def reboot(rig: AgentRig) -> None:
    """The host is started anew."""
    rig.host.containers.clear()
    rig.network.machines.clear()
    rig.network.routers.clear()
    rig.boot()


def test_who_is_stopped_in_line_stays_stopped(tmp_path: Path) -> None:
    """A Machine that is to run again and gets another goal leaves its line, also when it is called
    for by somebody who waits for its app, or when it is its turn at that very moment.
    """

    async def main() -> None:
        rig = AgentRig(tmp_path / "r")
        rig.wakes = Limits(at_once=1, floor=0, patience_ms=1000)
        rig.boot()
        await rig.proxy.start()
        async with rig.running():
            await rig.app()
            machines = [await rig.machine() for _ in range(4)]
            for machine in machines:
                await rig.until(machine, "started")
        reboot(rig)
        starts = Starts(rig)
        async with rig.running():
            await rig.settle(lambda: waiting(rig) == 3 and not rig.agent.busy)
            promoted, late, turn = (one for one in machines if one not in starts.order)
            for machine in machines:
                await rig.until(machine, "started" if machine in starts.order else "starting")
            rig.proxy.say("load", machines={}, waiting={"web": 1})
            await rig.settle(lambda: rig.agent.reports == 1)
            for machine in (promoted, late):
                await rig.control.machines.stop("web", machine)
                await rig.until(machine, "stopped")
            assert 1 == waiting(rig)
            async with asyncio.TaskGroup() as group:
                group.create_task(rig.control.machines.stop("web", turn))
                starts.listen()
            await rig.until(turn, "stopped")
            assert 0 == waiting(rig)
            assert 1 == len([one for one in machines if rig.record(one).state == "started"])
            wake(rig, "web", [turn])
            await rig.until(turn, "started")
        await rig.proxy.stop()

    asyncio.run(main())


def test_only_who_is_called_is_woken(tmp_path: Path) -> None:
    """At its turn what is to run again is looked at: by then its goal may be another."""
    rig = AgentRig(tmp_path / "r")
    rig.wakes = Limits(at_once=1, floor=0, patience_ms=1000)
    rig.boot()
    woken: list[str] = []
    looked: list[str] = []
    wakes = Wakes(rig.agent.parts, rig.agent.link, wake=woken.append, look=looked.append)
    first, again, called = (a_machine(id=name) for name in ("first", "again", "called"))
    assert wakes.may_start(first)
    wakes.run_again(again.id)
    assert not wakes.may_begin(again)
    assert not wakes.may_start(called)
    wakes.over(first.id)
    assert (["called"], []) == (woken, looked)
    wakes.over(called.id)
    assert (["called"], ["again"]) == (woken, looked)
    assert wakes.may_begin(again), "it has a slot"


def test_a_crash_loop_comes_after_who_is_called(tmp_path: Path) -> None:
    """A program that ends again and again is started when there is room, a wake comes before it."""

    async def test(rig: AgentRig) -> None:
        looping = await rig.machine()
        await rig.until(looping, "started")
        rig.proxy.say("ready", machine=looping, port=8080, after_us=1)
        first, last = await sleepers(rig, "web", 2)
        starts = Starts(rig)
        wake(rig, "web", [first])
        await rig.until(first, "started")
        crashed = {"restarts": (rig.clock.now_ms(),)}
        await edit_machine(rig.store, looping, lambda m: m.model_copy(update=crashed))
        rig.runtime.end(looping, 3)
        await rig.settle(lambda: waiting(rig) == 1)
        wake(rig, "web", [last])
        await rig.settle(lambda: waiting(rig) == 2)
        for number, due in enumerate((last, looping), 1):
            starts.listen()
            await rig.settle(lambda number=number: len(starts.order) > number)  # type: ignore[misc]
            assert due == starts.order[number]
        await rig.until(looping, "started")

    run(tmp_path, test)
