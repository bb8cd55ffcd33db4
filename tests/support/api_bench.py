"""The API over a control bench, called in-process; deploys and scaling are small stand-ins."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from roost.api.app import create_app
from roost.api.failures import Failures
from roost.deploy.progress import Progress, ProgressType
from roost.deploy.request import DeployRequest
from roost.errors import RoostError
from tests.support.control_bench import Bench, make_bench
from tests.support.scripted_canary import ScriptedCanary
from tests.support.scripted_proxies import ScriptedProxies

Json = dict[str, Any]


@dataclass
class ScriptedDeployer:
    """Says what it was given; waits at `gate` before the last event."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None
    requests: list[tuple[str, DeployRequest, str]] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    finished: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(
        self, app: str, request: DeployRequest, *, user: str, number: int | None
    ) -> AsyncIterator[Progress]:
        """One step, then (the gate open) the end."""
        self.requests.append((app, request, user))
        self.begun.set()
        yield Progress(type=ProgressType.STEP, message="pulling", data={"image": "x"})
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        yield Progress(type=ProgressType.DONE, message="deployed")
        self.finished.set()


@dataclass
class ScriptedScaler:
    """Remembers what was asked."""

    asked: list[tuple[str, Mapping[str, str | int]]] = field(default_factory=list)
    error: RoostError | None = None

    async def count(
        self, app: str, counts: Mapping[str, str | int], *, number: int | None, may_show: bool
    ) -> list[str]:
        """A sentence for each group."""
        if self.error is not None:
            raise self.error
        self.asked.append((app, counts))
        return [f"{group} has {number}" for group, number in counts.items()]


@dataclass
class ApiBench:
    """The API with everything behind it. Calls go out with the admin token unless told."""

    bench: Bench
    app: FastAPI
    http: httpx.AsyncClient
    deployer: ScriptedDeployer
    scaler: ScriptedScaler
    canary: ScriptedCanary
    proxies: ScriptedProxies
    token: str
    group: asyncio.TaskGroup

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        params: Mapping[str, Any] | None = None,
        nonce: str | None = None,
    ) -> httpx.Response:
        """One call."""
        headers = {"fly-machine-lease-nonce": nonce} if nonce else {}
        return await self.http.request(method, path, json=body, params=params, headers=headers)

    async def ok(self, method: str, path: str, body: object = None, **more: Any) -> Any:
        """One call that must succeed; its JSON."""
        reply = await self.call(method, path, body, **more)
        assert reply.status_code < 300, (reply.status_code, reply.text)
        return reply.json() if reply.content else {}

    async def refused(
        self, status: int, method: str, path: str, body: object = None, **more: Any
    ) -> Json:
        """One call that must fail with this status and a complete problem body."""
        reply = await self.call(method, path, body, **more)
        assert reply.status_code == status, (reply.status_code, reply.text)
        problem: Json = reply.json()
        assert problem["error"] == problem["message"]
        assert problem["error"]
        assert problem["status"]
        return problem

    async def machine(self, **config: object) -> Json:
        """A started Machine of the app `web`, made through the API."""
        if not self.bench.control.apps.list():
            await self.ok("POST", "/v1/apps", {"name": "web"})
        body = {"config": {"image": "nginx", **config}}
        made = await self.ok("POST", "/v1/apps/web/machines", body)
        got: Json = await self.ok("GET", f"/v1/apps/web/machines/{made['id']}")
        return got


def with_api(root: Path, body: Callable[[ApiBench], Awaitable[None]]) -> None:
    """Run a test's body with a fresh API."""

    async def main() -> None:
        bench = await make_bench(root)
        deployer, scaler, canary = ScriptedDeployer(), ScriptedScaler(), ScriptedCanary()
        proxies = ScriptedProxies()
        token = bench.home.token.read_text().strip()
        async with asyncio.TaskGroup() as group:
            app = create_app(
                bench.control,
                deployer,
                scaler,
                canary,
                bench.control.context.host,
                proxies=proxies,
                group=group,
            )
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            async with httpx.AsyncClient(
                transport=transport,
                base_url="http://roost",
                headers={"Authorization": f"Bearer {token}"},
            ) as http:
                await body(
                    ApiBench(
                        bench=bench,
                        app=app,
                        http=http,
                        deployer=deployer,
                        scaler=scaler,
                        canary=canary,
                        proxies=proxies,
                        token=token,
                        group=group,
                    )
                )
            deployer.gate.set()
        await bench.store.close()

    asyncio.run(main())


def forget_failures(api: ApiBench) -> None:
    """Start counting wrong tokens anew, so that none is only slowed down."""
    api.app.state.failures = Failures(api.bench.clock)


def lines(reply: httpx.Response) -> list[Json]:
    """The objects of an NDJSON answer."""
    return [json.loads(text) for text in reply.text.splitlines()]
