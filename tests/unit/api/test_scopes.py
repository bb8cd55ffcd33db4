"""Tokens that try to reach beyond their scope, by the ways that a path or a body offers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import unix_connect
from websockets.exceptions import InvalidStatus

from roost.api.server import serve
from tests.support.access_world import CALLERS, World, text_of, with_world
from tests.unit.api.test_route_needs import outcome


def test_a_later_app_of_the_same_name_is_another_one(tmp_path: Path) -> None:
    """A deploy token does not reach the app that another organization made under its name."""

    async def body(world: World) -> None:
        assert (await world.call("deploy", "GET", "/v1/apps/web")).status_code == 200
        assert (await world.call("org", "DELETE", "/v1/apps/web")).status_code == 200
        made = await world.call(
            "other-org", "POST", "/v1/apps", {"name": "web", "org_slug": "other"}
        )
        assert made.status_code == 201
        for caller in ("deploy", "machine", "stale", "org", "readonly"):
            for path in ("/v1/apps/web", "/v1/apps/web/secrets", "/v1/apps/web/machines"):
                reply = await world.call(caller, "GET", path)
                assert reply.status_code in (401, 404), (caller, path)
            reply = await world.call(caller, "POST", "/v1/apps/web/secrets", {"values": {"A": "1"}})
            assert reply.status_code in (401, 404), caller

    with_world(tmp_path, body)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/apps/web/machines/{two}",
        "/v1/apps/web/machines/{one}/../{two}",
        "/v1/apps/web/machines/{one}%2f..%2f{two}",
        "/v1/apps/web/machines/{one}/%2e%2e/{two}",
        "/v1/apps/shop/machines/{one}",
        "/v1/apps/web/machines/{shop}",
        "/v1/apps/shop/machines/{shop}",
        "/v1/apps/web%2f..%2fshop/machines/{shop}",
        "/v1/apps/web//machines/{two}",
        "/v1/apps/web/machines/{two}?machine_id={one}&app=web",
    ],
)
def test_paths_do_not_lead_to_another_machine(tmp_path: Path, path: str) -> None:
    """However a Machine's token writes a path, only its own Machine answers, by its own path."""

    async def body(world: World) -> None:
        asked = path.format(**world.machines)
        for method in ("GET", "POST", "DELETE"):
            url = httpx.URL("http://roost").copy_with(raw_path=asked.encode())
            reply = await world.api.http.request(
                method, url, headers={"Authorization": f"Bearer {text_of('machine')}"}
            )
            assert reply.status_code in (404, 405), (method, reply.text)
            assert world.machines["two"] not in reply.text or reply.status_code == 404
        own = f"/v1/apps/web/machines/{world.machines['one']}"
        assert (await world.call("machine", "GET", own)).status_code == 200

    with_world(tmp_path, body)


def test_logs_of_one_machine(tmp_path: Path) -> None:
    """A Machine's token reads its own Machine's log, and neither the app's nor another's."""

    async def body(world: World) -> None:
        path = "/v1/apps/web/logs"
        for machine, status in (("one", 200), ("two", 404), ("shop", 404)):
            asked = {"machine": world.machines[machine]}
            reply = await world.call("machine", "GET", path, params=asked)
            assert reply.status_code == status
        assert (await world.call("machine", "GET", path)).status_code == 403
        assert (await world.call("machine", "GET", path, params={"machine": ""})).status_code == 403

    with_world(tmp_path, body)


def test_an_address_on_a_strange_network(tmp_path: Path) -> None:
    """An app's token gives it addresses in its own organization; sharing takes an admin, and then
    the other side's consent.
    """

    async def body(world: World) -> None:
        path = "/v1/apps/web/ip_assignments"
        rows = {"acme": (200, 200), "other": (403, 202), "nope": (403, 404)}
        for slug, statuses in rows.items():
            for caller, status in zip(("deploy", "org"), statuses, strict=True):
                reply = await world.call(caller, "POST", path, {"org_slug": slug})
                assert reply.status_code == status, (caller, slug)

    with_world(tmp_path, body)


def test_the_host_hides_its_folders(tmp_path: Path) -> None:
    """Where Roost lives is for operators; its region and size are for everybody with a token."""

    async def body(world: World) -> None:
        assert "home" in (await world.call("operator", "GET", "/v1/host")).json()
        told = (await world.call("org", "GET", "/v1/host")).json()
        assert set(told) == {"id", "region", "version", "cpus", "memory_mb"}

    with_world(tmp_path, body)


def test_attaching_needs_what_running_needs(tmp_path: Path) -> None:
    """The WebSocket refuses, before it opens, whom `exec` refuses, with the same answers."""

    async def body(world: World) -> None:
        path, ready = world.bench.home.api_socket, asyncio.Event()
        uri = f"ws://roost/v1/apps/web/machines/{world.machines['one']}/attach?cmd=[%22sh%22]"
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(serve(world.api.app, unix_socket=path, ready=ready))
            await ready.wait()
            for caller in CALLERS:
                wanted = outcome("run", "machine", caller)
                header = (
                    {"Authorization": f"Bearer {text_of(caller)}"} if caller != "nobody" else {}
                )
                connecting = unix_connect(str(path), uri, additional_headers=header)
                if wanted == "ok":
                    async with connecting:
                        continue
                with pytest.raises(InvalidStatus) as refused:
                    await connecting
                assert str(refused.value.response.status_code) == wanted, caller
                assert json.loads(refused.value.response.body)["error"]
            serving.cancel()

    with_world(tmp_path, body)


@pytest.mark.parametrize("what", ["folder", "image", "both"])
def test_the_hosts_files_are_not_for_everybody(tmp_path: Path, what: str) -> None:
    """Only an operator, or who asks by the Unix socket, shows a folder or an image file of the
    host to Machines; others keep what the app's Machines show already. Roost's own folder is for
    nobody.
    """
    folder = tmp_path / "site"
    folder.mkdir()
    config: dict[str, str] = {"image": "roost/host"}
    config |= {"app_dir": str(folder)} if what != "image" else {}
    config |= {"image": "oci-archive:/srv/x.tar"} if what != "folder" else {}
    machines, one = "/v1/apps/web/machines", {"config": config}
    request = {"config": {"app": "web"}, **config}

    async def body(world: World) -> None:
        own = f"{machines}/{world.machines['one']}"
        for caller in ("org", "deploy"):
            for path, sent in ((machines, one), (own, one), ("/v1/apps/web/deploys", request)):
                reply = await world.call(caller, "POST", path, sent)
                assert reply.status_code == 403, (caller, path, reply.text)
                assert "of this host" in reply.json()["error"]
        assert (await world.call("operator", "POST", machines, one)).status_code == 200
        for caller in ("org", "deploy"):
            assert (await world.call(caller, "POST", own, one)).status_code == 200
        if what != "image":
            for hidden in (str(world.bench.home.root), "/etc", "relative"):
                stolen = {"config": {"image": "roost/host", "app_dir": hidden}}
                for path in (machines, own):
                    reply = await world.call("operator", "POST", path, stolen)
                    assert reply.status_code == 400, (hidden, path)

    with_world(tmp_path / "home", body)


def test_the_unix_socket_may_show_folders(tmp_path: Path) -> None:
    """Who calls by the socket is Roost's own user, whose folders they are."""
    (tmp_path / "site").mkdir()
    sent = {"config": {"image": "roost/host", "app_dir": str(tmp_path / "site")}}

    async def body(world: World) -> None:
        path, ready = world.bench.home.api_socket, asyncio.Event()
        transport = httpx.AsyncHTTPTransport(uds=str(path))
        header = {"Authorization": f"Bearer {text_of('deploy')}"}
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(serve(world.api.app, unix_socket=path, ready=ready))
            await ready.wait()
            async with httpx.AsyncClient(transport=transport, headers=header) as local:
                reply = await local.post("http://roost/v1/apps/web/machines", json=sent)
                assert reply.status_code == 200, reply.text
            serving.cancel()

    with_world(tmp_path / "home", body)


def test_a_replay_source_has_to_be_known(tmp_path: Path) -> None:
    """Who may not know of an organization learns nothing by naming it as a source, and changes
    nothing; taking one out needs no more than the right on one's own.
    """

    async def body(world: World) -> None:
        path = "/v1/orgs/acme/replay_sources"
        for source in ("other", "ghost"):
            reply = await world.call("org", "POST", path, {"add": [source]})
            assert reply.status_code == 404
            assert reply.json()["message"] == f"organization {source!r} not found"
        reply = await world.call("operator", "POST", path, {"add": ["other"]})
        assert reply.json() == {"allowedReplaySourceOrgSlugs": ["other"]}
        reply = await world.call("org", "POST", path, {"remove": ["other"]})
        assert reply.json() == {"allowedReplaySourceOrgSlugs": []}

    with_world(tmp_path, body)
