"""Real programs behind their Flycast names, each woken from both depths of sleep."""

from __future__ import annotations

import pytest

from tests.support.programs import ALL, DEPTHS, POSTGRES, Program
from tests.support.rig import Caller, Rig

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def deployed(rig: Rig) -> set[str]:
    """Names of the apps that are there."""
    return set()


def deploy(rig: Rig, program: Program, deployed: set[str]) -> str:
    """Deploy the app once; its only Machine."""
    if program.name not in deployed:
        folder = rig.folder(program.name, program.toml(), **program.files)
        rig.ok("launch", "--copy-config", "--flycast", "--ha=false", "--yes", cwd=folder)
        deployed.add(program.name)
    return str(rig.machines(program.name)[0]["id"])


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("program", ALL, ids=lambda program: program.name)
def test_it_answers_awake_and_asleep(
    rig: Rig, caller: Caller, deployed: set[str], program: Program, depth: str
) -> None:
    """Its own client gets its answer while it is awake, and when the call has to wake it."""
    machine = deploy(rig, program, deployed)
    awake = caller.run(*program.ask)
    assert program.answer in awake.out, f"{awake}{rig.daemon_log()}"
    rig.ok("machine", depth, machine, "-a", program.name)
    rig.wait(program.name, DEPTHS[depth], machine)
    woken = caller.run(*program.ask)
    assert program.answer in woken.out, f"{woken}{rig.daemon_log()}"
    rig.wait(program.name, "started", machine)


def test_pgbench_runs_over_the_flycast_name(rig: Rig, caller: Caller, deployed: set[str]) -> None:
    """pgbench fills its tables and runs many clients' transactions with none failed."""
    deploy(rig, POSTGRES, deployed)
    where = ("-h", "pg.flycast", "-U", "postgres", "postgres")
    filled = caller.run("pgbench", "-i", "-q", *where)
    assert 0 == filled.code, filled.err
    ran = caller.run("pgbench", "-n", "-c", "8", "-j", "2", "-t", "50", *where)
    assert "number of transactions actually processed: 400/400" in ran.out, f"{ran}"
