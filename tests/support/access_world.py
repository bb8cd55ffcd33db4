"""Two organizations with apps and Machines, and a token of every kind on either side.

`acme` has the apps `web` (Machines `one` and `two`) and `db`; `other` has `shop`. What a test asks
about is acme's web and its Machine one; who asks is one of `CALLERS`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from roost.model.access import Token, TokenKind
from roost.model.ids import ulid
from roost.store.base import Put
from tests.support.api_bench import ApiBench, with_api
from tests.support.control_bench import Bench

CALLERS = (
    "operator",
    "org",
    "readonly",
    "deploy",
    "machine",
    "sibling",
    "neighbour",
    "stale",
    "other-org",
    "other-readonly",
    "expired",
    "revoked",
    "unknown",
    "nobody",
)
"""`sibling` is of web's Machine two, `neighbour` deploys db, `stale` deploys an earlier web,
`unknown` was never made, `nobody` sends no token."""


def text_of(name: str) -> str:
    """The text of a token of the world."""
    return f"roost_{name}_" + "x" * 20


async def keep_token(bench: Bench, name: str, grade: TokenKind, **more: Any) -> Token:
    """Write a token of this name and scope, with `text_of(name)`, into the store."""
    text = text_of(name)
    token = Token(
        id=ulid(bench.clock.now_ms(), hashlib.sha256(name.encode()).digest()),
        name=name,
        grade=grade,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        created_at=bench.clock.now_ms(),
        **more,
    )
    await bench.store.commit(Put(token, expect=0))
    return token


@dataclass
class World:
    """The API and the ids of what is there."""

    api: ApiBench
    machines: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def bench(self) -> Bench:
        """What is behind the API."""
        return self.api.bench

    async def call(
        self, caller: str, method: str, path: str, body: object = None, **more: Any
    ) -> httpx.Response:
        """One call with the token of a caller."""
        header = "" if caller == "nobody" else f"Bearer {text_of(caller)}"
        return await self.api.http.request(
            method, path, json=body, headers={"Authorization": header}, **more
        )


async def make_world(api: ApiBench) -> World:
    """Everything, in a fresh API."""
    bench, control = api.bench, api.bench.control
    world = World(api)
    for org in ("acme", "other"):
        await control.orgs.create(org.title(), org)
        await control.networks.ensure(org, "")
    for app, org in (("web", "acme"), ("db", "acme"), ("shop", "other")):
        await control.apps.create(app, org=org)
    for name, app in (("one", "web"), ("two", "web"), ("db", "db"), ("shop", "shop")):
        world.machines[name] = (await bench.machine(app)).id
    await _keep_tokens(world)
    return world


async def _keep_tokens(world: World) -> None:
    bench, now = world.bench, world.bench.clock.now_ms()
    web, db = (bench.control.apps.get(name) for name in ("web", "db"))
    on_web = {"org": "acme", "app": "web", "app_number": web.number}
    made: dict[str, tuple[TokenKind, dict[str, Any]]] = {
        "operator": (TokenKind.OPERATOR, {}),
        "org": (TokenKind.ORG, {"org": "acme"}),
        "readonly": (TokenKind.READONLY, {"org": "acme"}),
        "deploy": (TokenKind.DEPLOY, on_web),
        "machine": (TokenKind.MACHINE, on_web | {"machine": world.machines["one"]}),
        "sibling": (TokenKind.MACHINE, on_web | {"machine": world.machines["two"]}),
        "neighbour": (
            TokenKind.DEPLOY,
            {"org": "acme", "app": "db", "app_number": db.number},
        ),
        "stale": (TokenKind.DEPLOY, on_web | {"org": "other", "app_number": web.number - 1}),
        "other-org": (TokenKind.ORG, {"org": "other"}),
        "other-readonly": (TokenKind.READONLY, {"org": "other"}),
        "expired": (TokenKind.OPERATOR, {"expires_at": now}),
        "revoked": (TokenKind.OPERATOR, {"revoked_at": now - 1}),
    }
    for name, (grade, scope) in made.items():
        world.tokens[name] = (await keep_token(bench, name, grade, **scope)).id


def with_world(root: Path, body: Callable[[World], Awaitable[None]]) -> None:
    """Run a test's body with a fresh world."""

    async def main(api: ApiBench) -> None:
        await body(await make_world(api))

    with_api(root, main)
