"""Deploys from request to release, on a control plane in memory and a host that plays a script."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from roost.clock import SystemClock
from roost.control.machine_requests import CreateMachine
from roost.deploy.leases import LOOK_AGAIN, Leases
from roost.deploy.request import DeployRequest
from roost.model.machine_config import MachineConfig
from roost.model.machine_state import MachineState
from roost.model.records import Address, AddressType, Machine
from roost.spec.fly_toml import parse
from roost.store.base import Put
from tests.support.deploys import (
    AILS,
    BREAKS,
    HANGS,
    RUNS,
    Ends,
    Script,
    World,
    a_world,
    last,
    play,
    said,
)

WEB = '[build]\nimage = "nginx"\n[http_service]\ninternal_port = 80\n'
WEB_2 = WEB.replace('"nginx"', '"nginx:2"')
CHECKED = WEB + '[[http_service.checks]]\n[checks.up]\ntype = "tcp"\n'
CHECKED_2 = CHECKED.replace('"nginx"', '"nginx:2"')
WORKER = '[build]\nimage = "nginx"\n'
HOST = '[build]\nimage = "roost/host"\n[processes]\napp = "./run"\n'
TWO = (
    '[build]\nimage = "nginx"\n[processes]\nweb = "w"\nworker = "k"\n'
    '[http_service]\nprocesses = ["web"]\n'
)


def statuses(world: World) -> list[str]:
    """Status of each release, oldest first."""
    return [release.status for release in reversed(world.control.releases.list("shop"))]


def images(world: World) -> list[str]:
    """What the Machines are configured to run."""
    return [machine.config.image for machine in world.machines()]


def test_a_first_deploy_makes_two_machines(tmp_path: Path) -> None:
    """Both run the release, nobody holds them afterwards, and the end tells what was made."""

    async def story(world: World) -> None:
        end = last(await world.deploy(WEB, flycast=True))
        machines = world.machines()
        assert [machine.state for machine in machines] == [MachineState.STARTED] * 2
        assert [machine.lease for machine in machines] == [None, None]
        assert machines[0].config.metadata["fly_release_version"] == "1"
        assert machines[0].config.env["PRIMARY_REGION"] == "local"
        (address,) = world.control.addresses.list("shop")
        assert end.to_json() == {
            "type": "done",
            "message": "shop v1 is deployed: http://shop.flycast",
            "version": 1,
            "machines": [machine.id for machine in machines],
            "addresses": [address.ip],
            "url": "http://shop.flycast",
        }
        assert statuses(world) == ["complete"]
        assert world.control.releases.list("shop")[0].config["http_service"] == {
            "internal_port": 80
        }

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("text", "more", "count"), [(WEB, {"ha": False}, 1), (WORKER, {}, 1), (TWO, {}, 3)]
)
def test_how_many_machines(tmp_path: Path, text: str, more: dict[str, Any], count: int) -> None:
    """One without services or without high availability; each group counts for itself."""

    async def story(world: World) -> None:
        assert last(await world.deploy(text, **more)).type == "done"
        assert len(world.machines()) == count

    play(tmp_path, story)


def test_both_ways_to_a_private_address_end_with_one(tmp_path: Path) -> None:
    """`launch --flycast --no-deploy` then a bare deploy, and further deploys with --flycast."""

    async def story(world: World) -> None:
        await world.control.apps.want_flycast("shop", True)
        for more in ({}, {"flycast": True}, {}):
            assert last(await world.deploy(WEB, **more)).type == "done"
            assert len(world.control.addresses.list("shop")) == 1
        assert not world.control.apps.get("shop").wants_flycast

    play(tmp_path, story)


def test_without_an_address_the_user_is_told_once(tmp_path: Path) -> None:
    """Services and neither flag nor address: one warning, and no address of any kind."""

    async def story(world: World) -> None:
        warned = [one for one in said(await world.deploy(WEB), "warning") if "address" in one]
        assert warned == [
            "no private address: pass --flycast or run `roost ips allocate-v6 --private`"
        ]
        assert world.control.addresses.list("shop") == []
        assert said(await world.deploy(WEB, no_public_ips=True), "warning") == []
        assert said(await world.deploy(WORKER), "warning") == []

    play(tmp_path, story)


def test_an_app_without_services_gets_no_address(tmp_path: Path) -> None:
    """--flycast says why nothing was allocated, and the wish of a launch is kept."""

    async def story(world: World) -> None:
        await world.control.apps.want_flycast("shop", True)
        (warning,) = said(await world.deploy(WORKER), "warning")
        assert "no services" in warning
        assert world.control.apps.get("shop").wants_flycast

    play(tmp_path, story)


def test_a_second_deploy_updates_in_place(tmp_path: Path) -> None:
    """Same ids, new image, new version; a stopped Machine is updated and stays down."""

    async def story(world: World) -> None:
        await world.deploy(WEB)
        before = world.machines()
        stopped = before[1].id
        await world.control.machines.stop("shop", stopped)
        await world.control.machines.wait("shop", stopped, frozenset({"stopped"}), 5)
        assert last(await world.deploy(WEB_2)).type == "done"
        after = world.machines()
        assert [machine.id for machine in after] == [machine.id for machine in before]
        assert [machine.state for machine in after] == [MachineState.STARTED, MachineState.STOPPED]
        assert images(world) == ["nginx:2", "nginx:2"]
        assert statuses(world) == ["complete", "complete"]

    play(tmp_path, story)


def test_groups_come_and_go(tmp_path: Path) -> None:
    """Machines of a removed group are destroyed, a new group is made; by-hand ones are left."""

    async def story(world: World) -> None:
        await world.deploy(TWO)
        await world.deploy(WORKER)
        groups = [one.config.metadata["fly_process_group"] for one in world.machines()]
        assert groups == ["app"]
        assert sum(line.startswith("gone ") for line in world.host.log) == 3

    play(tmp_path, story)


def test_update_only_leaves_the_number_of_machines(tmp_path: Path) -> None:
    """New secrets come to the Machines there are; none is made."""

    async def story(world: World) -> None:
        assert last(await world.deploy(WEB, update_only=True)).type == "done"
        assert world.machines() == []

    play(tmp_path, story)


def of_image(image: str, script: Script) -> Callable[[Machine], Script]:
    """Machines of one image follow the script, all others run."""
    return lambda machine: script if machine.config.image == image else RUNS


@pytest.mark.parametrize(
    ("script", "about", "code"),
    [
        (Ends(3), "exited with code 3 soon after its start", 3),
        (Ends(0), "exited with code 0 soon after its start", 0),
        (Ends(1, restarting=True), "exited with code 1", 1),
        (BREAKS, "could not be started: no such command", None),
    ],
)
def test_a_machine_that_does_not_stay_up_stops_the_deploy(
    tmp_path: Path, script: Script, about: str, code: int | None
) -> None:
    """The first Machine fails: the second keeps the old release, and the end says which and why."""

    async def story(world: World) -> None:
        await world.deploy(WEB)
        first = world.machines()[0]
        log = world.home.machine_log("shop", first.id)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("2025-01-01T00:00:00.000000000+00:00 stderr F no port given\n")
        world.host.script = of_image("nginx:2", script)
        end = last(await world.deploy(WEB_2, smoke_window="10s"))
        assert end.type == "failed"
        assert f"machine {first.id} of group app" in end.message
        assert about in end.message
        assert end.data["machine"] == first.id
        assert end.data["exit_code"] == code
        assert end.data["output"] == ["no port given"]
        assert images(world) == ["nginx:2", "nginx"]
        assert [machine.lease for machine in world.machines()] == [None, None]
        assert statuses(world) == ["complete", "failed"]

    play(tmp_path, story)


def test_a_program_without_services_may_finish(tmp_path: Path) -> None:
    """Exit code 0 of a worker is no failure."""

    async def story(world: World) -> None:
        world.host.script = lambda _: Ends(0)
        assert last(await world.deploy(WORKER, smoke_window="10s")).type == "done"

    play(tmp_path, story)


def test_a_machine_that_never_comes_up_fails_after_the_wait(tmp_path: Path) -> None:
    """The message says what was not reached within which time."""

    async def story(world: World) -> None:
        world.host.script = lambda _: HANGS
        end = last(await world.deploy(WEB, wait_timeout="20ms"))
        assert end.type == "failed"
        assert "within 0.02 s: it is starting" in end.message
        assert len(world.machines()) == 1

    play(tmp_path, story)


def test_checks_that_fail_stop_the_deploy(tmp_path: Path) -> None:
    """A deploy waits for every check and stops at the first Machine that does not pass: the message
    names check and output, the other Machine keeps what it runs. With --detach nobody waits, nor
    with --skip-health-checks.
    """

    async def story(world: World) -> None:
        assert last(await world.deploy(CHECKED)).type == "done"
        world.host.script = lambda _: AILS
        failed = last(await world.deploy(CHECKED_2, wait_timeout="50ms"))
        assert failed.type == "failed"
        assert "does not pass its health checks within" in failed.message
        assert "servicecheck-00-http-80: said so; up: said so" in failed.message
        assert sorted(images(world)) == ["nginx", "nginx:2"]
        assert statuses(world) == ["complete", "failed"]
        assert last(await world.deploy(CHECKED_2, detach=True)).type == "done"
        skipped = await world.deploy(CHECKED_2, skip_health_checks=True)
        assert last(skipped).type == "done"

    play(tmp_path, story)


def test_a_deploy_waits_for_health(tmp_path: Path) -> None:
    """It goes on when the last check is told to pass, and not before."""

    async def story(world: World) -> None:
        world.host.script = lambda _: AILS
        told = 0

        async def heal() -> None:
            nonlocal told
            await world.host.board.changed()
            for machine in world.machines():
                told += 1
                world.host.tell(machine, "passing")

        async with asyncio.TaskGroup() as group:
            group.create_task(heal())
            deploying = group.create_task(world.deploy(CHECKED, ha=False))
        assert (last(deploying.result()).type, told) == ("done", 1)

    play(tmp_path, story)


def test_immediate_does_not_wait(tmp_path: Path) -> None:
    """All Machines are changed although none comes up, and the release is complete."""

    async def story(world: World) -> None:
        await world.deploy(WEB)
        world.host.script = lambda _: HANGS
        assert last(await world.deploy(WEB_2, strategy="immediate")).type == "done"
        assert images(world) == ["nginx:2", "nginx:2"]

    play(tmp_path, story)


def test_immediate_tries_everything_and_reports(tmp_path: Path) -> None:
    """A Machine that cannot be changed does not keep the others from the release."""

    async def story(world: World) -> None:
        await world.deploy(WEB)
        text = WEB_2 + "[[vm]]\ncpus = 64\n"
        events = await world.deploy(text, strategy="immediate")
        assert last(events).type == "failed"
        assert "2 Machines could not be changed" in last(events).message
        assert len(said(events, "warning")) == 3
        assert statuses(world) == ["complete", "failed"]

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("text", "more", "about"),
    [
        ("[http_service]\n", {}, "there is no image"),
        (WEB, {"image": "nothing"}, "'nothing' does not exist"),
        ("[http_service]\n", {"image": "roost/host"}, "roost/host has no program"),
        (WEB + '[mount]\nsource = "a"\ndestination = "/a"\n', {}, "volumes are not there yet"),
        (WEB + '[[files]]\nguest_path = "/a"\nlocal_path = "a"\n', {}, "was not sent along"),
        (HOST, {"app_dir": "relative"}, "not an absolute path"),
        (HOST, {"app_dir": "/nowhere/at/all"}, "does not exist"),
        (HOST, {"app_dir": "/"}, "would show"),
        (WEB, {"app": "other"}, 'app "other" not found'),
    ],
)
def test_what_cannot_be_deployed_changes_nothing(
    tmp_path: Path, text: str, more: dict[str, Any], about: str
) -> None:
    """A refused request makes no release, no Machine and no address."""

    async def story(world: World) -> None:
        end = last(await world.deploy(text, **({"flycast": True} | more)))
        assert end.type == "failed"
        assert about in end.message
        assert world.machines() == []
        assert statuses(world) == []
        assert world.control.addresses.list("shop") == []

    play(tmp_path, story)


def test_the_app_folder_reaches_the_machine(tmp_path: Path) -> None:
    """roost/host Machines show fly.toml's folder; one that holds ROOST_HOME is refused."""
    folder = tmp_path / "app"
    folder.mkdir()

    async def story(world: World) -> None:
        assert last(await world.deploy(HOST, app_dir=str(folder))).type == "done"
        assert world.machines()[0].config.app_dir == str(folder)
        for refused in (tmp_path, world.home.root, world.home.root / "logs"):
            await asyncio.to_thread(refused.mkdir, exist_ok=True)
            end = last(await world.deploy(HOST, app_dir=str(refused)))
            assert "would show" in end.message

    play(tmp_path, story)


def test_one_deploy_of_an_app_at_a_time(tmp_path: Path) -> None:
    """The second one is refused at once and the first goes on."""

    async def story(world: World) -> None:
        world.host.script = lambda _: HANGS
        events = world.deployer.run("shop", request_of(WEB))
        async for event in events:
            if event.type == "step" and "create" in event.message:
                break
        assert "being deployed already" in last(await world.deploy(WEB)).message
        await events.aclose()  # type: ignore[attr-defined]

    play(tmp_path, story)


def request_of(text: str) -> DeployRequest:
    """A request with nothing but a fly.toml."""
    return DeployRequest(config=parse(text).config)


def test_an_interrupted_deploy_says_so(tmp_path: Path) -> None:
    """Its release is `interrupted`, its leases are given back, and the next deploy works."""

    async def story(world: World) -> None:
        world.host.script = lambda _: HANGS
        started = asyncio.Event()

        async def read() -> None:
            async for event in world.deployer.run("shop", request_of(WEB)):
                if event.type == "step" and "create" in event.message:
                    started.set()

        async with asyncio.TaskGroup() as group:
            reader = group.create_task(read(), name="reader")
            await started.wait()
            reader.cancel()
        assert statuses(world) == ["interrupted"]
        assert [machine.lease for machine in world.machines()] in ([], [None])
        world.host.script = lambda _: RUNS
        assert last(await world.deploy(WEB)).type == "done"

    play(tmp_path, story)


def test_what_a_killed_daemon_left_is_closed(tmp_path: Path) -> None:
    """A release that still says `running` becomes `interrupted` at the next deploy."""

    async def story(world: World) -> None:
        await world.control.releases.create(
            "shop", strategy="rolling", image="nginx", user="a", config={}
        )
        await world.deploy(WEB)
        assert statuses(world) == ["interrupted", "complete"]

    play(tmp_path, story)


class WaitingClock(SystemClock):
    """Sleeping is doing `then`; how long was asked for is kept."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.then: Callable[[], Coroutine[Any, Any, None]] | None = None

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        if self.then is not None:
            await self.then()


def test_somebody_elses_lease_is_waited_for(tmp_path: Path) -> None:
    """A Machine that is held is looked at again until its lease is given back."""
    clock = WaitingClock()

    async def run() -> None:
        async with a_world(tmp_path / "home", clock) as world:
            made = CreateMachine(config=MachineConfig(image="nginx"))
            machine = await world.control.machines.create("shop", made)
            held = await world.control.machines.lease("shop", machine.id, ttl=60, owner="other")

            async def give_back() -> None:
                await world.control.machines.release_lease("shop", machine.id, held.nonce)

            clock.then = give_back
            leases = Leases(world.control, "shop", 13)
            await leases.take(machine.id)
            assert clock.asked == [LOOK_AGAIN]
            assert leases.nonce(machine.id) not in {None, held.nonce}
            await leases.release_all()
            assert world.machines()[0].lease is None

    asyncio.run(run())


def test_a_region_of_elsewhere_is_told(tmp_path: Path) -> None:
    """Machines go to this host, and say so in their environment."""

    async def story(world: World) -> None:
        events = await world.deploy('primary_region = "ams"\n' + WORKER)
        assert any("'ams' does not exist here" in one for one in said(events, "warning"))
        assert world.machines()[0].config.env["PRIMARY_REGION"] == "local"

    play(tmp_path, story)


def test_a_range_that_is_too_wide_outside_ends_a_deploy_before_anything(tmp_path: Path) -> None:
    """An app with a public address cannot offer so many ports there: no release is written; it is
    deployed once the address offers chosen ports.
    """
    wide = (
        '[build]\nimage = "nginx"\n[[services]]\ninternal_port = 80\n'
        "[[services.ports]]\nstart_port = 5000\nend_port = 5256\n"
    )

    async def story(world: World) -> None:
        address = Address(
            ip="192.0.2.7",
            app="shop",
            type=AddressType.V4,
            org="personal",
            network="",
            network_id=0,
            created_at=1,
        )
        await world.control.context.store.commit(Put(address, expect=0))
        end = last(await world.deploy(wide))
        assert end.type == "failed"
        assert "192.0.2.7 they can have 256 together" in end.message
        assert (world.machines(), statuses(world)) == ([], [])
        chosen = address.model_copy(update={"ports": (5000,)})
        await world.control.context.store.commit(Put(chosen))
        assert last(await world.deploy(wide)).type == "done"

    play(tmp_path, story)
