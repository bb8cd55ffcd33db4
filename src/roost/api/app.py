"""The API: puts routes, authentication, limits and errors together."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from starlette.responses import HTMLResponse

from roost import __version__
from roost.api import errors, needs
from roost.api.auth import require_token, require_token_of_reader
from roost.api.docs_page import PAGE
from roost.api.failures import Failures
from roost.api.limits import Limits
from roost.api.parts import CanaryService, DeployService, Parts, ProxyService, ScaleService
from roost.api.routes import (
    addresses,
    apps,
    attach,
    audit,
    authorities,
    certificates,
    consoles,
    deploys,
    inside,
    leases,
    logs,
    machine_verbs,
    machines,
    metrics,
    orgs,
    platform,
    proxy,
    reach,
    secrets,
    tokens,
)
from roost.api.routes import canary as canary_route
from roost.control.host import HostIdentity
from roost.control.service import Control

ROUTERS = (
    orgs.router,
    apps.router,
    addresses.router,
    secrets.router,
    certificates.router,
    authorities.router,
    machines.router,
    machine_verbs.router,
    leases.router,
    inside.router,
    attach.router,
    deploys.router,
    logs.router,
    consoles.router,
    reach.router,
    canary_route.router,
    metrics.router,
    platform.router,
    proxy.router,
    tokens.router,
    audit.router,
)

HEALTH = "/v1/health"


def create_app(
    control: Control,
    deployer: DeployService,
    scaler: ScaleService,
    canary: CanaryService,
    host: HostIdentity,
    *,
    proxies: ProxyService,
    group: asyncio.TaskGroup,
) -> FastAPI:
    """The ASGI application. Deploys run in `group`, so they outlive their requests.

    Raises TypeError when a route does not state what it needs of its caller.
    """
    app = FastAPI(
        title="Roost",
        version=__version__,
        description="Private services on your own Linux hosts. Shapes of Fly's Machines API.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.parts = Parts(
        control=control,
        deployer=deployer,
        scaler=scaler,
        canary=canary,
        proxies=proxies,
        host=host,
        group=group,
    )
    app.state.failures = Failures(control.context.clock)
    app.add_middleware(Limits)
    errors.install(app)
    v1 = APIRouter(prefix="/v1", dependencies=[Depends(require_token)])
    for router in ROUTERS:
        needs.state(router.routes)
        v1.include_router(router)
    app.include_router(v1)
    _add_health(app)
    _add_docs(app)
    _refuse_strays(app)
    return app


def _refuse_strays(app: FastAPI) -> None:
    """Calls of the API are in ROUTERS, where their needs are seen to; health alone is not."""
    for route in app.routes:
        path = str(getattr(route, "path", ""))
        if path.startswith("/v1") and path != HEALTH and needs.need_of(route) is None:
            raise TypeError(f"the route {path} must state what it needs: see roost.api.needs")


def _add_health(app: FastAPI) -> None:
    @app.get(HEALTH, tags=["platform"])
    async def health() -> dict[str, bool]:
        """Whether the API answers; the only call that needs no token."""
        return {"ok": True}


def _add_docs(app: FastAPI) -> None:
    reader = [Depends(require_token_of_reader)]

    @app.get("/openapi.json", include_in_schema=False, dependencies=reader)
    async def schema() -> dict[str, Any]:
        """The machine-readable description."""
        return app.openapi()

    @app.get("/docs", include_in_schema=False, dependencies=reader)
    async def page() -> HTMLResponse:
        """The page for people."""
        return HTMLResponse(PAGE)
