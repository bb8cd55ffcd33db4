"""The daemon is killed at each step of create, stop, suspend and destroy, on the real drivers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.host import why_not_root
from tests.support.rig import Rig, eventually

pytestmark = pytest.mark.root

CRASH_SITE = str(Path(__file__).parents[1] / "support" / "crash_site")
CONFIG = {
    "image": "roost/host",
    "init": {"cmd": ["sleep", "infinity"]},
    "services": [{"internal_port": 8080, "ports": [{"port": 80}]}],
    "stop_config": {"signal": "SIGKILL"},
}
STEPS = {"create": 5, "stop": 5, "suspend": 3, "destroy": 5}
"""A little more than each has."""
CASES = [
    (verb, number, when)
    for verb, count in STEPS.items()
    for number in range(count)
    for when in ("CRASH_BEFORE", "CRASH_AFTER")
]


@pytest.fixture(scope="module")
def crashing() -> Iterator[Rig]:
    """A Roost whose daemon is started by each test anew."""
    if reason := why_not_root():
        pytest.skip(reason)
    made = Rig()
    made.up()
    made.call("POST", "/v1/apps", {"app_name": "doomed", "org_slug": "personal"})
    try:
        yield made
    finally:
        made.close()


def restart(rig: Rig, crash: dict[str, str]) -> None:
    """End the daemon gently and start one that dies at the given step, or a sound one."""
    rig.cli("down", "--keep-machines")
    rig.env = {k: v for k, v in rig.env.items() if not k.startswith(("CRASH_", "PYTHONPATH"))}
    if crash:
        rig.env |= crash | {"PYTHONPATH": CRASH_SITE}
    rig.up()


def ask(rig: Rig, method: str, path: str, body: object = None) -> str:
    """Call the API by curl: the daemon may die while it answers, and that is no error here."""
    token = (rig.home / "token").read_text().strip()
    command = ["curl", "-s", "-m", "30", "-X", method, f"http://roost{path}"]
    command += ["--unix-socket", str(rig.home / "run/api.sock")]
    command += ["-H", f"Authorization: Bearer {token}", "-H", "Content-Type: application/json"]
    command += ["-d", json.dumps({} if body is None else body)] if method == "POST" else []
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


FINAL = {"create": "started", "stop": "stopped", "suspend": "suspended", "destroy": "destroyed"}


@pytest.mark.parametrize(("verb", "number", "when"), CASES)
def test_killed_at_a_step(crashing: Rig, verb: str, number: int, when: str) -> None:
    """An acknowledged change is completed by the next daemon; no process or namespace is left."""
    rig = crashing
    machines = "/v1/apps/doomed/machines"
    if verb != "create":
        machine = str(rig.call("POST", machines, {"config": CONFIG})["id"])
        rig.wait("doomed", "started", machine)
    restart(rig, {when: str(number)})
    if verb == "create":
        ask(rig, "POST", machines, {"config": CONFIG})
        waiting = f"{machines}"
    elif verb == "destroy":
        ask(rig, "DELETE", f"{machines}/{machine}?force=true")
        waiting = f"{machines}/{machine}/wait?state=destroyed&timeout=10"
    else:
        ask(rig, "POST", f"{machines}/{machine}/{verb}")
        waiting = f"{machines}/{machine}/wait?state={FINAL[verb]}&timeout=10"
    ask(rig, "GET", waiting)
    restart(rig, {})
    if verb == "create":
        machine = str(rig.machines("doomed")[0]["id"])
    rig.wait("doomed", FINAL[verb], machine)
    if verb != "destroy":
        rig.call("DELETE", f"/v1/apps/doomed/machines/{machine}?force=true")
        rig.wait("doomed", "destroyed", machine)
    eventually(lambda: not [n for n in rig.namespaces() if machine in n], "the namespace to go")
    assert [] == sleepers_of(machine)


def sleepers_of(machine: str) -> list[str]:
    """Processes that belong to a Machine's container."""
    mark = machine.encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark in (entry / "cmdline").read_bytes():
                    found.append((entry / "cmdline").read_bytes().decode(errors="replace"))
            except OSError:
                continue
    return found
