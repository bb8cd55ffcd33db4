"""Certificates and private CAs over the API, in Fly's shapes."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from roost.pki import pem
from tests.support.api_bench import ApiBench, with_api
from tests.support.certificates import DAY, make
from tests.support.control_bench import START_MS

BEGINS = datetime.fromtimestamp(START_MS / 1000, UTC) - DAY
PATH = "/v1/apps/web/certificates"
NAME = "www.example.com"


def body_of(name: str, **more: Any) -> dict[str, str]:
    made = make(name, begins=BEGINS)
    return {"hostname": name, "fullchain": made.text, "private_key": made.key_text} | more


def test_a_certificate_is_imported_shown_and_removed(tmp_path: Path) -> None:
    """With the fields that Fly's client reads, and never a key."""

    async def body(api: ApiBench) -> None:
        await api.ok("POST", "/v1/apps", {"name": "web"})
        sent = body_of(NAME)
        reply = await api.call("POST", f"{PATH}/custom", sent)
        assert reply.status_code == 201
        made = reply.json()
        assert (made["hostname"], made["status"], made["configured"]) == (NAME, "active", True)
        (certificate,) = made["certificates"]
        assert (certificate["source"], certificate["issuer"]) == ("custom", "CN=made")
        assert certificate["issued"][0]["type"] == "ecdsa"
        assert made["validation_errors"] == []
        assert made["dns_requirements"]["a"] == []
        assert await api.ok("GET", f"{PATH}/{NAME}") == made
        assert await api.ok("POST", f"{PATH}/{NAME}/check") == made
        listed = await api.ok("GET", PATH)
        assert listed["total_count"] == 1
        assert listed["certificates"][0]["has_custom_certificate"]
        for text in (reply.text, str(listed)):
            assert "PRIVATE" not in text
        wild = await api.ok("POST", f"{PATH}/custom", body_of("*.example.com"))
        assert await api.ok("GET", f"{PATH}/%2A.example.com") == wild
        await api.ok("DELETE", f"{PATH}/{NAME}/custom")
        await api.ok("DELETE", f"{PATH}/%2A.example.com")
        assert (await api.ok("GET", PATH))["certificates"] == []
        await api.refused(404, "GET", f"{PATH}/{NAME}")

    with_api(tmp_path, body)


def test_the_list_goes_by_pages(tmp_path: Path) -> None:
    """As Fly's: `filter`, `limit`, `cursor`."""

    async def body(api: ApiBench) -> None:
        await api.ok("POST", "/v1/apps", {"name": "web"})
        names = [f"{letter}.example.com" for letter in "abc"]
        for name in names:
            await api.ok("POST", f"{PATH}/custom", body_of(name))
        first = await api.ok("GET", PATH, params={"limit": 2})
        assert [one["hostname"] for one in first["certificates"]] == names[:2]
        assert first["total_count"] == 3
        rest = await api.ok("GET", PATH, params={"limit": 2, "cursor": first["next_cursor"]})
        assert [one["hostname"] for one in rest["certificates"]] == names[2:]
        assert "next_cursor" not in rest
        found = await api.ok("GET", PATH, params={"filter": "B."})
        assert [one["hostname"] for one in found["certificates"]] == names[1:2]

    with_api(tmp_path, body)


def test_what_is_wrong_is_said_and_nothing_is_made(tmp_path: Path) -> None:
    """With the status that fits; the answer does not repeat the key."""

    async def body(api: ApiBench) -> None:
        await api.ok("POST", "/v1/apps", {"name": "web"})
        await api.ok("POST", "/v1/apps", {"name": "other"})
        sent = body_of(NAME)
        cases: tuple[tuple[int, dict[str, Any], str], ...] = (
            (400, sent | {"fullchain": "x"}, "not in PEM form"),
            (400, sent | {"private_key": make(begins=BEGINS).key_text}, "does not belong"),
            (400, sent | {"hostname": "api.example.com"}, "is not for api.example.com"),
            (400, sent | {"hostname": "x" * 300}, "hostname"),
            (400, sent | {"private_key": [sent["private_key"]]}, "private_key"),
            (400, {"hostname": NAME}, "fullchain"),
        )
        for status, wrong, sentence in cases:
            problem = await api.refused(status, "POST", f"{PATH}/custom", wrong)
            assert sentence in problem["error"]
            assert "PRIVATE KEY" not in str(problem)
        assert (await api.ok("GET", PATH))["certificates"] == []
        await api.ok("POST", f"{PATH}/custom", sent)
        taken = await api.refused(409, "POST", "/v1/apps/other/certificates/custom", sent)
        assert taken["status"] == "hostname_taken"
        asked = await api.refused(400, "POST", f"{PATH}/acme", {"hostname": "a.example.com"})
        assert "does not ask public authorities" in asked["error"]
        await api.refused(400, "DELETE", f"{PATH}/{NAME}/acme")

    with_api(tmp_path, body)


@pytest.mark.parametrize("times", [1, 2])
def test_a_ca_is_shown_replaced_and_cleared(tmp_path: Path, times: int) -> None:
    """The one that signs comes first and cannot be removed."""

    async def body(api: ApiBench) -> None:
        path = "/v1/orgs/personal/ca"
        (first,) = (await api.ok("GET", path))["roots"]
        assert first["signs"]
        assert pem.fingerprint(pem.load_chain(first["certificate"])[0]) == first["fingerprint"]
        for _ in range(times):
            roots = (await api.ok("POST", f"{path}/rotate"))["roots"]
        assert len(roots) == times + 1
        assert [one["signs"] for one in roots] == [True] + [False] * times
        assert roots[-1]["fingerprint"] == first["fingerprint"]
        await api.refused(412, "DELETE", f"{path}/{roots[0]['fingerprint']}")
        for root in roots[1:]:
            await api.ok("DELETE", f"{path}/{root['fingerprint'][:12]}")
        left = (await api.ok("GET", path))["roots"]
        assert [one["fingerprint"] for one in left] == [roots[0]["fingerprint"]]
        assert "PRIVATE" not in str(left)
        await api.refused(404, "GET", "/v1/orgs/nobody/ca")

    with_api(tmp_path, body)
