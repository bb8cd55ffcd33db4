"""Every route with every kind of token: what is allowed, forbidden, and as if it did not exist.

`ROUTES` says again what each route needs; a route without a row here, or with another need, fails.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI

from roost.api import app as app_module
from roost.api import needs as needs_module
from roost.api.needs import EXTRA, needs
from roost.plan.authority import Right
from tests.support.access_world import CALLERS, World, with_world
from tests.support.api_bench import ApiBench, forget_failures, with_api

ORG, APP, MACHINE = "/v1/orgs/{org}", "/v1/apps/{app}", "/v1/apps/{app}/machines/{machine_id}"

ROUTES: dict[tuple[str, str], tuple[str, str]] = {
    ("GET", "/v1/orgs"): ("look", "each"),
    ("POST", "/v1/orgs"): ("operate", "host"),
    ("GET", ORG): ("look", "org"),
    ("DELETE", ORG): ("admin", "org"),
    ("GET", f"{ORG}/cross_network_replays"): ("look", "org"),
    ("PUT", f"{ORG}/cross_network_replays"): ("admin", "org"),
    ("GET", f"{ORG}/replay_sources"): ("look", "org"),
    ("POST", f"{ORG}/replay_sources"): ("admin", "org"),
    ("GET", f"{ORG}/grants"): ("look", "org"),
    ("POST", f"{ORG}/grants/{{grant}}/accept"): ("admin", "org"),
    ("POST", f"{ORG}/grants/{{grant}}/reject"): ("admin", "org"),
    ("DELETE", f"{ORG}/grants/{{grant}}"): ("admin", "org"),
    ("GET", f"{ORG}/ca"): ("look", "org"),
    ("POST", f"{ORG}/ca/rotate"): ("admin", "org"),
    ("DELETE", f"{ORG}/ca/{{fingerprint}}"): ("admin", "org"),
    ("GET", "/v1/reach"): ("look", "each"),
    ("GET", "/v1/canary"): ("operate", "host"),
    ("POST", "/v1/canary"): ("operate", "host"),
    ("GET", "/v1/proxy"): ("operate", "host"),
    ("POST", "/v1/proxy/upgrade"): ("operate", "host"),
    ("GET", "/v1/metrics"): ("operate", "host"),
    ("GET", "/v1/apps"): ("look", "each"),
    ("POST", "/v1/apps"): ("admin", "request"),
    ("GET", "/v1/networks"): ("look", "each"),
    ("POST", "/v1/consoles"): ("admin", "request"),
    ("GET", "/v1/platform/regions"): ("any", "host"),
    ("POST", "/v1/platform/placements"): ("any", "host"),
    ("GET", "/v1/host"): ("any", "host"),
    ("GET", "/v1/audit"): ("operate", "host"),
    ("GET", "/v1/orgs/{org}/audit"): ("admin", "org"),
    ("GET", "/v1/tokens"): ("operate", "host"),
    ("POST", "/v1/tokens"): ("operate", "host"),
    ("DELETE", "/v1/tokens/{token_id}"): ("operate", "host"),
    ("GET", "/v1/orgs/{org}/tokens"): ("admin", "org"),
    ("POST", "/v1/orgs/{org}/tokens"): ("admin", "org"),
    ("DELETE", "/v1/orgs/{org}/tokens/{token_id}"): ("admin", "org"),
    ("GET", APP): ("look", "app"),
    ("PATCH", APP): ("change", "app"),
    ("DELETE", APP): ("admin", "app"),
    ("GET", f"{APP}/ip_assignments"): ("look", "app"),
    ("POST", f"{APP}/ip_assignments"): ("change", "app"),
    ("DELETE", f"{APP}/ip_assignments/{{ip}}"): ("change", "app"),
    ("GET", f"{APP}/grants"): ("look", "app"),
    ("DELETE", f"{APP}/grants/{{grant}}"): ("change", "app"),
    ("GET", f"{APP}/secrets"): ("look", "app"),
    ("POST", f"{APP}/secrets"): ("change", "app"),
    ("GET", f"{APP}/certificates"): ("look", "app"),
    ("POST", f"{APP}/certificates/custom"): ("change", "app"),
    ("POST", f"{APP}/certificates/acme"): ("change", "app"),
    ("GET", f"{APP}/certificates/{{hostname}}"): ("look", "app"),
    ("DELETE", f"{APP}/certificates/{{hostname}}"): ("change", "app"),
    ("POST", f"{APP}/certificates/{{hostname}}/check"): ("look", "app"),
    ("DELETE", f"{APP}/certificates/{{hostname}}/custom"): ("change", "app"),
    ("DELETE", f"{APP}/certificates/{{hostname}}/acme"): ("change", "app"),
    ("GET", f"{APP}/releases"): ("look", "app"),
    ("POST", f"{APP}/deploys"): ("change", "app"),
    ("POST", f"{APP}/scale"): ("change", "app"),
    ("GET", f"{APP}/logs"): ("look", "request"),
    ("GET", f"{APP}/machines"): ("look", "app"),
    ("POST", f"{APP}/machines"): ("change", "app"),
    ("GET", MACHINE): ("look", "machine"),
    ("POST", MACHINE): ("change", "machine"),
    ("DELETE", MACHINE): ("change", "machine"),
    ("GET", f"{MACHINE}/metadata"): ("look", "machine"),
    ("POST", f"{MACHINE}/metadata/{{key}}"): ("run", "machine"),
    ("DELETE", f"{MACHINE}/metadata/{{key}}"): ("run", "machine"),
    ("POST", f"{MACHINE}/start"): ("run", "machine"),
    ("POST", f"{MACHINE}/stop"): ("run", "machine"),
    ("POST", f"{MACHINE}/suspend"): ("run", "machine"),
    ("POST", f"{MACHINE}/restart"): ("run", "machine"),
    ("POST", f"{MACHINE}/cordon"): ("run", "machine"),
    ("POST", f"{MACHINE}/uncordon"): ("run", "machine"),
    ("GET", f"{MACHINE}/wait"): ("look", "machine"),
    ("POST", f"{MACHINE}/lease"): ("run", "machine"),
    ("GET", f"{MACHINE}/lease"): ("run", "machine"),
    ("DELETE", f"{MACHINE}/lease"): ("run", "machine"),
    ("POST", f"{MACHINE}/signal"): ("run", "machine"),
    ("POST", f"{MACHINE}/exec"): ("run", "machine"),
    ("GET", f"{MACHINE}/ps"): ("look", "machine"),
    ("GET", f"{MACHINE}/processes"): ("look", "machine"),
    ("GET", f"{MACHINE}/memory"): ("look", "machine"),
}
WEBSOCKETS = {f"{MACHINE}/attach": ("run", "machine")}

BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/v1/apps"): {"name": "fresh", "org_slug": "{org}"},
    ("POST", "/v1/consoles"): {"org": "{org}"},
}
"""What names the target where the path does not; other bodies may be wrong, as it comes first."""

LEVEL = {"/v1/apps": "org", "/v1/consoles": "org", f"{APP}/logs": "app"}
"""On what the handler judges, where the path does not say."""

STRANGERS = {
    "stale": "404",
    "other-org": "404",
    "other-readonly": "404",
    "expired": "401",
    "revoked": "401",
    "unknown": "401",
    "nobody": "401",
}

_ORDER = ("operator", "org", "readonly", "deploy", "machine", "sibling", "neighbour")
_MATRIX = {
    ("look", "machine"): "ok  ok  ok  ok  ok  404 404",
    ("run", "machine"): "ok  ok  403 ok  ok  404 404",
    ("change", "machine"): "ok  ok  403 ok  403 404 404",
    ("look", "app"): "ok  ok  ok  ok  403 403 404",
    ("change", "app"): "ok  ok  403 ok  403 403 404",
    ("admin", "app"): "ok  ok  403 403 403 403 404",
    ("look", "org"): "ok  ok  ok  403 403 403 403",
    ("admin", "org"): "ok  ok  403 403 403 403 403",
    ("operate", "host"): "ok  403 403 403 403 403 403",
    ("any", "host"): "ok  ok  ok  ok  ok  ok  ok",
}


def outcome(right: str, level: str, caller: str) -> str:
    """What a caller gets where web, its Machine one, acme or the host is asked about."""
    if level == "host" and STRANGERS.get(caller) == "404":
        return "ok" if right == "any" else "403"
    if caller in STRANGERS:
        return STRANGERS[caller]
    return dict(zip(_ORDER, _MATRIX[right, level].split(), strict=True))[caller]


def filled(template: object, world: World, *, real: bool = True) -> Any:
    """A path or body about acme's things, or about such as do not exist."""
    names = {
        "{app}": "web" if real else "nope",
        "{machine_id}": world.machines["one"] if real else "0" * 14,
        "{org}": "acme" if real else "nope",
        "{key}": "k",
        "{ip}": "fdaa::1",
        "{token_id}": "0" * 26,
        "{grant}": "0" * 26,
    }
    if isinstance(template, dict):
        return {key: filled(value, world, real=real) for key, value in template.items()}
    text = str(template)
    for name, value in names.items():
        text = text.replace(name, value)
    return text


async def unknown(world: World, caller: str, level: str) -> tuple[str, str]:
    """Sentence and hint for a thing of that level which does not exist, about acme, web or its
    Machine one instead; to those who know of web, it is the Machine that does not exist.
    """
    if level == "org":
        path, made_up, real = "/v1/orgs/nope/tokens", "nope", "acme"
    elif level == "machine" and caller == "sibling":
        path, made_up, real = f"/v1/apps/web/machines/{'0' * 14}", "0" * 14, world.machines["one"]
    else:
        path, made_up, real = "/v1/apps/nope", "nope", "web"
    reply = await world.call("operator", "GET", path)
    assert reply.status_code == 404
    return said(reply.text.replace(made_up, real))


def said(text: str) -> tuple[str, str]:
    """Sentence and hint of a refusal."""
    try:
        problem = json.loads(text)
        return str(problem.get("error", "")), str(problem.get("hint", ""))
    except (ValueError, AttributeError):
        return "", ""


def test_every_route_has_its_row(tmp_path: Path) -> None:
    """What the API serves and what it says it needs are exactly what is written here."""

    async def body(api: ApiBench) -> None:
        stated = {
            (method.upper(), path): (call[EXTRA]["right"], call[EXTRA]["on"])
            for path, calls in api.app.openapi()["paths"].items()
            for method, call in calls.items()
            if path != app_module.HEALTH
        }
        assert stated == ROUTES

    with_api(tmp_path, body)
    sockets = {}
    for router in app_module.ROUTERS:
        for route in router.routes:
            path = str(getattr(route, "path", ""))
            if not getattr(route, "methods", None):
                need = needs_module.need_of(route)
                assert need is not None
                sockets[f"/v1{path}"] = (str(need.right), "machine")
    assert sockets == WEBSOCKETS


@dataclass(frozen=True)
class Walk:
    """One route, asked by one caller after the other."""

    method: str
    path: str

    @property
    def right(self) -> str:
        return ROUTES[self.method, self.path][0]

    @property
    def level(self) -> str:
        on = ROUTES[self.method, self.path][1]
        return LEVEL[self.path] if on == "request" else on

    def expected(self, caller: str) -> str:
        return outcome(self.right, self.level, caller)

    async def ask(self, world: World, caller: str) -> tuple[int, tuple[str, str]]:
        """Status, and the sentence and hint of a refusal."""
        body = BODIES.get((self.method, self.path))
        forget_failures(world.api)
        reply = await world.call(
            caller, self.method, filled(self.path, world), body and filled(body, world)
        )
        return reply.status_code, said(reply.text) if reply.status_code >= 400 else ("", "")

    async def refused(self, world: World, caller: str) -> None:
        status, sentence = await self.ask(world, caller)
        assert str(status) == self.expected(caller), (caller, sentence)
        if status == 404:
            assert sentence == await unknown(world, caller, self.level), caller
        if status == 403:
            assert f"the right {self.right} on " in sentence[0]
            assert f"{caller!r} (" in sentence[0]

    async def allowed(self, world: World, caller: str) -> None:
        status, sentence = await self.ask(world, caller)
        assert status not in (401, 403), (caller, sentence)
        if status == 404:
            assert sentence != await unknown(world, caller, self.level), caller


WALKS = [Walk(method, path) for (method, path), (_, on) in ROUTES.items() if on != "each"]


@pytest.mark.parametrize("walk", WALKS, ids=lambda walk: f"{walk.method} {walk.path}")
def test_route_and_scope(tmp_path: Path, walk: Walk) -> None:
    """Each caller of each route gets through, 403, 401, or the answer for an unknown thing; and
    those who are refused change nothing.
    """
    welcome = [one for one in CALLERS if walk.expected(one) == "ok"]

    async def body(world: World) -> None:
        before = world.bench.store.revision()
        for caller in (one for one in CALLERS if one not in welcome):
            await walk.refused(world, caller)
        assert world.bench.store.revision() == before
        if walk.method == "GET":
            for caller in welcome:
                await walk.allowed(world, caller)

    with_world(tmp_path, body)
    for number, caller in enumerate(welcome if walk.method != "GET" else ()):
        # What changes something meets the whole world each time.
        with_world(tmp_path / str(number), partial(walk.allowed, caller=caller))


LISTS = {
    "/v1/orgs": {
        "operator": {"acme", "other", "personal"},
        "org": {"acme"},
        "readonly": {"acme"},
        "other-org": {"other"},
    },
    "/v1/apps": {
        "operator": {"web", "db", "shop"},
        "org": {"web", "db"},
        "readonly": {"web", "db"},
        "deploy": {"web"},
        "neighbour": {"db"},
        "other-org": {"shop"},
    },
    "/v1/networks": {
        "operator": {"acme", "other", "personal"},
        "org": {"acme"},
        "readonly": {"acme"},
        "other-org": {"other"},
    },
}


@pytest.mark.parametrize("path", LISTS)
def test_lists_show_only_what_may_be_seen(tmp_path: Path, path: str) -> None:
    """Lists over everything leave out what the token may not look at, and refuse no valid one."""
    each = {path for (_, path), (_, on) in ROUTES.items() if on == "each"}
    assert each == {*LISTS, "/v1/reach"}, "reach: tests/unit/api/test_sharing_routes.py"
    (key, name) = {
        "/v1/orgs": ("orgs", "slug"),
        "/v1/apps": ("apps", "name"),
        "/v1/networks": ("networks", "org"),
    }[path]

    async def body(world: World) -> None:
        for caller in CALLERS:
            reply = await world.call(caller, "GET", path)
            if STRANGERS.get(caller) == "401":
                assert reply.status_code == 401
                continue
            seen = {item[name] for item in reply.json()[key]}
            other = {"other-readonly": "other-org"}.get(caller, caller)
            assert seen == LISTS[path].get(other, set()), caller

    with_world(tmp_path, body)


@pytest.mark.parametrize("path", ["/v1/apps", "/v1/networks"])
def test_a_list_of_a_strange_organization(tmp_path: Path, path: str) -> None:
    """Asked for by name, another's organization is as unknown as one that does not exist."""

    async def body(world: World) -> None:
        for slug in ("acme", "nope"):
            reply = await world.call("other-org", "GET", path, params={"org_slug": slug})
            assert reply.status_code == 404
            assert reply.json()["error"] == f"organization {slug!r} not found"

    with_world(tmp_path, body)


def test_a_route_must_state_its_need() -> None:
    """The API is not made with a route that states none, two, or one that nothing answers."""
    silent, twice, lost = APIRouter(), APIRouter(), APIRouter()

    @silent.get("/apps/{app}/silent")
    async def one(app: str) -> str:
        return app

    @twice.get("/apps/{app}/x", dependencies=[*needs(Right.LOOK), *needs(Right.RUN)])
    async def two(app: str) -> str:
        return app

    @lost.get("/lost", dependencies=needs(Right.ADMIN))
    async def three() -> str:
        return ""

    for router in (silent, twice, lost):
        with pytest.raises(TypeError, match="the route /"):
            needs_module.state(router.routes)


def test_no_route_is_added_beside_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that is not in a router is seen to as well."""
    add_docs = app_module._add_docs

    def add_more(app: FastAPI) -> None:
        add_docs(app)
        app.get("/v1/stray")(lambda: "")

    async def body(api: ApiBench) -> None:
        monkeypatch.setattr(app_module, "_add_docs", add_more)
        parts = api.app.state.parts
        with pytest.raises(TypeError, match="/v1/stray"):
            app_module.create_app(
                parts.control,
                parts.deployer,
                parts.scaler,
                parts.canary,
                parts.host,
                proxies=parts.proxies,
                group=parts.group,
            )

    with_api(tmp_path, body)


def test_two_walks_see_the_same_routes(tmp_path: Path) -> None:
    """Making the API twice states the same needs: nothing of one is left in the other."""

    async def body(api: ApiBench) -> None:
        again = app_module.create_app(
            api.bench.control,
            api.deployer,
            api.scaler,
            api.canary,
            api.bench.control.context.host,
            proxies=api.proxies,
            group=asyncio.TaskGroup(),
        )
        assert again.openapi()["paths"] == api.app.openapi()["paths"]

    with_api(tmp_path, body)
