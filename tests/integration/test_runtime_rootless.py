"""Containers without root: in a user namespace with one mapped id."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.runtime import short_home

pytestmark = pytest.mark.root

REPOSITORY = Path(__file__).parents[2]
SYSTEM_PYTHON = Path("/usr/bin/python3")
NOBODY = 65534
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
APART = ("unshare", "--user", "--map-root-user", "--mount", "--net")
EXPECTED = {
    "rootless": True,
    "exec": "inside",
    "frozen": True,
    "thawed": True,
    "memory": True,
    "exit": 137,
    "left": 0,
}


def _run(home: Path, prefer: str, *before: str, python: str) -> dict[str, object]:
    done = subprocess.run(
        [*before, *APART, python, "-m", "tests.support.rootless", str(home), prefer],
        env={**os.environ, "PYTHONPATH": f"{REPOSITORY / 'src'}:{REPOSITORY}"},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def _system_python_can_import() -> bool:
    """Whether an ordinary user can run our sources with the system's Python."""
    if not SYSTEM_PYTHON.exists():
        return False
    command = [*AS_NOBODY, str(SYSTEM_PYTHON), "-c", "import roost.runtime.oci"]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY / "src")}
    tried = subprocess.run(command, env=env, cwd="/", capture_output=True, check=False)
    return tried.returncode == 0


@pytest.mark.parametrize("prefer", ["crun", "runc"])
def test_mapped_root(prefer: str) -> None:
    """Create, start, exec, freeze, thaw, kill and delete work; nothing is left."""
    with short_home() as home:
        found = _run(home.root, prefer, python=sys.executable)
    assert EXPECTED | {"runtime": prefer} == found


@pytest.mark.parametrize("prefer", ["crun", "runc"])
def test_ordinary_user(prefer: str) -> None:
    """The same for somebody who owns no cgroup: freezing is by signals."""
    if not _system_python_can_import():
        pytest.skip("an ordinary user cannot import roost with /usr/bin/python3 here")
    with short_home() as home:
        shutil.chown(home.root, NOBODY, NOBODY)
        found = _run(home.root, prefer, *AS_NOBODY, python=str(SYSTEM_PYTHON))
    assert EXPECTED | {"runtime": prefer} == found
