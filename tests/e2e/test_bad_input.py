"""Bad input: one clear sentence, what to do, a non-zero exit, and nothing half-made."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.rig import Caller, Ran, Rig, eventually
from tests.support.tomls import http_app, tcp_app

pytestmark = pytest.mark.root
FLAGS = ("--wake-timeout", "2s")
IDLE = "sleep infinity"


def refused(done: Ran, *words: str) -> None:
    """It failed with an error that says all of this, and no traceback."""
    assert 1 == done.code, done
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err, done.err


def app_names(rig: Rig) -> set[str]:
    """Names of all apps."""
    return {app["name"] for app in rig.call("GET", "/v1/apps?org_slug=personal")["apps"]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("app = 'x'\n[http_servce]\ninternal_port = 80\n", ("fly.toml:2", "http_service")),
        ("app = 'x'\n[http_service]\ninternal_prt = 80\n", ("fly.toml:3", "internal_port")),
        ("app = 'x'\n[http_service]\ninternal_port = 99999\n", ("fly.toml:3",)),
        ("app = 'x'\nkill_timeout = [\n", ("fly.toml:",)),
    ],
)
def test_wrong_fly_toml(rig: Rig, tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    """A wrong fly.toml names its file, line and the nearest known key, and makes nothing."""
    (tmp_path / "fly.toml").write_text(text)
    refused(rig.cli("config", "validate", cwd=tmp_path), *words)
    refused(rig.cli("launch", "--copy-config", "--flycast", "--yes", cwd=tmp_path), *words)
    assert "x" not in app_names(rig)


def test_names(rig: Rig) -> None:
    """A taken or invalid app name, and names that nothing has, are refused with the name."""
    rig.ok("apps", "create", "taken")
    refused(rig.cli("apps", "create", "taken"), "taken")
    refused(rig.cli("apps", "create", "Not_Valid"), "Not_Valid")
    refused(rig.cli("status", "-a", "nobody"), "nobody")
    refused(rig.cli("machine", "stop", "00000000000000", "-a", "taken"), "00000000000000")
    refused(rig.cli("ips", "release", "fdaa:0:1:0:1::99", "-a", "taken"), "fdaa:0:1:0:1::99")
    assert [] == rig.machines("taken")


def test_second_up(rig: Rig) -> None:
    """A second `up` on one ROOST_HOME says who runs already."""
    refused(rig.cli("up", "--detach"), "already running", str(rig.pid("daemon")))


def test_no_daemon(rig: Rig, tmp_path: Path) -> None:
    """Without a daemon the CLI says how to start one."""
    here = rig.env["ROOST_HOME"]
    try:
        rig.env["ROOST_HOME"] = str(tmp_path)
        refused(rig.cli("apps", "list"), "no Roost is running", "roost up")
    finally:
        rig.env["ROOST_HOME"] = here


def test_wrong_token(rig: Rig) -> None:
    """A wrong token is 401 for the API and a sentence for the CLI; none is 401 too."""
    assert 401 == rig.api("GET", "/v1/apps?org_slug=personal", token="roost_wrong").status_code
    assert 401 == rig.api("GET", "/v1/apps?org_slug=personal", token="").status_code
    refused(rig.cli("apps", "list", "-t", "roost_wrong"), "token")


@pytest.mark.parametrize(
    ("image", "named"),
    [
        ("127.0.0.1:1/nothing/here:1", "127.0.0.1:1"),
        ("oci:/no/such/folder", "/no/such/folder"),
        ("Not A Reference", "Not A Reference"),
    ],
)
def test_image_not_to_be_had(rig: Rig, image: str, named: str) -> None:
    """An unreachable registry, a missing layout and a malformed reference make no Machine."""
    if "pull" not in app_names(rig):
        rig.ok("apps", "create", "pull")
    refused(
        rig.cli("machine", "run", image, "-a", "pull"),
        image.split(maxsplit=1)[0].split("/", maxsplit=1)[0],
    )
    assert [] == rig.machines("pull")


def test_launch_without_its_image(rig: Rig) -> None:
    """A launch whose image is not to be had takes its app away again."""
    folder = rig.folder("imageless", http_app("imageless").replace("roost/host", "127.0.0.1:1/x:1"))
    done = rig.cli("launch", "--copy-config", "--flycast", "--yes", cwd=folder)
    refused(done, "127.0.0.1:1", "removed again")
    assert "imageless" not in app_names(rig)


def test_command_not_in_the_image(rig: Rig) -> None:
    """A command that does not exist fails the deploy by its name and leaves no process."""
    folder = rig.folder("typo", http_app("typo", command="no-such-program --x"))
    done = rig.cli("launch", "--copy-config", "--flycast", "--ha=false", "--yes", cwd=folder)
    refused(done, "no-such-program")
    assert "failed" == rig.machines("typo")[0]["state"]
    machine = rig.machines("typo")[0]["id"]
    assert f"m{machine}" not in rig.namespaces()


def test_app_that_never_listens(rig: Rig, caller: Caller) -> None:
    """HTTP gets 503 with the code, TCP is reset, and the log says which port was tried."""
    for name, toml in (
        ("deaf", http_app("deaf", command=IDLE)),
        ("deaf-tcp", tcp_app("deaf-tcp", IDLE, 7000)),
    ):
        folder = rig.folder(name, toml)
        rig.ok("launch", "--copy-config", "--flycast", "--ha=false", "--yes", cwd=folder)
    web = caller.run("curl", "-s", "-i", "-m", "20", "http://deaf.flycast/")
    assert web.out.startswith("HTTP/1.1 503"), web
    assert "PM05" in web.out
    script = (
        "import socket; s = socket.create_connection(('deaf-tcp.flycast', 7000), timeout=20)\n"
        "try: print(s.recv(10))\n"
        "except ConnectionResetError: print('reset')"
    )
    assert "reset\n" == caller.run("python3", "-c", script).out
    eventually(lambda: "8080" in rig.ok("logs", "--no-tail", "-a", "deaf"), "the port in the log")
    assert "PM05" in rig.ok("logs", "--no-tail", "-a", "deaf")


def test_app_that_exits_at_once(rig: Rig) -> None:
    """Its exit code and last words are in the deploy's error, in `status` and in `logs`."""
    command = 'sh -c "echo last words; exit 3"'
    folder = rig.folder("brief", http_app("brief", command=command))
    done = rig.cli("launch", "--copy-config", "--flycast", "--ha=false", "--yes", cwd=folder)
    refused(done, "3", "last words")
    assert "last words" in rig.ok("logs", "--no-tail", "-a", "brief")
    eventually(lambda: "exit code 3" in rig.ok("status", "-a", "brief"), "the exit code in status")
    eventually(lambda: "last words" in rig.ok("status", "-a", "brief"), "its output in status")
