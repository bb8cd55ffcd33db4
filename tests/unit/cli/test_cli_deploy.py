"""launch and deploy."""

from __future__ import annotations

import base64
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from roost.deploy.request import DeployRequest
from tests.support.api_stub import ApiStub, Asked, Lines
from tests.support.cli import Run, a_machine, an_app

FILE = """\
app = "web"
# a comment
[build]
  image = "roost/host"
[http_service]
  internal_port = 80
  processes = ["app"]
[processes]
  app = "sleep 9"
"""
DONE = {"type": "done", "message": "web v1 is deployed", "url": "http://web.flycast"}


@pytest.fixture
def ready(api: ApiStub) -> ApiStub:
    """A Roost without apps that takes a new app `web` and deploys it."""
    api.on("GET /v1/platform/regions", {"Regions": [{"code": "local"}], "Nearest": "local"})
    api.on("POST /v1/apps", an_app(), status=201)
    api.on("POST /v1/apps/web/deploys", Lines([{"type": "step", "message": "go"}, DONE]))
    return api


def deployed(api: ApiStub) -> dict[str, Any]:
    """The body of the last deploy, after it has passed the server's own reading."""
    body = api.last("POST /v1/apps/web/deploys").body
    DeployRequest.model_validate(body)
    return dict(body)


def test_launch_writes_creates_and_deploys(ready: ApiStub, run: Run) -> None:
    """fly.toml, the app with its wish for an address, the deploy, and the address at the end."""
    ended = run(
        "launch", "--flycast", "--image", "roost/host", "--command",
        "python3 -m http.server 8080", "--name", "web", "--yes",
    )  # fmt: skip
    assert (0, "Visit: http://web.flycast") == (ended.code, ended.out.splitlines()[-1])
    text = Path("fly.toml").read_text()
    config = tomllib.loads(text)
    assert ("web", "local", "roost/host") == (
        config["app"],
        config["primary_region"],
        config["build"]["image"],
    )
    service = config["http_service"]
    assert (8080, False, 0) == (
        service["internal_port"],
        service["force_https"],
        service["min_machines_running"],
    )
    assert "redirect" in text
    assert "python3 -m http.server 8080" == config["processes"]["app"]
    created = ready.last("POST /v1/apps").body
    assert ("web", True) == (created["name"], created["wants_flycast"])
    body = deployed(ready)
    assert (True, str(Path.cwd())) == (body["flycast"], body["app_dir"])


def test_without_flycast_https_is_forced_as_at_fly(ready: ApiStub, run: Run) -> None:
    """Only --flycast turns force_https off."""
    run("launch", "--image", "nginx", "--name", "web", "--no-deploy", "--internal-port", "80")
    assert tomllib.loads(Path("fly.toml").read_text())["http_service"]["force_https"] is True
    assert ready.last("POST /v1/apps").body["wants_flycast"] is False


def test_launch_without_deploy_then_a_bare_deploy(ready: ApiStub, run: Run) -> None:
    """--no-deploy remembers the wish with the app; deploy needs no flag any more."""
    ended = run("launch", "--flycast", "--image", "nginx", "--name", "web", "--no-deploy")
    assert (0, True) == (ended.code, ready.last("POST /v1/apps").body["wants_flycast"])
    assert "POST /v1/apps/web/deploys" not in ready.lines
    assert 0 == run("deploy").code
    body = deployed(ready)
    assert ("nginx", False) == (body["config"]["build"]["image"], body["flycast"])
    assert "app_dir" not in body


def test_a_taken_name_changes_nothing(ready: ApiStub, run: Run) -> None:
    """Before anything is written or created."""
    ready.on("GET /v1/apps/web", an_app())
    ended = run("launch", "--image", "x", "--name", "web")
    assert 1 == ended.code
    assert "'web' is taken" in ended.err
    assert not Path("fly.toml").exists()
    assert "POST /v1/apps" not in ready.lines


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--name", "Bad_Name", "--image", "x"], "not valid"),
        (["--name", "web"], "cannot build images"),
        (["--name", "web", "--image", "x", "--region", "ams"], "region 'ams'"),
        (["--name", "web", "--image", "x", "--copy-config"], "does not exist"),
        (["--name", "web", "--image", "x", "--command", 'a "b'], "processes"),
    ],
)
def test_a_bad_launch_makes_nothing(ready: ApiStub, run: Run, words: list[str], said: str) -> None:
    """Every mistake is found before the app or the file exists."""
    ended = run("launch", *words)
    assert 1 == ended.code
    assert said in ended.err
    assert not Path("fly.toml").exists()
    assert "POST /v1/apps" not in ready.lines


def test_a_dockerfile_is_named_in_the_error(ready: ApiStub, run: Run) -> None:
    """Who has a Dockerfile learns that it cannot be built yet, and what to do."""
    Path("Dockerfile").write_text("FROM scratch\n")
    ended = run("launch", "--name", "web")
    assert "Dockerfile" in ended.err
    assert "roost/host" in ended.err


def test_the_name_comes_from_the_folder(
    ready: ApiStub, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --name it is the folder's, made valid."""
    folder = tmp_path / "My Web_App"
    folder.mkdir()
    monkeypatch.chdir(folder)
    run("launch", "--image", "x", "--no-deploy")
    assert "my-web-app" == ready.last("POST /v1/apps").body["name"]


def test_an_existing_file_is_used_as_it_is(ready: ApiStub, run: Run) -> None:
    """--copy-config with nothing to change leaves the file alone, comments and all."""
    text = FILE.replace('app = "web"\n', 'app = "web"\nprimary_region = "local"\n', 1)
    Path("fly.toml").write_text(text)
    ended = run("launch", "--copy-config", "--flycast")
    assert 0 == ended.code
    assert text == Path("fly.toml").read_text()
    assert 80 == deployed(ready)["config"]["http_service"]["internal_port"]


def test_flags_change_a_copied_file(ready: ApiStub, run: Run) -> None:
    """Name, image, port and idle rule of the flags are written into it."""
    Path("fly.toml").write_text(FILE.replace("web", "old", 1))
    run(
        "launch", "--copy-config", "--name", "web", "--image", "nginx", "--internal-port", "81",
        "--auto-stop", "suspend", "--no-deploy",
    )  # fmt: skip
    config = tomllib.loads(Path("fly.toml").read_text())
    assert ("web", "nginx", 81, "suspend") == (
        config["app"],
        config["build"]["image"],
        config["http_service"]["internal_port"],
        config["http_service"]["auto_stop_machines"],
    )


def test_a_command_for_a_copied_file_names_the_group(ready: ApiStub, run: Run) -> None:
    """A service without processes belongs to the group that --command makes."""
    Path("fly.toml").write_text('app = "web"\n[http_service]\n  internal_port = 80\n')
    ended = run("launch", "--copy-config", "--image", "roost/host", "--command", "sleep 9")
    assert 0 == ended.code
    config = deployed(ready)["config"]
    assert (["app"], {"app": "sleep 9"}) == (
        config["http_service"]["processes"],
        config["processes"],
    )


def test_an_existing_file_is_never_overwritten_silently(ready: ApiStub, run: Run) -> None:
    """Without --copy-config, --yes or an answer the launch ends and the file stays."""
    Path("fly.toml").write_text(FILE)
    assert 1 == run("launch", "--image", "x", "--name", "web").code
    assert FILE == Path("fly.toml").read_text()
    assert [] == ready.asked


def test_a_failed_first_deploy_says_what_exists(ready: ApiStub, run: Run) -> None:
    """The app and the file stay; the error is the Machine's, with its last output."""
    failed = {
        "type": "failed",
        "message": "machine 148e exited with code 3",
        "output": ["no such file"],
        "exit_code": 3,
    }
    ready.on("POST /v1/apps/web/deploys", Lines([failed]))
    ended = run("launch", "--image", "x", "--name", "web")
    assert 1 == ended.code
    for text in ("  no such file", "exited with code 3", "roost deploy -a web", "apps destroy web"):
        assert text in ended.err
    assert Path("fly.toml").exists()


def test_a_launch_that_never_deployed_leaves_no_app(ready: ApiStub, run: Run) -> None:
    """Without a release (the image was not to be had) the new app goes; the file stays."""
    ready.on(
        "POST /v1/apps/web/deploys", Lines([{"type": "failed", "message": "registry unreachable"}])
    )
    ready.on("GET /v1/apps/web/releases", {"releases": []})
    ready.on("DELETE /v1/apps/web")
    ended = run("launch", "--image", "x", "--name", "web")
    assert 1 == ended.code
    assert "registry unreachable" in ended.err
    assert "removed again" in ended.err
    assert Path("fly.toml").exists()


def test_launch_json(ready: ApiStub, run: Run) -> None:
    """One object a line: the deploy's events, then what was made."""
    ended = run("launch", "--image", "x", "--name", "web", "--json")
    *events, last = [json.loads(line) for line in ended.out.splitlines()]
    assert "done" == events[-1]["type"]
    assert {"app": "web", "config": "fly.toml", "deployed": True} == last


def test_deploy_sends_the_flags(ready: ApiStub, run: Run) -> None:
    """Every flag of deploy reaches the request, in the form that the server reads."""
    Path("fly.toml").write_text(FILE)
    ended = run(
        "deploy", "--ha=false", "--strategy", "immediate", "--flycast", "--no-public-ips",
        "--image", "nginx", "--wait-timeout", "90", "--max-unavailable", "0.5", "-e", "B=2",
        "--detach", "--skip-health-checks",
    )  # fmt: skip
    assert 0 == ended.code
    body = deployed(ready)
    assert (False, "immediate", True, True, "nginx", "1m30s", 0.5, {"B": "2"}, True, True) == (
        body["ha"],
        body["strategy"],
        body["flycast"],
        body["no_public_ips"],
        body["image"],
        body["wait_timeout"],
        body["max_unavailable"],
        body["env"],
        body["detach"],
        body["skip_health_checks"],
    )


def test_deploy_to_the_app_of_the_flag(ready: ApiStub, run: Run) -> None:
    """-a deploys the same file to another app."""
    Path("fly.toml").write_text(FILE.replace("web", "other", 1))
    assert 0 == run("deploy", "-a", "web").code
    assert "web" == deployed(ready)["config"]["app"]


def test_local_files_travel_with_the_deploy(ready: ApiStub, run: Run) -> None:
    """The server never opens files of the user: their content is sent."""
    Path("site.conf").write_bytes(b"\x00conf")
    Path("fly.toml").write_text(
        FILE + '[[files]]\n  guest_path = "/etc/site"\n  local_path = "site.conf"\n'
    )
    run("deploy")
    [file] = deployed(ready)["config"]["files"]
    assert b"\x00conf" == base64.b64decode(file["raw_value"])
    Path("site.conf").unlink()
    ended = run("deploy")
    assert 1 == ended.code
    assert "site.conf" in ended.err


def test_a_bad_file_is_not_deployed(ready: ApiStub, run: Run) -> None:
    """Problems are named by line and nothing is asked of the server."""
    Path("fly.toml").write_text('app = "web"\nnonsense = 1\n')
    ended = run("deploy")
    assert 1 == ended.code
    assert ended.err.startswith("fly.toml:2: ")
    assert [] == ready.asked


def test_deploy_without_a_file(ready: ApiStub, run: Run) -> None:
    """With -a the latest release is deployed again, with the folder its Machines show."""
    release = {"version": 1, "image_ref": "roost/host", "config": {"processes": {"app": "true"}}}
    ready.on("GET /v1/apps/web/releases", {"releases": [release]})
    raw = a_machine()
    raw["config"]["app_dir"] = "/srv/web"
    ready.on("GET /v1/apps/web/machines", [raw])
    assert 0 == run("deploy", "-a", "web").code
    body = deployed(ready)
    assert ("roost/host", "/srv/web") == (body["image"], body["app_dir"])


def test_deploy_in_an_empty_folder(ready: ApiStub, run: Run) -> None:
    """Neither file nor release: the hint names launch."""
    ready.on("GET /v1/apps/web/releases", {"releases": []})
    ended = run("deploy", "-a", "web")
    assert 1 == ended.code
    assert "roost launch" in ended.err


def test_progress_is_not_on_standard_output(ready: ApiStub, run: Run) -> None:
    """Steps and warnings go to standard error, the result to standard output."""
    events = [
        {"type": "step", "message": "resolve image"},
        {"type": "warning", "message": "careful"},
        {"type": "info", "message": "release v1"},
        DONE,
    ]
    ready.on("POST /v1/apps/web/deploys", Lines(events))
    Path("fly.toml").write_text(FILE)
    ended = run("deploy")
    assert "web v1 is deployed\nVisit: http://web.flycast\n" == ended.out
    assert ["resolve image...", "Warning: careful", "release v1"] == ended.err.splitlines()[-3:]


def test_a_stream_that_breaks_off_is_a_failure(ready: ApiStub, run: Run) -> None:
    """Without a last event nobody knows whether it worked."""
    ready.on("POST /v1/apps/web/deploys", Lines([{"type": "step", "message": "go"}]))
    Path("fly.toml").write_text(FILE)
    ended = run("deploy")
    assert 1 == ended.code
    assert "roost releases -a web" in ended.err


def test_the_file_that_cannot_be_written(ready: ApiStub, run: Run) -> None:
    """Nothing is left behind when fly.toml cannot be written after the app was created."""

    def make_a_folder_of_it(_: Asked) -> tuple[int, object]:
        Path("fly.toml").mkdir()
        return 201, an_app()

    ready.on_call("POST /v1/apps", make_a_folder_of_it)
    ready.on("DELETE /v1/apps/web", {})
    ended = run("launch", "--image", "x", "--name", "web")
    assert 1 == ended.code
    assert "cannot be written" in ended.err
    assert "DELETE /v1/apps/web" in ready.lines
