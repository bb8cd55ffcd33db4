"""tokens and audit: against the stub for what is sent, against the real API for the whole way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api_stub import ApiStub
from tests.support.cli import Run, an_app
from tests.support.live_api import LiveApi, live_api


@pytest.fixture
def live(
    home: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LiveApi]:
    """A fresh Roost as ROOST_HOME."""
    with live_api(tmp_path_factory.mktemp("live") / "home") as served:
        monkeypatch.setenv("ROOST_HOME", str(served.home))
        yield served


@pytest.mark.parametrize(
    ("words", "path", "body"),
    [
        (["org"], "orgs/personal", {"kind": "org"}),
        (["org", "--org", "acme", "--name", "ann"], "orgs/acme", {"kind": "org", "name": "ann"}),
        (["readonly", "--expiry", "7d"], "orgs/personal", {"kind": "readonly", "expiry": "7d"}),
        (["deploy", "-a", "web"], "orgs/acme", {"kind": "deploy", "app": "web"}),
        (
            ["machine", "-a", "web", "--machine", "m1"],
            "orgs/acme",
            {"kind": "machine", "app": "web", "machine": "m1"},
        ),
        (["operator"], "", {}),
    ],
)
def test_create_sends_the_scope(
    api: ApiStub, run: Run, words: list[str], path: str, body: dict[str, str]
) -> None:
    """The kind names the path and the body; an app's organization is looked up; the life is Fly's
    default.
    """
    line = f"POST /v1/{path + '/' if path else ''}tokens"
    api.on(line, {"id": "T1", "token": "roost_text"}, status=201)
    api.on("GET /v1/apps/web", an_app("web", organization={"slug": "acme"}))
    ended = run("tokens", "create", *words)
    assert 0 == ended.code, ended.err
    assert api.last(line).body == {"name": "", "expiry": "175200h"} | body


def test_the_text_is_alone_on_standard_output(api: ApiStub, run: Run) -> None:
    """A variable catches the text and nothing else; the warning goes to standard error."""
    api.on("POST /v1/tokens", {"id": "T1", "token": "roost_text", "expires_at": None})
    ended = run("tokens", "create", "operator")
    assert "roost_text\n" == ended.out
    assert "never again" in ended.err
    assert "roost tokens revoke T1" in ended.err
    assert "roost_text" not in ended.err
    assert "roost_text" == run("tokens", "create", "operator", "--json").json["token"]


def test_a_machine_token_needs_its_machine(api: ApiStub, run: Run) -> None:
    """Without --machine it is wrong usage, and nothing is asked."""
    assert (2, []) == (run("tokens", "create", "machine", "-a", "web").code, api.asked)


def test_list_shows_kind_and_scope(api: ApiStub, run: Run) -> None:
    """A row for each token, with the closest thing that it is for; -a leaves out the others'."""
    tokens = [
        {"id": "T1", "name": "ann", "kind": "org", "org": "acme", "created_by": "admin"},
        {"id": "T2", "name": "ci", "kind": "deploy", "org": "acme", "app": "web"},
        {"id": "T3", "name": "m", "kind": "machine", "org": "acme", "app": "db", "machine": "m1"},
    ]
    api.on("GET /v1/orgs/acme/tokens", {"tokens": tokens})
    api.on("GET /v1/apps/web", an_app("web", organization={"slug": "acme"}))
    ended = run("tokens", "list", "--org", "acme")
    header, *rows = [line.split("\t") for line in ended.out.splitlines()]
    assert [name.strip() for name in header] == [
        "ID",
        "NAME",
        "KIND",
        "SCOPE",
        "CREATED BY",
        "EXPIRES AT",
        "REVOKED AT",
    ]
    assert [row[3].strip() for row in rows] == ["acme", "web", "m1"]
    assert ["T2"] == [token["id"] for token in run("tokens", "list", "-a", "web", "--json").json]
    in_app = run("tokens", "list", "--scope", "app", "-a", "web", "--json")
    assert ["T2"] == [token["id"] for token in in_app.json]


def test_revoke_names_each(api: ApiStub, run: Run) -> None:
    """Each id is revoked in the organization, or with --operator among the operators'."""
    api.on("DELETE /v1/orgs/personal/tokens/T1", {})
    api.on("DELETE /v1/orgs/personal/tokens/T2", {})
    api.on("DELETE /v1/tokens/T3", {})
    assert 0 == run("tokens", "revoke", "T1", "T2").code
    assert 0 == run("tokens", "revoke", "--operator", "T3").code
    assert 3 == len(api.asked)


def test_audit_asks_page_after_page(api: ApiStub, run: Run) -> None:
    """As many pages as the limit needs; --org asks for its own log, -a for one app's."""
    entry = {"actor": "ann", "action": "POST /x", "changes": ["create app web"], "source": "::1"}

    def answer(asked: object) -> tuple[int, object]:
        size = int(api.asked[-1].values("limit")[0])
        return 200, {"entries": [entry] * size, "next": "N"}

    api.on_call("GET /v1/audit", answer)
    ended = run("audit", "--limit", "1500", "-a", "web", "--json")
    assert 1500 == len(ended.json)
    asked = [(one.values("limit"), one.values("before"), one.values("app")) for one in api.asked]
    assert asked == [(["1000"], [""], ["web"]), (["500"], ["N"], ["web"])]
    api.on("GET /v1/orgs/acme/audit", {"entries": [entry], "next": None})
    header, row = run("audit", "--org", "acme").out.splitlines()
    names = [name.strip() for name in header.split("\t")]
    assert names == ["WHEN", "WHO", "WHAT", "CHANGED", "SOURCE"]
    assert [cell.strip() for cell in row.split("\t")] == [
        "-",
        "ann",
        "POST /x",
        "create app web",
        "::1",
    ]


def test_the_whole_way(live: LiveApi, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deploy token made on the command line deploys its app, and nothing else; what it did is in
    the log under its name; revoked it is refused.
    """
    words = ["--image", "roost/host", "--command", "sleep 9", "--name", "web", "--no-deploy"]
    assert 0 == run("launch", *words).code
    text = run("tokens", "create", "deploy", "-a", "web", "--name", "ci").out.strip()
    monkeypatch.setenv("ROOST_ACCESS_TOKEN", text)
    deployed = run("deploy", "--smoke-checks=false")
    assert 0 == deployed.code, deployed.err
    assert 0 == run("status").code
    assert 0 == run("machine", "list").code
    refused = run("tokens", "create", "org")
    assert 1 == refused.code
    assert "needs the right admin on organization 'personal'" in refused.err
    assert "'ci' (deploy of web)" in refused.err
    assert 1 == run("apps", "destroy", "web", "-y").code
    monkeypatch.delenv("ROOST_ACCESS_TOKEN")
    log = run("audit", "-a", "web", "--json").json
    assert "POST /v1/apps/web/deploys" in {e["action"] for e in log if e["actor"] == "ci"}
    assert {entry["source"] for entry in log} == {"socket"}
    [token] = run("tokens", "list", "-a", "web", "--json").json
    assert 0 == run("tokens", "revoke", token["id"]).code
    [token] = run("tokens", "list", "--json").json
    assert token["revoked_at"]
    ended = run("status", "-t", text)
    assert (1, True) == (ended.code, "--access-token was refused" in ended.err)


def test_what_an_organization_lets_replays_do(live: LiveApi, run: Run) -> None:
    """The settings are shown and changed in flyctl's words, in the organization that is named."""
    assert 0 == run("orgs", "create", "Acme").code
    crossing = ("orgs", "cross-network-replays")
    shown = run(*crossing, "status", "--org", "acme")
    assert "Cross-network replays are disabled for acme" in shown.out
    assert 0 == run(*crossing, "enable", "--org", "acme", "-y").code
    shown = run(*crossing, "status", "-o", "acme", "--json").json
    assert {"allowAllCrossNetworkReplays": True} == shown
    assert "disabled" in run(*crossing, "disable", "-o", "acme", "-y").out
    sources = ("orgs", "replay-sources")
    assert "No replay source" in run(*sources, "list").out
    added = run(*sources, "add", "acme")
    assert "Added allowed replay source organizations for personal: acme" in added.out
    assert ["acme"] == run(*sources, "list", "--json").json
    assert 1 == run(*sources, "add", "ghost").code
    assert 0 == run(*sources, "remove", "acme", "-y").code
    assert [] == run(*sources, "list", "--json").json
