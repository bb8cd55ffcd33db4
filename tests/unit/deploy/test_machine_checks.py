"""Deploys with machine checks, on a control plane in memory and a host that plays a script."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost.control.machine_requests import CreateMachine
from roost.deploy.managed import managed_machines
from roost.model.records import Machine
from roost.spec.machine_check import CHECK_GROUP
from tests.support.deploys import BREAKS, HANGS, RUNS, Ends, Script, World, last, play, said

CHECKED = """
[build]
image = "nginx"
[http_service]
internal_port = 80
[[http_service.machine_checks]]
command = ["ask", "it all"]
"""
CHECKED_2 = CHECKED.replace('"nginx"', '"nginx:2"')


def is_check(machine: Machine) -> bool:
    """Whether it runs a check."""
    return machine.config.metadata["fly_process_group"] == CHECK_GROUP


def checks_do(world: World, what: Script) -> list[Machine]:
    """Make every check do this and the others run; collects the checks."""
    seen: list[Machine] = []

    def script(machine: Machine) -> Script:
        if is_check(machine):
            seen.append(machine)
            return what
        return RUNS

    world.host.script = script
    return seen


def test_each_machine_is_tested_when_it_runs(tmp_path: Path) -> None:
    """Every Machine has a check of its own that knows its address, and none of them stays."""

    async def story(world: World) -> None:
        checks = checks_do(world, Ends(0))
        events = await world.deploy(CHECKED)
        machines = world.machines()
        assert last(events).type == "done"
        assert sorted(check.config.env["FLY_TEST_MACHINE_IP"] for check in checks) == sorted(
            str(machine.private_ip) for machine in machines
        )
        assert [check.region for check in checks] == ["local"] * 2
        assert not any(map(is_check, machines))
        name = f"machine check `ask 'it all'` of machine {machines[0].id}"
        assert f"run {name}" in said(events, "step")
        assert f"{name} passed" in said(events, "info")

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("script", "about", "code"),
    [
        (Ends(7), "exited with code 7", 7),
        (BREAKS, "could not be started: no such command", None),
        (HANGS, "did not end within 0.05 s", None),
        (RUNS, "did not end within 0.05 s", None),
    ],
)
def test_a_check_that_fails_stops_the_deploy(
    tmp_path: Path, script: Script, about: str, code: int | None
) -> None:
    """The other Machine keeps the old release; the end tells the check, the Machine that it tested,
    and what became of it. Nothing of the check is left.
    """

    async def story(world: World) -> None:
        checks_do(world, Ends(0))
        await world.deploy(CHECKED)
        checks = checks_do(world, script)
        end = last(await world.deploy(CHECKED_2, wait_timeout="50ms"))
        first, second = world.machines()
        assert end.type == "failed"
        assert end.message == f"machine check `ask 'it all'` of machine {first.id} {about}"
        assert (end.data["machine"], end.data["exit_code"]) == (checks[0].id, code)
        assert end.data["hint"] == f"see `roost logs -a shop -m {checks[0].id}`"
        assert (first.config.image, second.config.image) == ("nginx:2", "nginx")
        assert len(checks) == 1

    play(tmp_path, story)


def test_an_image_that_is_not_there_changes_nothing(tmp_path: Path) -> None:
    """A check's image is looked for before the release is made."""

    async def story(world: World) -> None:
        end = last(await world.deploy(CHECKED + 'image = "curl"\n'))
        assert (end.type, end.message) == ("failed", "image 'curl' does not exist")
        assert world.control.releases.list("shop") == []

    play(tmp_path, story)


@pytest.mark.parametrize("more", [{"detach": True}, {"strategy": "immediate"}])
def test_who_does_not_wait_does_not_test(tmp_path: Path, more: dict[str, object]) -> None:
    """With --detach and with the strategy immediate no check runs."""

    async def story(world: World) -> None:
        checks = checks_do(world, Ends(1))
        assert last(await world.deploy(CHECKED, **more)).type == "done"
        assert checks == []

    play(tmp_path, story)


def test_what_a_killed_daemon_left_is_removed(tmp_path: Path) -> None:
    """The next deploy destroys it, and until then neither deploys nor scaling count it."""

    async def story(world: World) -> None:
        checks = checks_do(world, Ends(0))
        await world.deploy(CHECKED, ha=False)
        left = CreateMachine(config=checks[0].config)
        checks_do(world, RUNS)
        made = await world.control.machines.create("shop", left)
        await world.control.machines.wait("shop", made.id, frozenset({"started"}), 10)
        assert any(map(is_check, world.machines()))
        assert not any(map(is_check, managed_machines(world.control, "shop")))
        checks_do(world, Ends(0))
        assert last(await world.deploy(CHECKED, ha=False)).type == "done"
        assert not any(map(is_check, world.machines()))

    play(tmp_path, story)
