"""config validate, show, save, env; secrets; scale."""

from __future__ import annotations

import io
import tomllib
from pathlib import Path

import pytest

from tests.support.api_stub import ApiStub, Lines
from tests.support.cli import Run, a_machine

GOOD = """\
app = "web"

[build]
  image = "roost/host"

[env]
  A = "1"

[processes]
  app = "true"
"""
RELEASE = {
    "id": "01J",
    "version": 4,
    "status": "complete",
    "image_ref": "roost/host",
    "config": {"app": "web", "env": {"A": "1"}, "processes": {"app": "sleep 9"}},
}


@pytest.fixture
def released(api: ApiStub) -> ApiStub:
    """An app with one complete release and one Machine."""
    api.on("GET /v1/apps/web/releases", {"releases": [RELEASE]})
    api.on("GET /v1/apps/web/machines", [a_machine()])
    api.on("POST /v1/apps/web/deploys", Lines([{"type": "done", "message": "deployed"}]))
    return api


def test_validate_needs_no_roost(run: Run) -> None:
    """A file is checked without a daemon; --strict is accepted."""
    Path("fly.toml").write_text(GOOD)
    ended = run("config", "validate")
    assert (0, "fly.toml is valid\n") == (ended.code, ended.out)
    assert run("config", "validate", "--strict", "--json").json["valid"] is True


def test_validate_names_every_problem_with_its_line(run: Run) -> None:
    """All problems at once, each as file:line, exit status 1, nothing on standard output."""
    Path("fly.toml").write_text(
        'app = "web"\nprimary_regoin = "x"\n\n[http_service]\n  internal_port = 0\n'
    )
    ended = run("config", "validate")
    assert (1, "") == (ended.code, ended.out)
    assert "fly.toml:2: " in ended.err
    assert "primary_region" in ended.err
    assert "fly.toml:5: " in ended.err


def test_show(released: ApiStub, run: Run) -> None:
    """The latest release's configuration as JSON or TOML; --local is the file."""
    assert {"A": "1"} == run("config", "show", "-a", "web").json["env"]
    text = run("config", "show", "-a", "web", "--toml").out
    assert "sleep 9" == tomllib.loads(text)["processes"]["app"]
    Path("fly.toml").write_text(GOOD)
    assert "true" == run("config", "show", "--local").json["processes"]["app"]


def test_show_of_an_app_that_was_never_deployed(api: ApiStub, run: Run) -> None:
    """The hint names --local."""
    api.on("GET /v1/apps/web/releases", {"releases": []})
    ended = run("config", "show", "-a", "web")
    assert 1 == ended.code
    assert "--local" in ended.err


def test_save_does_not_overwrite_silently(released: ApiStub, run: Run) -> None:
    """An existing file needs --yes."""
    assert 0 == run("config", "save", "-a", "web").code
    assert "sleep 9" in Path("fly.toml").read_text()
    Path("fly.toml").write_text("# mine\n")
    assert 1 == run("config", "save", "-a", "web").code
    assert "# mine\n" == Path("fly.toml").read_text()
    assert 0 == run("config", "save", "-a", "web", "--yes").code
    assert "# mine" not in Path("fly.toml").read_text()


def test_env(released: ApiStub, run: Run) -> None:
    """Names and digests of secrets, names and values of the environment."""
    released.on("GET /v1/apps/web/secrets", {"secrets": [{"name": "KEY", "digest": "d1"}]})
    out = run("config", "env", "-a", "web").out
    assert "KEY " in out
    assert "d1" in out
    assert {"A": "1"} == run("config", "env", "-a", "web", "--json").json["env"]


def test_secrets_set_deploys_the_release_again(released: ApiStub, run: Run) -> None:
    """The values are stored, then the latest release is brought out again on existing Machines."""
    released.on("POST /v1/apps/web/secrets", {"secrets": [], "version": 7})
    ended = run("secrets", "set", "KEY=v=1", "-a", "web", "--json")
    assert 0 == ended.code
    assert {"values": {"KEY": "v=1"}} == released.last("POST /v1/apps/web/secrets").body
    body = released.last("POST /v1/apps/web/deploys").body
    assert (True, "roost/host") == (body["update_only"], body["image"])
    assert RELEASE["config"] == body["config"]


def test_staged_secrets_deploy_nothing(released: ApiStub, run: Run) -> None:
    """--stage only stores; so does an app without a release."""
    released.on("POST /v1/apps/web/secrets", {"secrets": [], "version": 7})
    ended = run("secrets", "unset", "KEY", "-a", "web", "--stage")
    assert "staged" in ended.err
    assert {"values": {"KEY": None}} == released.last("POST /v1/apps/web/secrets").body
    released.on("GET /v1/apps/web/releases", {"releases": []})
    assert "staged" in run("secrets", "set", "A=1", "-a", "web").err
    assert "POST /v1/apps/web/deploys" not in released.lines


def test_secrets_from_standard_input(
    released: ApiStub, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NAME=- and import read standard input; values are never printed."""
    released.on("POST /v1/apps/web/secrets", {"secrets": [], "version": 7})
    monkeypatch.setattr("sys.stdin", io.StringIO("hunter2\n"))
    ended = run("secrets", "set", "KEY=-", "-a", "web", "--stage")
    assert "hunter2" == released.asked[-1].body["values"]["KEY"]
    assert "hunter2" not in ended.out + ended.err
    monkeypatch.setattr("sys.stdin", io.StringIO("A=1\nB=2\n"))
    run("secrets", "import", "-a", "web", "--stage")
    assert {"A": "1", "B": "2"} == released.asked[-1].body["values"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert 1 == run("secrets", "import", "-a", "web").code


def test_secrets_list(api: ApiStub, run: Run) -> None:
    """Staged are those that changed after the latest release."""
    times = {"OLD": "2026-01-01T00:00:00Z", "NEW": "2026-01-03T00:00:00Z"}
    items = [{"name": name, "digest": "d", "updated_at": at} for name, at in times.items()]
    release = {"version": 1, "status": "complete", "created_at": "2026-01-02T00:00:00Z"}
    api.on("GET /v1/apps/web/secrets", {"secrets": items})
    api.on("GET /v1/apps/web/releases", {"releases": [release]})
    out = run("secrets", "list", "-a", "web").out
    assert [["NAME", "DIGEST", "STATUS"], ["OLD", "d", "Deployed"], ["NEW", "d", "Staged"]] == [
        line.split() for line in out.splitlines()
    ]
    listed = run("secrets", "list", "-a", "web", "--json").json
    assert ["Deployed", "Staged"] == [item["status"] for item in listed]


def test_scale_show(released: ApiStub, run: Run) -> None:
    """One line for each group."""
    expected = {
        "Process": "app",
        "Count": 1,
        "CPUKind": "shared",
        "CPUs": 1,
        "Memory": 256,
        "Regions": "local",
    }
    assert [expected] == run("scale", "show", "-a", "web", "--json").json
    assert "256 MB" in run("scale", "show", "-a", "web").out


def test_scale_count(released: ApiStub, run: Run) -> None:
    """The server is told what was asked for and says what it did."""
    released.on("POST /v1/apps/web/scale", {"changes": ["created machine new of group app"]})
    ended = run("scale", "count", "+1", "web=2", "-a", "web", "--yes")
    assert (0, "created machine new of group app\n") == (ended.code, ended.out)
    assert {"counts": {"app": "+1", "web": "2"}} == released.asked[-1].body
    released.on("POST /v1/apps/web/scale", {"changes": []})
    assert "already" in run("scale", "count", "1", "-a", "web").err
    assert {"changes": []} == run("scale", "count", "1", "-a", "web", "--json").json


def test_scale_asks_first(released: ApiStub, run: Run) -> None:
    """Without --yes and without a terminal nothing is changed, and the plan is shown."""
    ended = run("scale", "count", "3", "-a", "web")
    assert 1 == ended.code
    assert "+2 machines for group 'app' on region 'local'" in ended.err
    assert "POST /v1/apps/web/scale" not in released.lines
