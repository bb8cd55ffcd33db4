"""apps, ips, orgs, platform, releases."""

from __future__ import annotations

import pytest

from tests.support.api_stub import ApiStub
from tests.support.cli import Run, an_app


def test_create_sends_name_org_and_network(api: ApiStub, run: Run) -> None:
    """The app is made on the network that was named, in the personal org by default."""
    api.on("POST /v1/apps", an_app("web"), status=201)
    ended = run("apps", "create", "web", "--network", "blue")
    assert (0, "New app created: web\n") == (ended.code, ended.out)
    body = {"name": "web", "org_slug": "personal", "network": "blue"}
    assert body == api.last("POST /v1/apps").body


def test_create_checks_the_name_first(api: ApiStub, run: Run) -> None:
    """An impossible name is refused before the API is asked."""
    ended = run("apps", "create", "Not_A_Name")
    assert (1, []) == (ended.code, api.asked)


def test_create_makes_up_a_name(api: ApiStub, run: Run) -> None:
    """--generate-name sends a valid name."""
    api.on("POST /v1/apps", an_app("x"))
    assert 0 == run("apps", "create", "--generate-name").code
    assert api.last("POST /v1/apps").body["name"]


def test_list_shows_networks_only_when_there_are_some(api: ApiStub, run: Run) -> None:
    """Fly's columns; Network appears with the first custom network."""
    api.on("GET /v1/apps", {"apps": [an_app("b"), an_app("a")]})
    for name in ("a", "b"):
        api.on(f"GET /v1/apps/{name}/releases", {"releases": [{"created_at": "2026-01-02"}]})
    assert "Jan 2 2026" in run("apps", "list").out
    assert ["NAME", "a", "b"] == [line.split()[0] for line in run("apps", "list").out.splitlines()]
    assert "NETWORK" not in run("apps", "list").out
    api.on("GET /v1/apps", {"apps": [an_app("b", network="blue")]})
    header, row = run("apps", "list").out.splitlines()
    assert "blue" == row.split("\t")[header.split("\t").index("NETWORK")].strip()


def test_list_quiet_and_json(api: ApiStub, run: Run) -> None:
    """-q prints names, --json what the API said."""
    api.on("GET /v1/apps", {"apps": [an_app("a")]})
    assert "a\n" == run("apps", "list", "-q").out
    assert [an_app("a")] == run("apps", "list", "--json").json


def test_list_of_an_org(api: ApiStub, run: Run) -> None:
    """--org asks for that organization only."""
    api.on("GET /v1/apps", {"apps": []})
    run("apps", "list", "--org", "acme")
    assert ["acme"] == api.asked[-1].values("org_slug")


def test_destroy_needs_yes_without_a_terminal(api: ApiStub, run: Run) -> None:
    """Nothing is destroyed by a script that did not say --yes."""
    api.on("GET /v1/apps/web", an_app())
    ended = run("apps", "destroy", "web")
    assert 1 == ended.code
    assert "DELETE /v1/apps/web" not in api.lines


def test_destroy(api: ApiStub, run: Run) -> None:
    """With --yes each app is destroyed."""
    for name in ("a", "b"):
        api.on(f"GET /v1/apps/{name}", an_app(name))
        api.on(f"DELETE /v1/apps/{name}", status=202)
    ended = run("apps", "destroy", "a", "b", "--yes", "--json")
    assert {"destroyed": ["a", "b"]} == ended.json


def test_platform(api: ApiStub, run: Run) -> None:
    """Regions come from the server, sizes are fixed."""
    regions = {"Regions": [{"code": "local", "name": "Here"}], "Nearest": "local"}
    api.on("GET /v1/platform/regions", regions)
    assert regions["Regions"] == run("platform", "regions", "--json").json
    assert "Here\tlocal" in run("platform", "regions").out
    names = [size["name"] for size in run("platform", "vm-sizes", "--json").json]
    assert names[0] == "shared-cpu-1x"


def test_releases_newest_first(api: ApiStub, run: Run) -> None:
    """Latest release on top; --image adds a column."""
    items = [
        {"version": 1, "status": "complete", "image_ref": "one"},
        {"version": 2, "status": "failed", "image_ref": "two"},
    ]
    api.on("GET /v1/apps/web/releases", {"releases": items})
    lines = run("releases", "-a", "web", "--image").out.splitlines()
    assert ["VERSION", "v2", "v1"] == [line.split("\t")[0].strip() for line in lines]
    assert "two" in lines[1]
    assert [2, 1] == [item["version"] for item in run("releases", "-a", "web", "-j").json]


@pytest.mark.parametrize("variable", ["FLY_ORG", "FLY_ORGANIZATION"])
def test_the_org_of_the_environment(
    api: ApiStub, run: Run, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """-o, else the environment, else personal."""
    api.on("POST /v1/apps", an_app("x"))
    monkeypatch.setenv(variable, "acme")
    run("apps", "create", "x")
    assert "acme" == api.asked[-1].body["org_slug"]
