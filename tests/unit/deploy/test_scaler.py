"""scale count: more and fewer Machines of a group."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from roost.clock import SystemClock
from roost.deploy.scaler import Scaler
from roost.errors import InvalidError, NotFoundError, PreconditionError
from tests.support.deploys import World, a_world

WEB = '[build]\nimage = "nginx"\n[http_service]\ninternal_port = 80\n'


class TickingClock(SystemClock):
    """No two looks at the time give the same millisecond."""

    def __init__(self) -> None:
        self.now = 1_000_000

    def now_ms(self) -> int:
        self.now += 1
        return self.now


def play(folder: Path, story: Callable[[World, Scaler], Coroutine[Any, Any, None]]) -> None:
    """Run a story in a fresh world."""

    async def run() -> None:
        async with a_world(folder / "home", TickingClock()) as world:
            await story(world, Scaler(world.control))

    asyncio.run(run())


def test_up_and_down(tmp_path: Path) -> None:
    """New Machines have the configuration of the others; surplus ones are destroyed."""

    async def story(world: World, scaler: Scaler) -> None:
        await world.deploy(WEB, ha=False)
        (first,) = world.machines()
        said = await scaler.count("shop", {"app": 3})
        assert len(said) == 2
        assert all(line.startswith("created machine ") for line in said)
        assert [machine.config for machine in world.machines()] == [first.config] * 3
        assert await scaler.count("shop", {"app": "+0"}) == []
        (line,) = await scaler.count("shop", {"app": "-1"})
        gone = line.split()[2]
        await world.control.machines.wait("shop", gone, frozenset({"destroyed"}), 5)
        assert len(world.machines()) == 2

    play(tmp_path, story)


def test_from_none_again(tmp_path: Path) -> None:
    """A group scaled to nothing comes back with the configuration it had."""

    async def story(world: World, scaler: Scaler) -> None:
        await world.deploy(WEB, ha=False)
        (first,) = world.machines()
        await scaler.count("shop", {"app": 0})
        await world.control.machines.wait("shop", first.id, frozenset({"destroyed"}), 5)
        await scaler.count("shop", {"app": "+1"})
        (again,) = world.machines()
        assert again.config == first.config
        assert again.id != first.id

    play(tmp_path, story)


def test_those_that_live_are_the_model(tmp_path: Path) -> None:
    """A new Machine is like one that exists, even when one that is gone was changed later."""

    async def story(world: World, scaler: Scaler) -> None:
        await world.deploy(WEB)
        kept = world.machines()[1].id
        await world.control.machines.set_metadata("shop", kept, "mine", "yes")
        (line,) = await scaler.count("shop", {"app": 1})
        gone = line.split()[2]
        await world.control.machines.wait("shop", gone, frozenset({"destroyed"}), 5)
        await scaler.count("shop", {"app": 2})
        assert [one.config.metadata.get("mine") for one in world.machines()] == ["yes", "yes"]

    play(tmp_path, story)


def test_a_group_without_machines_is_made_from_the_release(tmp_path: Path) -> None:
    """What the last complete release says is what is made."""

    async def story(world: World, scaler: Scaler) -> None:
        await world.deploy(WEB, update_only=True)
        await scaler.count("shop", {"app": 1})
        (machine,) = world.machines()
        assert machine.config.image == "nginx"
        assert machine.config.services[0].internal_port == 80
        assert machine.config.metadata["fly_release_version"] == "1"

    play(tmp_path, story)


@pytest.mark.parametrize(
    ("counts", "error"),
    [
        ({"app": "many"}, InvalidError),
        ({"app": 5000}, InvalidError),
        ({"web": 1}, NotFoundError),
        ({"app": 2, "web": 1}, NotFoundError),
    ],
)
def test_refused_counts_change_nothing(
    tmp_path: Path, counts: dict[str, str | int], error: type[Exception]
) -> None:
    """A wrong number or group is refused before anything is made."""

    async def story(world: World, scaler: Scaler) -> None:
        await world.deploy(WEB, ha=False)
        with pytest.raises(error):
            await scaler.count("shop", counts)
        assert len(world.machines()) == 1

    play(tmp_path, story)


def test_an_app_that_was_never_deployed(tmp_path: Path) -> None:
    """There is nothing to copy: the hint says to deploy."""

    async def story(world: World, scaler: Scaler) -> None:
        with pytest.raises(PreconditionError) as caught:
            await scaler.count("shop", {"app": 2})
        assert "deploy" in str(caught.value.hint)

    play(tmp_path, story)
