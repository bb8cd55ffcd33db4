"""The audit log of certificates and private CAs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from tests.support.access_world import World, with_world
from tests.support.certificates import DAY, make
from tests.support.control_bench import START_MS
from tests.unit.api.test_audit_routes import log

BEGINS = datetime.fromtimestamp(START_MS / 1000, UTC) - DAY
NAME = "www.example.com"


def test_certificates(tmp_path: Path) -> None:
    """Adding, replacing and removing one is told with its host name and never with a key; what is
    only looked at, or always refused, leaves nothing.
    """

    async def body(world: World) -> None:
        made = make(NAME, begins=BEGINS)
        sent = {"hostname": NAME, "fullchain": made.text, "private_key": made.key_text}
        calls = [
            ("POST", "custom", sent),
            ("POST", "custom", sent),
            ("POST", "acme", {"hostname": NAME}),
            ("POST", f"{NAME}/check", None),
            ("DELETE", f"{NAME}/acme", None),
            ("DELETE", f"{NAME}/custom", None),
            ("POST", "custom", sent),
            ("DELETE", NAME, None),
        ]
        for method, path, text in calls:
            await world.call("org", method, f"/v1/apps/web/certificates/{path}", text)
        words = ["create", "change", "delete", "create", "delete"]
        found = log(world)
        assert [one.changes for one in found] == [(f"{word} certificate {NAME}",) for word in words]
        assert {(one.actor, one.org, one.app) for one in found} == {("org", "acme", "web")}

    with_world(tmp_path, body)


def test_private_cas(tmp_path: Path) -> None:
    """A new root and the end of an old one are told with their fingerprints."""

    async def body(world: World) -> None:
        path = "/v1/orgs/acme/ca"
        await world.call("org", "POST", f"{path}/rotate")
        await world.call("org", "POST", f"{path}/rotate")
        roots = (await world.call("org", "GET", path)).json()["roots"]
        old = next(root["fingerprint"] for root in roots if not root["signs"])
        await world.call("org", "DELETE", f"{path}/{old}")
        found = log(world)
        made = {f"create authority acme/{root['fingerprint']}" for root in roots}
        assert {change for one in found[:-1] for change in one.changes} == made
        assert found[-1].changes == (f"delete authority acme/{old}",)
        assert {(one.actor, one.org) for one in found} == {("org", "acme")}

    with_world(tmp_path, body)
