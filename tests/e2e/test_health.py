"""Health checks from fly.toml to the caller, with the CLI and real programs."""

from __future__ import annotations

import pytest

from tests.support.rig import Caller, Rig, eventually
from tests.support.tomls import SERVER, http_app

pytestmark = pytest.mark.root

FLAGS = ("--wake-timeout=2s",)

CHECK = """
[[http_service.checks]]
  path = "/{path}"
  interval = "1s"
  timeout = "1s"
"""
FLAKY = (
    "sh -c 'mkdir -p /tmp/site && cp -r /app/. /tmp/site"
    " && exec python3 -m http.server 8080 --directory /tmp/site'"
)
"""Its files may be removed by `machine exec`, and that is how it falls ill."""


def checked(name: str, path: str = "", command: str = SERVER, stop: str = "off") -> str:
    """An app with one HTTP check."""
    return http_app(name, command=command, stop=stop, more=CHECK.format(path=path))


def statuses(rig: Rig, app: str) -> dict[str, str]:
    """What each Machine's check says, by `checks list`."""
    found = rig.json("checks", "list", "-a", app)
    return {machine: check["status"] for machine, (check,) in found.items()}


def test_a_deploy_fails_when_a_check_does(rig: Rig, caller: Caller) -> None:
    """The deploy says which check failed and what it got; once it passes all goes through."""
    folder = rig.folder("ill", checked("ill", "missing"), index_html="this is ill\n")
    rig.ok("launch", "--copy-config", "--flycast", "--no-deploy", "--yes", cwd=folder)
    failed = rig.cli("deploy", "--ha=false", "--wait-timeout=2s", cwd=folder)
    assert failed.code != 0
    assert "does not pass its health checks within" in failed.err
    assert "servicecheck-00-http-8080: GET http://ill.flycast:8080/missing: 404 " in failed.err
    assert "has failed: GET http://ill.flycast:8080/missing: 404 " in rig.ok(
        "logs", "-a", "ill", "--no-tail"
    )
    (folder / "fly.toml").write_text(checked("ill"))
    rig.ok("deploy", "--ha=false", cwd=folder)
    assert list(statuses(rig, "ill").values()) == ["passing"]
    assert "1 total, 1 passing" in rig.ok("status", "-a", "ill")
    assert "this is ill\n" == caller.curl("http://ill.flycast/")


def test_a_checked_app_falls_asleep_and_wakes(rig: Rig, caller: Caller) -> None:
    """Checks keep nobody awake and wake nobody; who is woken is checked before it gets the call."""
    app = checked("drowsy", stop="stop")
    folder = rig.folder("drowsy", app, index_html="this is drowsy\n")
    rig.ok("launch", "--copy-config", "--flycast", "--ha=false", "--yes", cwd=folder)
    machine = rig.wait("drowsy", "stopped")
    assert statuses(rig, "drowsy") == {machine: "passing"}
    assert "this is drowsy\n" == caller.curl("http://drowsy.flycast/")
    assert statuses(rig, "drowsy") == {machine: "passing"}
    rig.wait("drowsy", "stopped")


def test_calls_go_to_the_healthy_machine(rig: Rig, caller: Caller) -> None:
    """One of two fails: all calls go to the other. Both fail: calls wait and get 503 with PR01."""
    app = checked("pair", command=FLAKY)
    folder = rig.folder("pair", app, index_html="this is pair\n")
    rig.ok("launch", "--copy-config", "--flycast", "--yes", cwd=folder)
    first, second = sorted(one["id"] for one in rig.machines("pair"))

    def falls_ill(machine: str) -> None:
        rig.ok("machine", "exec", machine, "rm -r /tmp/site", "-a", "pair")
        eventually(lambda: statuses(rig, "pair")[machine] == "critical", f"{machine} is critical")

    falls_ill(first)
    for _ in range(6):
        assert "this is pair\n" == caller.curl("http://pair.flycast/")
    falls_ill(second)
    refused = caller.run("curl", "-s", "-i", "--max-time", "20", "http://pair.flycast/").out
    assert refused.startswith("HTTP/1.1 503 ")
    assert "PR01 no machine passes its health checks" in refused


def test_a_machine_check_stops_a_bad_deploy(rig: Rig, caller: Caller) -> None:
    """A command in a Machine of its own gets the page of the one that was just made. Does it not
    find what it wants, the deploy fails with its output, and no Machine of a check stays.
    """
    check = """
[[http_service.machine_checks]]
  command = ["sh", "-c", "curl -sgf http://[$FLY_TEST_MACHINE_IP]:8080/ | grep this"]
"""
    # Listening on 6PN too: the check calls by the Machine's own address.
    app = http_app("proven", command=SERVER.replace("0.0.0.0", "::"), more=check)
    folder = rig.folder("proven", app, index_html="this is proven\n")
    made = rig.ok("launch", "--copy-config", "--flycast", "--ha=false", "--yes", cwd=folder)
    assert "proven v1 is deployed" in made
    (folder / "fly.toml").write_text(app.replace("grep this", "grep that || exit 9"))
    failed = rig.cli("deploy", "--ha=false", cwd=folder)
    assert failed.code != 0
    assert "exited with code 9" in failed.err
    (machine,) = rig.json("machine", "list", "-a", "proven")
    assert machine["state"] == "started"
    assert "this is proven\n" == caller.curl("http://proven.flycast/")
