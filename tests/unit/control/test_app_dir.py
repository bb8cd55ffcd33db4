"""Host folders in Machines: the same ones are refused whichever way a configuration comes."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost.control.machine_requests import CreateMachine, UpdateMachine
from roost.errors import InvalidError
from roost.model.machine_config import MachineConfig
from tests.support.control_bench import Bench, with_bench


def showing(folder: Path | str) -> MachineConfig:
    return MachineConfig(image="roost/host", app_dir=str(folder))


def test_private_folders_are_refused(tmp_path: Path) -> None:
    """Neither creating nor updating a Machine shows ROOST_HOME, the host's own folders, or all."""
    (tmp_path / "app").mkdir()
    (tmp_path / "link").symlink_to("/etc")

    async def body(bench: Bench) -> None:
        await bench.control.apps.create("web")
        machines = bench.control.machines
        made = await machines.create("web", CreateMachine(config=showing(tmp_path / "app")))
        assert str(tmp_path / "app") == made.config.app_dir
        home = bench.control.context.home.root
        for folder in ("/", "/root", "/etc", tmp_path / "link", home, home.parent, "nowhere"):
            with pytest.raises(InvalidError, match="app folder"):
                await machines.create("web", CreateMachine(config=showing(folder)))
            with pytest.raises(InvalidError, match="app folder"):
                await machines.update("web", made.id, UpdateMachine(config=showing(folder)))
        assert 1 == len(machines.list("web"))

    with_bench(tmp_path / "home", body)


def test_a_folder_that_went_away_may_stay(tmp_path: Path) -> None:
    """An update that keeps the folder of before is not refused because it is gone."""
    folder = tmp_path / "app"
    folder.mkdir()

    async def body(bench: Bench) -> None:
        await bench.control.apps.create("web")
        machines = bench.control.machines
        made = await machines.create("web", CreateMachine(config=showing(folder)))
        folder.rmdir()
        changed = await machines.update("web", made.id, UpdateMachine(config=showing(folder)))
        assert str(folder) == changed.config.app_dir

    with_bench(tmp_path / "home", body)
