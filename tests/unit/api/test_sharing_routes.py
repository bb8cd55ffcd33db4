"""Addresses, organizations, grants, networks and `reach` over the API."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from roost.control.public_pool import PublicPool
from roost.control.service import Control
from tests.support.access_world import World, with_world
from tests.support.api_bench import ApiBench, Json, with_api

WEB = {"internal_port": 8080, "ports": [{"port": 80, "handlers": ["http"]}]}
IPS = "/v1/apps/web/ip_assignments"


def test_addresses(tmp_path: Path) -> None:
    """Fly's fields and Roost's own; what may surprise comes as a warning."""

    async def body(api: ApiBench) -> None:
        await api.machine(services=[WEB])
        made = await api.ok("POST", IPS, {"type": "private_v6", "network": "", "ports": [80]})
        assert made["ip"] == "fdaa:0:1:0:1::1"
        assert (made["region"], made["shared"], made["service_name"]) == ("global", False, "80")
        assert (made["org_slug"], made["network"], made["ports"]) == ("personal", "default", [80])
        assert (made["type"], made["public"], made["grant"]) == ("private_v6", False, None)
        assert "warning" not in made
        assert (await api.ok("GET", IPS)) == {"ips": [made], "pending_grants": 0}
        await api.ok("DELETE", f"{IPS}/{made['ip']}")
        assert (await api.ok("GET", IPS))["ips"] == []
        await api.refused(404, "DELETE", f"{IPS}/{made['ip']}")

    with_api(tmp_path, body)


def test_an_address_of_an_app_without_services_warns(tmp_path: Path) -> None:
    """It is made all the same."""

    async def body(api: ApiBench) -> None:
        await api.ok("POST", "/v1/apps", {"name": "web", "network": "own"})
        made = await api.ok("POST", IPS, {})
        assert "no Machine with a service" in made["warning"]
        assert "not from the app's own network 'own'" in made["warning"]

    with_api(tmp_path, body)


@pytest.mark.parametrize(
    ("asked", "status", "sentence"),
    [
        ({"type": "v4"}, 412, "no public IPv4 addresses"),
        ({"type": "egress"}, 400, "not a type of address"),
        ({"region": "ams"}, 400, "does not exist here"),
        ({"network": "typo"}, 404, "network 'typo'"),
        ({"org_slug": "nope"}, 404, "organization 'nope' not found"),
        ({"service_name": "http"}, 400, "is not a port"),
        ({"service_name": "1" * 5000}, 400, "is not a port"),
        ({"service_name": "\u00b2"}, 400, "is not a port"),
        ({"service_name": "81"}, 400, "no service on port 81"),
        ({"ports": [0]}, 400, "ports.0"),
        ({"ports": [70000]}, 400, "ports.0"),
        ({"expires": "soon"}, 400, "not a lifetime"),
        ({"expires": "1ms"}, 400, "lifetime"),
    ],
)
def test_impossible_addresses(tmp_path: Path, asked: Json, status: int, sentence: str) -> None:
    """Each has its status and its sentence, and leaves nothing."""

    async def body(api: ApiBench) -> None:
        await api.machine(services=[WEB])
        problem = await api.refused(status, "POST", IPS, asked)
        assert sentence in problem["error"]
        assert (await api.ok("GET", IPS))["ips"] == []

    with_api(tmp_path, body)


def test_what_expires_says_so(tmp_path: Path) -> None:
    """The date is in the list."""

    async def body(api: ApiBench) -> None:
        await api.machine(services=[WEB])
        made = await api.ok("POST", IPS, {"expires": "7d"})
        assert made["expires_at"] == "2023-11-21T22:13:20.000Z"

    with_api(tmp_path, body)


def test_public_addresses_are_marked(tmp_path: Path) -> None:
    """Each says that it is public; a private app that is public, too, is warned of."""

    async def body(api: ApiBench) -> None:
        pool = PublicPool(v4=(IPv4Network("198.51.100.8/29"),), domain="example.com")
        parts = api.app.state.parts
        control = Control(replace(api.bench.control.context, public=pool))
        api.app.state.parts = replace(parts, control=control)
        await api.machine(services=[WEB])
        await api.ok("POST", IPS, {})
        shared = await api.ok("POST", IPS, {"type": "shared_v4"})
        assert (shared["shared"], shared["public"], shared["org_slug"]) == (True, True, "")
        assert "by the name web.example.com" in shared["warning"]
        listed = await api.ok("GET", IPS)
        assert "roost ips release 198.51.100.8 -a web" in listed["warning"]

    with_api(tmp_path, body)


def test_sharing_takes_two(tmp_path: Path) -> None:
    """Asked by one admin, seen and accepted by the other; the app is then let in. Neither side
    learns the names of the other one's tokens.
    """

    async def body(world: World) -> None:
        asked = await world.call("org", "POST", IPS, {"org_slug": "other", "expires": "7d"})
        assert asked.status_code == 202
        grant = asked.json()["grant"]
        assert (await world.call("deploy", "GET", IPS)).json()["pending_grants"] == 1
        assert grant["created_by"] == "organization acme"
        assert (grant["state"], grant["ip"], grant["network"]) == ("pending", "", "default")
        seen = (await world.call("other-org", "GET", "/v1/orgs/other/grants")).json()
        assert seen == {"incoming": [grant], "outgoing": []}
        mine = (await world.call("org", "GET", "/v1/orgs/acme/grants")).json()
        assert mine == {"incoming": [], "outgoing": [grant]}
        path = f"/v1/orgs/other/grants/{grant['id']}"
        for caller, status in {"org": 404, "other-readonly": 403, "deploy": 404}.items():
            reply = await world.call(caller, "POST", f"{path}/accept")
            assert reply.status_code == status, caller
        accepted = (await world.call("other-org", "POST", f"{path}/accept")).json()
        assert (accepted["state"], accepted["decided_by"]) == ("accepted", "organization other")
        (address,) = (await world.call("deploy", "GET", IPS)).json()["ips"]
        assert (address["ip"], address["org_slug"]) == (accepted["ip"], "other")
        await world.call("other-org", "POST", "/v1/consoles", {"org": "other"})
        (network,) = (await world.call("other-org", "GET", "/v1/networks")).json()["networks"]
        assert (network["apps"], network["grants_in"], network["grants_out"]) == (1, 1, 0)
        again = await world.call("other-org", "POST", f"{path}/accept")
        assert again.status_code == 412
        ended = await world.call("other-org", "DELETE", path)
        assert ended.json()["state"] == "released"
        assert (await world.call("deploy", "GET", IPS)).json()["ips"] == []

    with_world(tmp_path, body)


def test_one_who_administers_both_needs_nobody(tmp_path: Path) -> None:
    """The operator's address is there at once, and a network that does not exist is an error."""

    async def body(world: World) -> None:
        made = await world.call("operator", "POST", IPS, {"org_slug": "other"})
        assert made.status_code == 200
        assert made.json()["grant"]
        asked = {"org_slug": "other", "network": "typo"}
        assert (await world.call("operator", "POST", IPS, asked)).status_code == 404
        assert (await world.call("org", "POST", IPS, asked)).status_code == 202

    with_world(tmp_path, body)


def test_a_request_is_withdrawn_and_rejected(tmp_path: Path) -> None:
    """By the app's side and by the other; neither leaves an address."""

    async def body(world: World) -> None:
        ask: Any = {"org_slug": "other"}
        for caller, method, path in (
            ("deploy", "DELETE", "/v1/apps/web/grants/{id}"),
            ("other-org", "POST", "/v1/orgs/other/grants/{id}/reject"),
        ):
            grant = (await world.call("org", "POST", IPS, ask)).json()["grant"]
            done = await world.call(caller, method, path.format(id=grant["id"]))
            assert done.json()["state"] in {"withdrawn", "rejected"}
        assert (await world.call("org", "GET", IPS)).json()["ips"] == []
        listed = (await world.call("org", "GET", "/v1/apps/web/grants")).json()["grants"]
        assert {one["state"] for one in listed} == {"withdrawn", "rejected"}

    with_world(tmp_path, body)


def test_organizations(tmp_path: Path) -> None:
    """Made by the operator, shown with their networks, deleted when they own nothing."""

    async def body(world: World) -> None:
        made = (await world.call("operator", "POST", "/v1/orgs", {"name": "Big Zoo"})).json()
        assert (made["slug"], made["name"], made["type"]) == ("big-zoo", "Big Zoo", "SHARED")
        taken = await world.call("operator", "POST", "/v1/orgs", {"name": "big zoo"})
        assert (taken.status_code, taken.json()["status"]) == (422, "name_taken")
        shown = (await world.call("readonly", "GET", "/v1/orgs/acme")).json()
        assert [one["prefix"] for one in shown["networks"]] == ["fdaa:0:2::/48"]
        busy = await world.call("org", "DELETE", "/v1/orgs/acme")
        assert busy.status_code == 412
        assert "still owns 2 app(s)" in busy.json()["error"]
        assert (await world.call("operator", "DELETE", "/v1/orgs/big-zoo")).status_code == 200
        assert (await world.call("operator", "GET", "/v1/orgs/big-zoo")).status_code == 404

    with_world(tmp_path, body)


def test_reach_tells_each_what_it_may_see(tmp_path: Path) -> None:
    """From what a token may look at; everything else answers as if it did not exist."""

    async def body(world: World) -> None:
        async def ask(caller: str, source: str, target: str) -> tuple[int, Json]:
            query = {"from": source, "to": target}
            reply = await world.call(caller, "GET", "/v1/reach", params=query)
            return reply.status_code, reply.json()

        await world.call("operator", "POST", IPS, {})
        status, answer = await ask("readonly", "db", "web")
        assert (status, answer["reaches"], answer["from"], answer["to"]) == (
            200,
            False,
            "db",
            "web",
        )
        assert [step["step"] for step in answer["steps"]] == [
            "caller",
            "name",
            "audience",
            "service",
        ]
        assert (await ask("deploy", "web", "db"))[0] == 200
        one, two = world.machines["one"], world.machines["two"]
        assert (await ask("machine", one, "db"))[0] == 200
        assert (await ask("machine", two, "db"))[0] == 404
        for caller in ("deploy", "machine", "other-org"):
            status, problem = await ask(caller, "db", "web")
            assert (status, "no app, Machine or network" in problem["error"]) == (404, True), caller
        _, hidden = await ask("other-org", "shop", "web")
        _, unknown = await ask("other-org", "shop", "nothing")
        told = hidden["steps"][-1]["why"].replace("web", "nothing")
        assert told == unknown["steps"][-1]["why"]
        assert (await ask("nobody", "db", "web"))[0] == 401
        assert (await ask("operator", "db", "a b"))[0] == 400

    with_world(tmp_path, body)
