"""Apps, addresses, secrets, regions and the host over HTTP."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.api_bench import ApiBench, with_api


def test_an_apps_life(tmp_path: Path) -> None:
    """Create gives the whole app; get and list show it; delete removes it."""

    async def body(api: ApiBench) -> None:
        made = await api.call("POST", "/v1/apps", {"app_name": "web", "org_slug": "personal"})
        assert made.status_code == 201
        app = made.json()
        assert app == {
            "id": "web",
            "name": "web",
            "internal_numeric_id": 1,
            "network": "default",
            "status": "pending",
            "machine_count": 0,
            "volume_count": 0,
            "organization": app["organization"],
            "cname_target": "",
            "app_role": "",
            "wants_flycast": False,
            "created_at": "2023-11-14T22:13:20.000Z",
        }
        assert app["organization"]["slug"] == "personal"
        await api.machine()
        shown = await api.ok("GET", "/v1/apps/web")
        assert shown == app | {"machine_count": 1}
        listed = await api.ok("GET", "/v1/apps", params={"org_slug": "personal"})
        assert listed == {"total_apps": 1, "apps": [shown]}
        assert await api.ok("DELETE", "/v1/apps/web") == {}
        await api.refused(404, "GET", "/v1/apps/web")
        await api.refused(404, "DELETE", "/v1/apps/web")

    with_api(tmp_path, body)


def test_refused_apps(tmp_path: Path) -> None:
    """Taken: 422 with the code; malformed: 400; no such organization: 404; builders: 400."""

    async def body(api: ApiBench) -> None:
        await api.ok("POST", "/v1/apps", {"name": "web"})
        problem = await api.refused(422, "POST", "/v1/apps", {"name": "web"})
        assert problem["status"] == "name_taken"
        await api.refused(400, "POST", "/v1/apps", {"name": "No!"})
        await api.refused(400, "POST", "/v1/apps", {})
        await api.refused(404, "POST", "/v1/apps", {"name": "x", "org_slug": "acme"})
        await api.refused(404, "GET", "/v1/apps", params={"org_slug": "acme"})
        await api.refused(400, "GET", "/v1/apps", params={"app_role": "remote-docker-builder"})
        builder = {"name": "x", "app_role_id": "remote-docker-builder"}
        await api.refused(400, "POST", "/v1/apps", builder)

    with_api(tmp_path, body)


def test_wants_flycast(tmp_path: Path) -> None:
    """It can be set when the app is made, and changed."""

    async def body(api: ApiBench) -> None:
        made = await api.ok("POST", "/v1/apps", {"name": "web", "wants_flycast": True})
        assert made["wants_flycast"]
        changed = await api.ok("PATCH", "/v1/apps/web", {"wants_flycast": False})
        assert not changed["wants_flycast"]
        await api.refused(400, "PATCH", "/v1/apps/web", {})
        await api.refused(404, "PATCH", "/v1/apps/none", {"wants_flycast": True})

    with_api(tmp_path, body)


def test_networks(tmp_path: Path) -> None:
    """All networks with their prefix, or those of one organization."""

    async def body(api: ApiBench) -> None:
        await api.ok("POST", "/v1/apps", {"name": "web", "network": "own"})
        found = (await api.ok("GET", "/v1/networks"))["networks"]
        assert [(n["id"], n["name"], n["org"], n["prefix"], n["egress"]) for n in found] == [
            (1, "default", "personal", "fdaa:0:1::/48", True),
            (2, "own", "personal", "fdaa:0:2::/48", True),
        ]
        await api.refused(404, "GET", "/v1/networks", params={"org_slug": "acme"})

    with_api(tmp_path, body)


def test_secrets(tmp_path: Path) -> None:
    """Set and remove; values never come out."""

    async def body(api: ApiBench) -> None:
        path = "/v1/apps/web/secrets"
        await api.ok("POST", "/v1/apps", {"name": "web"})
        reply = await api.call("POST", path, {"values": {"A": "hunter2", "B": "x"}})
        assert "hunter2" not in reply.text
        made = reply.json()
        assert made["version"] == 1
        assert [s["name"] for s in made["secrets"]] == ["A", "B"]
        assert set(made["secrets"][0]) == {"name", "digest", "created_at", "updated_at"}
        made = await api.ok("POST", path, {"values": {"A": None}})
        assert (made["version"], [s["name"] for s in made["secrets"]]) == (2, ["B"])
        assert (await api.ok("GET", path))["secrets"] == made["secrets"]
        problem = await api.refused(400, "POST", path, {"values": {"A": 5}})
        assert problem["error"].startswith("values.A: ")
        await api.refused(400, "POST", path, {"values": {"FLY_X": "x"}})
        await api.refused(404, "GET", "/v1/apps/none/secrets")

    with_api(tmp_path, body)


def test_platform(tmp_path: Path) -> None:
    """The one region, and placements in it."""

    async def body(api: ApiBench) -> None:
        regions = await api.ok("GET", "/v1/platform/regions")
        assert regions["Nearest"] == "local"
        assert [r["code"] for r in regions["Regions"]] == ["local"]
        asked = {"compute": {"cpus": 1, "memory_mb": 256}, "region": "any", "count": 2}
        placed = await api.ok("POST", "/v1/platform/placements", asked)
        assert placed == {"regions": [{"region": "local", "count": 2, "concurrency": 2}]}
        await api.refused(400, "POST", "/v1/platform/placements", {"region": "ams"})
        large = {"compute": {"memory_mb": 999_999}}
        problem = await api.refused(400, "POST", "/v1/platform/placements", large)
        assert problem["status"] == "insufficient_capacity"

    with_api(tmp_path, body)


def test_host_and_orgs(tmp_path: Path) -> None:
    """What the daemon is, and who owns apps."""

    async def body(api: ApiBench) -> None:
        host = await api.ok("GET", "/v1/host")
        assert host["pid"] == os.getpid()
        assert (host["id"], host["region"], host["cpus"]) == ("host1", "local", 2)
        assert host["home"] == str(api.bench.home.root)
        orgs = await api.ok("GET", "/v1/orgs")
        assert [(o["slug"], o["type"]) for o in orgs["orgs"]] == [("personal", "PERSONAL")]

    with_api(tmp_path, body)


def test_consoles(tmp_path: Path) -> None:
    """An ephemeral Machine on the host image, on an app that lists do not show."""

    async def body(api: ApiBench) -> None:
        one = await api.ok("POST", "/v1/consoles", {"org": "personal", "network": ""})
        two = await api.ok("POST", "/v1/consoles", {})
        assert one["app"] == two["app"] == "roost-console-1"
        config = one["machine"]["config"]
        assert config["image"] == "roost/host"
        assert config["init"]["cmd"] == ["/bin/sleep", "inf"]
        assert (config["auto_destroy"], config["restart"]["policy"]) == (True, "no")
        assert config["dns"]["skip_registration"]
        assert config["services"] == []
        assert (await api.ok("GET", "/v1/apps"))["apps"] == []
        await api.refused(404, "POST", "/v1/consoles", {"network": "none"})

    with_api(tmp_path, body)


def test_nobody_takes_the_name_of_a_console(tmp_path: Path) -> None:
    """Names of Roost's own apps are not given to users, who could stand in others' way."""

    async def body(api: ApiBench) -> None:
        problem = await api.refused(400, "POST", "/v1/apps", {"name": "roost-console-1"})
        assert "Roost's own" in problem["error"]
        await api.ok("POST", "/v1/consoles", {})

    with_api(tmp_path, body)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/nothing", 404), ("PUT", "/v1/apps", 405), ("GET", "/", 404)],
)
def test_paths_that_are_not_there(tmp_path: Path, method: str, path: str, status: int) -> None:
    """They get a problem body, too."""

    async def body(api: ApiBench) -> None:
        await api.refused(status, method, path)

    with_api(tmp_path, body)


def test_the_page_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    """No address of another host is in the documentation page."""

    async def body(api: ApiBench) -> None:
        page = await api.call("GET", "/docs")
        assert page.headers["content-type"].startswith("text/html")
        assert "http://" not in page.text
        assert "https://" not in page.text
        schema = await api.ok("GET", "/openapi.json")
        assert "/v1/apps/{app}/machines/{machine_id}/wait" in schema["paths"]

    with_api(tmp_path, body)
