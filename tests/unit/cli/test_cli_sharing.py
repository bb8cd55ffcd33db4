"""`roost ips`, `orgs`, `networks` and `reach`: what is asked and what is printed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.api_stub import ApiStub
from tests.support.cli import Run, a_machine, an_app

IPS = "/v1/apps/web/ip_assignments"
ADDRESS: dict[str, Any] = {
    "ip": "fdaa:0:1:0:1::2",
    "region": "global",
    "created_at": "2026-01-02T03:04:05Z",
    "org_slug": "acme",
    "network": "blue",
    "ports": [],
    "public": False,
    "expires_at": None,
}
PUBLIC = ADDRESS | {"ip": "198.51.100.8", "shared": True, "public": True, "ports": [80, 443]}
GRANT: dict[str, Any] = {
    "id": "01J0",
    "state": "pending",
    "app": "web",
    "app_org": "personal",
    "org": "acme",
    "network": "default",
    "ports": [80],
    "ip": "",
    "expires_at": None,
    "created_at": "2026-01-02T03:04:05Z",
}


def cells(line: str) -> list[str]:
    """A table's row."""
    return [cell.strip() for cell in line.split("\t")]


def test_a_private_address(api: ApiStub, run: Run) -> None:
    """It is asked for by type, network, org, ports and end, and shown with its audience."""
    api.on(f"POST {IPS}", ADDRESS)
    words = ("--network", "blue", "-o", "acme", "--service", "80", "--service", "443")
    ended = run("ips", "allocate-v6", "--private", "-a", "web", *words, "--expires", "7d")
    assert api.last(f"POST {IPS}").body == {
        "type": "private_v6",
        "network": "blue",
        "org_slug": "acme",
        "region": "",
        "ports": [80, 443],
        "expires": "7d",
    }
    header, row = ended.out.splitlines()
    assert ["VERSION", "IP", "TYPE", "REGION", "AUDIENCE", "PORTS", "CREATED AT"] == cells(header)
    shown = ["v6", "fdaa:0:1:0:1::2", "private ingress", "global", "acme/blue", "all"]
    assert shown == cells(row)[:6]


def test_the_list_marks_public_addresses_and_warns(api: ApiStub, run: Run) -> None:
    """Type, audience and ports of each; the server's warning and what waits go to stderr."""
    ending = ADDRESS | {"expires_at": "2026-02-03T04:05:06Z"}
    reply = {"ips": [ending, PUBLIC], "warning": "web is also public", "pending_grants": 2}
    api.on(f"GET {IPS}", reply)
    ended = run("ips", "list", "-a", "web")
    header, private, public = map(cells, ended.out.splitlines())
    assert "EXPIRES AT" in header
    assert "2026-02-03 04:05" in private
    assert ["v4", "198.51.100.8", "public ingress (shared)"] == public[:3]
    assert ["internet", "80,443"] == public[4:6]
    assert "Warning: web is also public" in ended.err
    assert "2 wait for another organization: see roost ips grants list -a web" in ended.err
    assert reply["ips"] == run("ips", "list", "-a", "web", "--json").json


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("allocate-v6",), "v6"),
        (("allocate-v4",), "v4"),
        (("allocate-v4", "--shared"), "shared_v4"),
    ],
)
def test_public_addresses(api: ApiStub, run: Run, words: tuple[str, ...], kind: str) -> None:
    """Asked for by type; where there are none the server's sentence and hint are shown."""
    api.refuse(f"POST {IPS}", 412, "no pool is set", hint="--public-pool")
    ended = run("ips", *words, "-a", "web")
    assert (1, kind) == (ended.code, api.asked[-1].body["type"])
    assert "Error: no pool is set (--public-pool)" in ended.err


def test_an_address_that_needs_consent(api: ApiStub, run: Run) -> None:
    """The grant's id comes on stdout, what has to happen next on stderr."""
    api.on(f"POST {IPS}", {"grant": GRANT}, status=202)
    ended = run("ips", "allocate-v6", "--private", "-a", "web", "-o", "acme")
    assert (0, "Asked organization acme: grant 01J0\n") == (ended.code, ended.out)
    assert "roost ips grants accept 01J0 --org acme" in ended.err
    again = run("ips", "allocate-v6", "--private", "-a", "web", "-o", "acme", "--json")
    assert {"grant": GRANT} == again.json


def test_release(api: ApiStub, run: Run) -> None:
    """An address goes back; what is no address is refused before anything is asked."""
    api.on(f"DELETE {IPS}/fdaa:0:1:0:1::2")
    ended = run("ips", "release", "fdaa:0:1:0:1::2", "-a", "web")
    assert (0, "Released fdaa:0:1:0:1::2 from web\n") == (ended.code, ended.err)
    api.asked.clear()
    assert 1 == run("ips", "release", "web.flycast", "-a", "web").code
    assert [] == api.asked


def test_private(api: ApiStub, run: Run) -> None:
    """The Machines' own addresses."""
    api.on("GET /v1/apps/web/machines", [a_machine()])
    assert "148e1a" in run("ips", "private", "-a", "web").out
    expected = [{"id": "148e1a", "region": "local", "ip": "fdaa:0:1:0:2:0:5:2"}]
    assert expected == run("ips", "private", "-a", "web", "-j").json


def test_grants_of_an_organization(api: ApiStub, run: Run) -> None:
    """Both directions in one table; with -a those of an app."""
    outgoing = GRANT | {"id": "01J1", "org": "zoo", "state": "accepted", "ip": "fdaa:0:9:0:1::1"}
    api.on("GET /v1/orgs/acme/grants", {"incoming": [GRANT], "outgoing": [outgoing]})
    header, first, second = run("ips", "grants", "list", "--org", "acme").out.splitlines()
    wanted = ["ID", "STATE", "APP", "FROM", "AUDIENCE", "PORTS", "IP", "CREATED AT"]
    assert wanted == cells(header)
    assert ["01J0", "pending", "web", "personal", "acme/default", "80", "-"] == cells(first)[:7]
    assert "fdaa:0:9:0:1::1" in second
    api.on("GET /v1/apps/web/grants", {"grants": [GRANT]})
    assert [GRANT] == run("ips", "grants", "list", "-a", "web", "--json").json


@pytest.mark.parametrize(
    ("words", "line", "state", "said"),
    [
        (("accept", "01J0", "-o", "acme"), "POST /v1/orgs/acme/grants/01J0/accept", "accepted",
         "App web is reached from acme/default at fdaa::9"),
        (("reject", "01J0", "-o", "acme"), "POST /v1/orgs/acme/grants/01J0/reject", "rejected",
         "is rejected"),
        (("end", "01J0", "-o", "acme"), "DELETE /v1/orgs/acme/grants/01J0", "released",
         "is released"),
        (("withdraw", "01J0", "-a", "web"), "DELETE /v1/apps/web/grants/01J0", "withdrawn",
         "is withdrawn"),
    ],
)  # fmt: skip
def test_deciding(
    api: ApiStub, run: Run, words: tuple[str, ...], line: str, state: str, said: str
) -> None:
    """Each verb is one call, and its outcome one sentence."""
    api.on(line, GRANT | {"state": state, "ip": "fdaa::9"})
    ended = run("ips", "grants", *words)
    assert 0 == ended.code
    assert said in ended.out
    assert [line] == api.lines


def test_organizations(api: ApiStub, run: Run) -> None:
    """Made, shown with their networks, deleted after a question."""
    acme = {"name": "Acme", "slug": "acme", "type": "SHARED"}
    network = {"id": 3, "org": "acme", "name": "default", "prefix": "fdaa:0:3::/48"}
    network |= {"apps": 2, "grants_in": 1, "grants_out": 0}
    api.on("POST /v1/orgs", acme)
    assert "New organization created: acme\n" == run("orgs", "create", "Acme").out
    api.on("GET /v1/orgs/acme", acme | {"networks": [network]})
    shown = run("orgs", "show", "acme").out
    assert "Name = Acme" in shown
    assert "fdaa:0:3::/48" in shown
    assert 1 == run("orgs", "delete", "acme").code
    assert "DELETE /v1/orgs/acme" not in api.lines
    api.on("DELETE /v1/orgs/acme")
    ended = run("orgs", "delete", "acme", "--yes")
    assert (0, "Deleted organization acme\n") == (ended.code, ended.err)


def test_networks(api: ApiStub, run: Run) -> None:
    """Id, prefix, apps, and grants in and out."""
    network = {"id": 3, "org": "acme", "name": "blue", "prefix": "fdaa:0:3::/48"}
    network |= {"apps": 2, "grants_in": 1, "grants_out": 0}
    api.on("GET /v1/networks", {"networks": [network]})
    header, row = run("networks", "list", "-o", "acme").out.splitlines()
    assert ["ID", "ORGANIZATION", "NAME", "PREFIX", "APPS", "GRANTS IN", "GRANTS OUT"] == cells(
        header
    )
    assert ["3", "acme", "blue", "fdaa:0:3::/48", "2", "1", "0"] == cells(row)
    assert [("org_slug", "acme")] == api.asked[-1].query


@pytest.mark.parametrize(("reaches", "code", "first"), [(True, 0, "yes"), (False, 1, "no")])
def test_reach(api: ApiStub, run: Run, reaches: bool, code: int, first: str) -> None:
    """Yes or no on the first line and in the exit status, then each step, and about replays."""
    steps = [
        {"step": "caller", "passes": True, "why": "app api is there"},
        {"step": "name", "passes": reaches, "why": "web.flycast"},
    ]
    replay = {"passes": reaches, "why": "so it is"}
    answer = {"reaches": reaches, "from": "api", "to": "web:80", "steps": steps, "replay": replay}
    api.on("GET /v1/reach", answer)
    ended = run("reach", "api", "web:80")
    assert (code, f"{first}: api → web:80") == (ended.code, ended.out.splitlines()[0])
    mark = "✓" if reaches else "✗"
    allowed = "allowed" if reaches else "not allowed"
    assert [
        "  ✓ caller  app api is there",
        f"  {mark} name    web.flycast",
        f"fly-replay is {allowed}: so it is",
    ] == ended.out.splitlines()[1:]
    assert [("from", "api"), ("to", "web:80")] == api.asked[-1].query
    again = run("reach", "api", "web:80", "--json")
    assert (code, answer) == (again.code, again.json)


def test_status_warns_of_a_public_app(api: ApiStub, run: Run) -> None:
    """What the server says of the app's addresses is shown below its Machines."""
    api.on("GET /v1/apps/web", an_app() | {"warning": "web is also reached from outside"})
    api.on("GET /v1/apps/web/machines", [a_machine()])
    assert "Warning: web is also reached from outside" in run("status", "-a", "web").err


REPORT: dict[str, Any] = {
    "started_at": "2026-01-02T03:04:05Z",
    "took_ms": 412,
    "networks": [1, 2],
    "left_out": [3],
    "tried": 450,
    "breach": 1,
    "blind": 0,
    "drift": 0,
    "findings": [{"kind": "breach", "network": 1, "message": "a Machine could do something"}],
}


def test_canary(api: ApiStub, run: Run) -> None:
    """A run now, or the newest report; what was found is in the exit status."""
    api.on("POST /v1/canary", {"report": REPORT})
    ended = run("canary")
    assert 1 == ended.code
    first, more, finding = ended.out.splitlines()
    assert "Tried 450 things in 2 networks within 412 ms" in first
    assert "1 breaches, 0 blind, 0 drift" in first
    assert "1 more networks" in more
    assert "  breach: a Machine could do something" == finding
    api.on("GET /v1/canary", {"report": REPORT | {"findings": [], "breach": 0}, "counters": {}})
    assert 0 == run("canary", "--latest").code
    api.on("GET /v1/canary", {"report": None, "counters": {}})
    ended = run("canary", "--latest")
    assert (0, "The canary has not run yet.\n") == (ended.code, ended.out)
