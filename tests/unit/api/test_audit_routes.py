"""The audit log over HTTP: each call that changes something leaves exactly its entries."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from roost.api import app as app_module
from roost.control.acting import acting
from roost.deploy.deployer import Deployer
from roost.model.access import AuditEntry, Token
from roost.store.base import Delete
from tests.support.access_world import World, text_of, with_world
from tests.support.api_bench import ApiBench, with_api
from tests.unit.api.test_route_needs import ROUTES, filled

ORG, APP, MACHINE = "/v1/orgs/{org}", "/v1/apps/{app}", "/v1/apps/{app}/machines/{machine_id}"
CONFIG = {"config": {"image": "nginx"}}
WEB_ONE = "change machine {machine_id}"

LEAVES: dict[tuple[str, str], tuple[Any, list[list[str]]]] = {
    ("POST", "/v1/apps"): ({"name": "fresh", "org_slug": "acme"}, [["create app fresh"]]),
    ("POST", "/v1/orgs"): ({"name": "Fresh"}, [["create org fresh"]]),
    ("POST", "/v1/consoles"): (
        {"org": "acme"},
        [["create app roost-console-2"], ["create machine {made}"]],
    ),
    ("PATCH", APP): ({"wants_flycast": True}, [["change app web"]]),
    ("DELETE", APP): (
        None,
        [
            ["change machine {one}"],
            ["change machine {two}"],
            ["delete machine {one}", "delete machine {two}"],
            ["delete token {tokens}", "delete app web"],
        ],
    ),
    ("POST", f"{APP}/ip_assignments"): ({}, [["create address fdaa:0:2:0:1::1"]]),
    ("POST", f"{APP}/secrets"): ({"values": {"A": "1"}}, [["create secret web/A"]]),
    ("POST", f"{APP}/machines"): (CONFIG, [["create machine {made}"]]),
    ("POST", MACHINE): (CONFIG, [[WEB_ONE]]),
    ("DELETE", f"{MACHINE}?force=true"): (None, [[WEB_ONE]]),
    ("POST", f"{MACHINE}/metadata/{{key}}"): ({"value": "v"}, [[WEB_ONE]]),
    ("POST", f"{MACHINE}/stop"): (None, [[WEB_ONE]]),
    ("POST", f"{MACHINE}/suspend"): (None, [[WEB_ONE]]),
    ("POST", f"{MACHINE}/restart"): (None, [[WEB_ONE]]),
    ("POST", f"{MACHINE}/cordon"): (None, [[WEB_ONE]]),
    ("PUT", f"{ORG}/cross_network_replays"): ({"allowed": True}, [["change org acme"]]),
    ("POST", f"{ORG}/replay_sources"): ({"add": ["other"]}, [["change org acme"]]),
    ("POST", "/v1/tokens"): ({"name": "x"}, [["create token {made} 'x' (operator)"]]),
    ("POST", "/v1/orgs/{org}/tokens"): (
        {"kind": "readonly", "name": "x"},
        [["create token {made} 'x' (readonly of acme)"]],
    ),
}
SILENT: dict[tuple[str, str], Any] = {
    ("POST", "/v1/platform/placements"): {},
    ("POST", "/v1/canary"): None,
    ("POST", "/v1/proxy/upgrade"): {},
    ("POST", f"{MACHINE}/start"): None,
    ("POST", f"{MACHINE}/uncordon"): None,
    ("POST", f"{MACHINE}/lease"): {"ttl": 5},
    ("POST", f"{MACHINE}/signal"): {"signal": "SIGHUP"},
    ("POST", f"{MACHINE}/exec"): {"cmd": "true"},
    ("DELETE", f"{MACHINE}/metadata/{{key}}"): None,
}
"""What changes no record, at least of a started Machine to which nothing else was done."""
ELSEWHERE = {
    ("DELETE", f"{APP}/ip_assignments/{{ip}}"),
    ("DELETE", f"{MACHINE}/lease"),
    ("DELETE", f"{APP}/grants/{{grant}}"),
    ("POST", f"{ORG}/grants/{{grant}}/accept"),
    ("POST", f"{ORG}/grants/{{grant}}/reject"),
    ("DELETE", f"{ORG}/grants/{{grant}}"),
    ("DELETE", ORG),
    ("DELETE", "/v1/orgs/{org}/tokens/{token_id}"),
    ("DELETE", "/v1/tokens/{token_id}"),
    ("POST", f"{APP}/deploys"),
    ("POST", f"{APP}/scale"),
    ("POST", f"{APP}/certificates/custom"),
    ("POST", f"{APP}/certificates/acme"),
    ("POST", f"{APP}/certificates/{{hostname}}/check"),
    ("DELETE", f"{APP}/certificates/{{hostname}}"),
    ("DELETE", f"{APP}/certificates/{{hostname}}/custom"),
    ("DELETE", f"{APP}/certificates/{{hostname}}/acme"),
    ("POST", f"{ORG}/ca/rotate"),
    ("DELETE", f"{ORG}/ca/{{fingerprint}}"),
}
"""In the tests below, and in test_audit_certificates."""


def log(world: World) -> list[AuditEntry]:
    """All entries, oldest first."""
    return [stored.record for stored in world.bench.store.scan(AuditEntry)][::-1]


def plain(path: str) -> str:
    return path.partition("?")[0]


def test_every_route_that_changes_something_has_its_row() -> None:
    """What a new route leaves in the log must be written here."""
    changing = {key for key in ROUTES if key[0] != "GET"}
    rows = {(method, plain(path)) for method, path in (*LEAVES, *SILENT)}
    assert rows | ELSEWHERE == changing
    assert not rows & ELSEWHERE


@pytest.mark.parametrize(("method", "path"), [*LEAVES, *SILENT])
def test_a_call_leaves_exactly_its_entries(tmp_path: Path, method: str, path: str) -> None:
    """One entry for each commit, in the words of the table, with caller, call and source; what
    changes nothing leaves none.
    """
    sent, wanted = LEAVES.get((method, path), (SILENT.get((method, path)), []))

    async def body(world: World) -> None:
        # It belongs to another organization's earlier web, so its end would be told there.
        await world.bench.store.commit(Delete(Token, world.tokens["stale"]))
        url = filled(path, world)
        reply = await world.call("operator", method, url, sent)
        assert reply.status_code < 300, reply.text
        answer = reply.json() if reply.content else {}
        found = log(world)
        assert sorted(map(told, found)) == sorted(expected(wanted, world, answer))
        for entry in found:
            assert (entry.actor, entry.actor_org) == ("operator", "")
            assert entry.action == f"{method} {plain(url)}"
            assert entry.source == "127.0.0.1"

    with_world(tmp_path, body)


TOKENS = "delete token {tokens}"


def told(entry: AuditEntry) -> list[str]:
    """An entry's changes in any order, with one word for however many deleted tokens."""
    kept = [text for text in entry.changes if not text.startswith("delete token")]
    return sorted([*kept, TOKENS] if len(kept) < len(entry.changes) else kept)


def expected(wanted: list[list[str]], world: World, answer: Any) -> list[list[str]]:
    """The rows of the table with the ids of this world and of what the call made."""
    made = str(answer.get("id") or answer.get("machine", {}).get("id")) if answer else ""
    names = {"made": made, "machine_id": world.machines["one"], **world.machines}
    return [
        sorted(text if text == TOKENS else text.format(**names) for text in changes)
        for changes in wanted
    ]


def test_what_undoes_something(tmp_path: Path) -> None:
    """Releasing an address and revoking tokens are told; giving a lease back is not."""

    async def body(world: World) -> None:
        ip = (await world.call("org", "POST", "/v1/apps/web/ip_assignments", {})).json()["ip"]
        await world.call("org", "DELETE", f"/v1/apps/web/ip_assignments/{ip}")
        made = (await world.call("operator", "POST", "/v1/tokens", {"name": "x"})).json()["id"]
        await world.call("operator", "DELETE", f"/v1/tokens/{made}")
        asked = {"kind": "org", "name": "y"}
        of_org = (await world.call("org", "POST", "/v1/orgs/acme/tokens", asked)).json()["id"]
        await world.call("org", "DELETE", f"/v1/orgs/acme/tokens/{of_org}")
        lease = f"/v1/apps/web/machines/{world.machines['one']}/lease"
        nonce = (await world.call("org", "POST", lease)).json()["data"]["nonce"]
        before = len(log(world))
        header = {"fly-machine-lease-nonce": nonce, "Authorization": f"Bearer {text_of('org')}"}
        assert (await world.api.http.delete(lease, headers=header)).status_code == 200
        assert len(log(world)) == before
        assert [entry.changes for entry in log(world)] == [
            (f"create address {ip}",),
            (f"delete address {ip}",),
            (f"create token {made} 'x' (operator)",),
            (f"change token {made} 'x' (operator)",),
            (f"create token {of_org} 'y' (org of acme)",),
            (f"change token {of_org} 'y' (org of acme)",),
        ]

    with_world(tmp_path, body)


def test_sharing_is_told_to_both_sides(tmp_path: Path) -> None:
    """A grant and its address are in the log of either organization, under who did it."""

    async def body(world: World) -> None:
        async def asked() -> str:
            path = "/v1/apps/web/ip_assignments"
            reply = await world.call("org", "POST", path, {"org_slug": "other"})
            return str(reply.json()["grant"]["id"])

        theirs = "/v1/orgs/other/grants"
        first, second, third = await asked(), "", ""
        await world.call("other-org", "POST", f"{theirs}/{first}/reject")
        second = await asked()
        await world.call("org", "DELETE", f"/v1/apps/web/grants/{second}")
        third = await asked()
        await world.call("other-org", "POST", f"{theirs}/{third}/accept")
        await world.call("other-org", "DELETE", f"{theirs}/{third}")
        ip = "fdaa:0:3:0:1::1"
        for org in ("acme", "other"):
            found = [entry for entry in log(world) if entry.org == org]
            assert [(entry.actor, entry.changes) for entry in found] == [
                ("org", (f"create grant {first}",)),
                ("other-org", (f"change grant {first}",)),
                ("org", (f"create grant {second}",)),
                ("org", (f"change grant {second}",)),
                ("org", (f"create grant {third}",)),
                ("other-org", (f"change grant {third}", f"create address {ip}")),
                ("other-org", (f"delete address {ip}", f"change grant {third}")),
            ]
            assert {entry.app for entry in found} == {"web"}

    with_world(tmp_path, body)


def test_the_end_of_an_organization(tmp_path: Path) -> None:
    """What went with it is in its log, which outlives it."""

    async def body(world: World) -> None:
        await world.call("other-org", "DELETE", "/v1/apps/shop")
        await world.call("other-org", "DELETE", ORG.format(org="other"))
        last = [entry for entry in log(world) if entry.org == "other"][-1]
        assert "delete org other" in last.changes
        assert any(change.startswith("delete token") for change in last.changes)

    with_world(tmp_path, body)


def test_a_deploy_is_its_callers(tmp_path: Path) -> None:
    """All that a deploy does is told as its caller's doing, also after the caller left; what the
    next caller does meanwhile is the next caller's.
    """

    async def body(world: World) -> None:
        control = world.bench.control
        app = app_module.create_app(
            control,
            Deployer(control),
            world.api.scaler,
            world.api.canary,
            control.context.host,
            proxies=world.api.proxies,
            group=world.api.group,
        )
        world.api.app.state.parts = app.state.parts
        asked = {"config": {"app": "web"}, "image": "nginx", "smoke_window": "0s"}
        await world.call("org", "PATCH", "/v1/apps/db", {"wants_flycast": True})
        reply = await world.call("deploy", "POST", "/v1/apps/web/deploys", asked)
        assert '"done"' in reply.text, reply.text
        told = [(entry.actor, entry.changes) for entry in log(world)]
        assert told[0] == ("org", ("change app db",))
        assert {actor for actor, _ in told[1:]} == {"deploy"}
        words = [change for _, changes in told[1:] for change in changes]
        assert "create release web/00000001" in words
        assert "change release web/00000001" in words
        assert any(word.startswith("create machine") for word in words)
        assert {entry.action for entry in log(world)[1:]} == {"POST /v1/apps/web/deploys"}

    with_world(tmp_path, body)


def test_scaling_is_its_callers(tmp_path: Path) -> None:
    """Where the work of a call is done by tasks of its own, they are its caller's, too."""
    seen: list[str] = []

    async def body(world: World) -> None:
        class Noting:
            async def count(
                self, app: str, counts: object, *, number: int | None, may_show: bool
            ) -> list[str]:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self.one())
                return []

            async def one(self) -> None:
                actor = acting()
                seen.append(actor.name if actor else "")

        world.api.app.state.parts = app_module.create_app(
            world.bench.control,
            world.api.deployer,
            Noting(),
            world.api.canary,
            world.bench.control.context.host,
            proxies=world.api.proxies,
            group=world.api.group,
        ).state.parts
        for caller in ("deploy", "org"):
            await world.call(caller, "POST", "/v1/apps/web/scale", {"counts": {"app": 1}})

    with_world(tmp_path, body)
    assert seen == ["deploy", "org"]


def test_callers_at_the_same_time(tmp_path: Path) -> None:
    """Calls that overlap are each told under their own name, also where they share numbers."""

    async def body(world: World) -> None:
        async def make(caller: str, org: str, number: int) -> None:
            sent = {"name": f"{caller}-{number}", "org_slug": org}
            assert (await world.call(caller, "POST", "/v1/apps", sent)).status_code == 201

        async with asyncio.TaskGroup() as group:
            for number in range(10):
                group.create_task(make("org", "acme", number))
                group.create_task(make("other-org", "other", number))
        assert len(log(world)) == 20
        assert all(entry.changes == (f"create app {entry.app}",) for entry in log(world))
        assert all(entry.app.rpartition("-")[0] == entry.actor for entry in log(world))

    with_world(tmp_path, body)


def test_refused_calls_leave_nothing(tmp_path: Path) -> None:
    """A call that is forbidden, hidden, wrong or too late changes nothing and leaves no entry."""

    async def body(world: World) -> None:
        for caller, method, path, sent in (
            ("readonly", "DELETE", "/v1/apps/web", None),
            ("other-org", "DELETE", "/v1/apps/web", None),
            ("org", "POST", "/v1/apps", {"name": "No!", "org_slug": "acme"}),
            ("org", "POST", "/v1/apps", {"name": "shop", "org_slug": "acme"}),
            ("nobody", "POST", "/v1/apps", {"name": "x"}),
        ):
            assert (await world.call(caller, method, path, sent)).status_code >= 400
        assert log(world) == []

    with_world(tmp_path, body)


def test_reading_the_log(tmp_path: Path) -> None:
    """Administrators read their organization's, operators everything, newest first, in pages."""

    async def body(world: World) -> None:
        for caller, app in (("org", "web"), ("org", "db"), ("other-org", "shop")):
            for wanted in (True, False):
                await world.call(caller, "PATCH", f"/v1/apps/{app}", {"wants_flycast": wanted})
        path = "/v1/orgs/acme/audit"
        page = (await world.call("org", "GET", path, params={"limit": 3})).json()
        assert [entry["app"] for entry in page["entries"]] == ["db", "db", "web"]
        assert page["entries"][0] == {
            "id": page["entries"][0]["id"],
            "at": "2023-11-14T22:13:20.000Z",
            "actor": "org",
            "token": page["entries"][0]["token"],
            "action": "PATCH /v1/apps/db",
            "source": "127.0.0.1",
            "org": "acme",
            "app": "db",
            "changes": ["change app db"],
        }
        older = {"before": page["next"], "limit": 3}
        rest = (await world.call("org", "GET", path, params=older)).json()
        assert [entry["app"] for entry in rest["entries"]] == ["web"]
        assert rest["next"] is None
        one = (await world.call("org", "GET", path, params={"app": "db"})).json()
        assert [entry["app"] for entry in one["entries"]] == ["db", "db"]
        every = (await world.call("operator", "GET", "/v1/audit")).json()
        assert [entry["org"] for entry in every["entries"]] == ["other"] * 2 + ["acme"] * 4
        for limit in (0, 1001, "x"):
            bad = await world.call("org", "GET", path, params={"limit": limit})
            assert bad.status_code == 400

    with_world(tmp_path, body)


def test_nobody_acts_after_a_call(tmp_path: Path) -> None:
    """Once a call is answered nothing in this process is its caller's doing any more."""

    async def body(api: ApiBench) -> None:
        await api.ok("POST", "/v1/apps", {"name": "web"})
        assert acting() is None

    with_api(tmp_path, body)
