"""Tokens over HTTP: shown once, listed without their text, ended at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from websockets.asyncio.client import unix_connect
from websockets.exceptions import ConnectionClosed

from roost.api.server import serve
from tests.support.access_world import World, text_of, with_world
from tests.support.api_bench import ApiBench, with_api

ACME = "/v1/orgs/acme/tokens"


def test_a_tokens_life(tmp_path: Path) -> None:
    """Made, used, listed, revoked: its text is in the first answer only."""

    async def body(world: World) -> None:
        asked = {"kind": "deploy", "app": "web", "name": "ci", "expiry": "7d"}
        made = (await world.call("org", "POST", ACME, asked)).json()
        text = made.pop("token")
        assert text.startswith("roost_")
        assert (made["kind"], made["name"], made["created_by"]) == ("deploy", "ci", "org")
        assert (made["org"], made["app"], made["machine"]) == ("acme", "web", None)
        assert made["expires_at"] == "2023-11-21T22:13:20.000Z"
        header = {"Authorization": f"Bearer {text}"}
        assert (await world.api.http.get("/v1/apps/web", headers=header)).status_code == 200
        assert (await world.api.http.get("/v1/apps/db", headers=header)).status_code == 404
        listed = await world.call("org", "GET", ACME)
        assert made in listed.json()["tokens"]
        assert text not in listed.text
        assert "sha256" not in listed.text
        ended = (await world.call("org", "DELETE", f"{ACME}/{made['id']}")).json()
        assert ended == made | {"revoked_at": "2023-11-14T22:13:20.000Z"}
        assert (await world.api.http.get("/v1/apps/web", headers=header)).status_code == 401

    with_world(tmp_path, body)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"kind": "operator"}, 400),
        ({"kind": "root"}, 400),
        ({}, 400),
        ({"kind": "org", "expiry": "0s"}, 400),
        ({"kind": "org", "expiry": "soon"}, 400),
        ({"kind": "org", "expiry": "400y"}, 400),
        ({"kind": "org", "app": "web"}, 400),
        ({"kind": "deploy"}, 400),
        ({"kind": "deploy", "app": "shop"}, 404),
        ({"kind": "machine", "app": "web", "machine": "0" * 14}, 404),
    ],
)
def test_refused_bodies(tmp_path: Path, body: dict[str, str], status: int) -> None:
    """What cannot be a token of the organization is refused, and none is made."""

    async def ask(world: World) -> None:
        before = world.bench.store.revision()
        assert (await world.call("org", "POST", ACME, body)).status_code == status
        assert world.bench.store.revision() == before

    with_world(tmp_path, ask)


def test_only_administrators_make_tokens(tmp_path: Path) -> None:
    """No lesser token makes, lists or ends any, whatever it writes; nor does another
    organization's, also not by its own path.
    """

    async def body(world: World) -> None:
        mine = (await world.call("org", "GET", ACME)).json()["tokens"][0]["id"]
        before = world.bench.store.revision()
        for caller in ("readonly", "deploy", "machine", "sibling", "neighbour"):
            for method, path, sent in (
                ("POST", ACME, {"kind": "deploy", "app": "web"}),
                ("POST", ACME, {"kind": "org", "grade": "operator"}),
                ("POST", "/v1/tokens", {}),
                ("GET", ACME, None),
                ("DELETE", f"{ACME}/{mine}", None),
            ):
                assert (await world.call(caller, method, path, sent)).status_code == 403
        for path in (f"{ACME}/{mine}", f"/v1/orgs/other/tokens/{mine}"):
            assert (await world.call("other-org", "DELETE", path)).status_code == 404
        assert (await world.call("org", "POST", "/v1/tokens", {})).status_code == 403
        assert (await world.call("org", "DELETE", f"/v1/tokens/{mine}")).status_code == 403
        assert (await world.call("operator", "DELETE", f"/v1/tokens/{mine}")).status_code == 404
        assert world.bench.store.revision() == before

    with_world(tmp_path, body)


def test_operators(tmp_path: Path) -> None:
    """An operator makes and ends operators' tokens, but not the last one."""

    async def body(api: ApiBench) -> None:
        made = await api.ok("POST", "/v1/tokens", {"name": "second", "expiry": "24h"})
        assert (made["kind"], made["org"]) == ("operator", None)
        first, second = (await api.ok("GET", "/v1/tokens"))["tokens"]
        assert (first["name"], first["expires_at"]) == ("admin", None)
        assert second == {key: value for key, value in made.items() if key != "token"}
        await api.ok("DELETE", f"/v1/tokens/{second['id']}")
        problem = await api.refused(412, "DELETE", f"/v1/tokens/{first['id']}")
        assert "tokens create operator" in problem["hint"]

    with_api(tmp_path, body)


def test_a_followed_log_ends_with_its_token(tmp_path: Path) -> None:
    """A stream that a revoked token opened ends by itself."""

    async def body(world: World) -> None:
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            call = world.call("deploy", "GET", "/v1/apps/web/logs", params={"follow": "true"})
            following = group.create_task(call)
            await world.bench.clock.slept.wait()
            assert not following.done()
            await world.call("org", "DELETE", f"{ACME}/{world.tokens['deploy']}")
        assert following.result().status_code == 200

    with_world(tmp_path, body)


def test_a_session_ends_with_its_token(tmp_path: Path) -> None:
    """A shell that a revoked token opened is closed, and its command killed."""

    async def body(world: World) -> None:
        path, ready = world.bench.home.api_socket, asyncio.Event()
        one = world.machines["one"]
        uri = f"ws://roost/v1/apps/web/machines/{one}/attach?cmd=[%22sh%22]"
        header = {"Authorization": f"Bearer {text_of('machine')}"}
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            serving = group.create_task(serve(world.api.app, unix_socket=path, ready=ready))
            await ready.wait()
            async with unix_connect(str(path), uri, additional_headers=header) as client:
                assert await client.recv() == b"\x01ready\n"
                await world.call("org", "DELETE", f"{ACME}/{world.tokens['machine']}")
                with pytest.raises(ConnectionClosed, match="no longer valid"):
                    await client.recv()
            await world.bench.host.sessions[0].ended.wait()
            serving.cancel()

    with_world(tmp_path, body)
