"""A deploy and a scaling stay with the app that they were asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from roost.control.machine_requests import CreateMachine
from roost.deploy.progress import Progress, Reporter
from roost.deploy.request import DeployRequest
from roost.deploy.scaler import AT_ONCE, Scaler
from roost.errors import ForbiddenError, NotFoundError
from roost.images.base import Image
from roost.model.machine_config import MachineConfig
from roost.model.records import Machine
from roost.spec.fly_toml import parse
from tests.support.deploys import ScriptedHost, World, a_world

WEB = '[build]\nimage = "nginx"\n[http_service]\ninternal_port = 80\n'


def play(folder: Path, story: Callable[[World], Coroutine[Any, Any, None]]) -> None:
    """Run a story in a world with a second organization."""

    async def run() -> None:
        async with a_world(folder / "home") as world:
            await world.control.orgs.create("other")
            await story(world)

    asyncio.run(run())


async def replace(world: World) -> None:
    """`shop` is destroyed, and the other organization makes one of that name."""
    await world.control.apps.destroy("shop")
    await world.control.apps.create("shop", org="other")


async def untouched(world: World) -> None:
    """The other organization's app is as it was made."""
    assert world.control.apps.get("shop").org == "other"
    assert world.machines() == []
    assert world.control.releases.list("shop") == []
    assert world.control.addresses.list("shop") == []


def test_an_app_replaced_while_the_image_is_pulled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the deploy gets into the app that came meanwhile."""

    async def story(world: World) -> None:
        resolve = ScriptedHost.resolve_image

        async def pull(host: ScriptedHost, reference: str, *, fresh: bool = False) -> Image:
            monkeypatch.setattr(ScriptedHost, "resolve_image", resolve)
            await replace(world)
            return await resolve(host, reference, fresh=fresh)

        monkeypatch.setattr(ScriptedHost, "resolve_image", pull)
        *_, last = await world.deploy(WEB)
        assert (last.type, 'app "shop" not found' in last.message) == ("failed", True)
        await untouched(world)

    play(tmp_path, story)


def test_an_app_replaced_while_machines_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Machines that the deploy had still to make are not made, also where it tries all."""

    async def story(world: World) -> None:
        create = world.control.machines.create
        made: list[Machine] = []

        async def counted(app: str, request: CreateMachine) -> Machine:
            machine = await create(app, request)
            made.append(machine)
            if len(made) == 1:
                await replace(world)
            return machine

        monkeypatch.setattr(world.control.machines, "create", counted)
        *_, last = await world.deploy(WEB, strategy="immediate")
        assert (last.type, len(made)) == ("failed", 1)
        await untouched(world)

    play(tmp_path, story)


def test_an_app_replaced_before_the_deploy_began(tmp_path: Path) -> None:
    """Who may deploy an earlier app of the name may not deploy this one."""

    async def story(world: World) -> None:
        number = world.control.apps.get("shop").number
        await replace(world)
        said: list[Progress] = []
        request = DeployRequest(config=parse(WEB).config)
        await world.deployer.execute("shop", request, Reporter(said.append), number=number)
        assert said[-1].type == "failed"
        with pytest.raises(NotFoundError):
            await Scaler(world.control).count("shop", {"app": 3}, number=number)
        await untouched(world)

    play(tmp_path, story)


def test_an_app_replaced_while_it_is_scaled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of the Machines is not made in the app that came meanwhile."""

    async def story(world: World) -> None:
        await world.deploy(WEB, ha=False)
        create = world.control.machines.create
        made: list[Machine] = []

        async def counted(app: str, request: CreateMachine) -> Machine:
            machine = await create(app, request)
            made.append(machine)
            if len(made) == AT_ONCE:
                await replace(world)
            return machine

        monkeypatch.setattr(world.control.machines, "create", counted)
        with pytest.raises(NotFoundError):
            await Scaler(world.control).count("shop", {"app": f"+{AT_ONCE + 3}"})
        assert len(made) == AT_ONCE
        await untouched(world)

    play(tmp_path, story)


@pytest.mark.parametrize("may_show", [False, True])
def test_a_folder_that_only_gone_machines_had(tmp_path: Path, may_show: bool) -> None:
    """Scaling from none shows a folder of the host again only for who may show it."""

    async def story(world: World) -> None:
        code = tmp_path / "code"
        await asyncio.to_thread(code.mkdir)
        fields = {
            "image": "roost/host",
            "app_dir": str(code),
            "metadata": {"fly_platform_version": "v2", "fly_process_group": "app"},
        }
        config = MachineConfig.model_validate(fields)
        control, scaler = world.control, Scaler(world.control)
        first = await control.machines.create("shop", CreateMachine(config=config))
        await scaler.count("shop", {"app": 2}, may_show=False)
        await scaler.count("shop", {"app": 0}, may_show=False)
        ended = frozenset({"destroyed"})
        for machine in control.machines.list("shop", include_deleted=True):
            await control.machines.wait("shop", machine.id, ended, 5)
        release = await control.releases.create(
            "shop", strategy="rolling", image="roost/host", user="me", config={}
        )
        await control.releases.finish("shop", release.version, "complete")
        if may_show:
            await scaler.count("shop", {"app": 1}, may_show=True)
            assert [machine.config.app_dir for machine in world.machines()] == [str(code)]
        else:
            with pytest.raises(ForbiddenError, match="would be shown files of this host"):
                await scaler.count("shop", {"app": 1}, may_show=False)
            assert world.machines() == []
        assert first.id not in {machine.id for machine in world.machines()}

    play(tmp_path, story)
