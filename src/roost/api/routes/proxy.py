"""The proxy processes of this host (Roost's own): what runs, and hot restart."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter

from roost.agent.proxies import DEFAULT_DRAIN_MS
from roost.api.bodies import ProxyUpgradeBody
from roost.api.needs import needs
from roost.api.parts import PartsDep
from roost.api.views import Json
from roost.plan.authority import Right

router = APIRouter(tags=["proxy"])


@router.get("/proxy", dependencies=needs(Right.OPERATE))
async def status(parts: PartsDep) -> Json:
    """The processes: the one that serves, and those whose connections still go on."""
    return {"proxies": [asdict(one) for one in await parts.proxies.status()]}


@router.post("/proxy/upgrade", dependencies=needs(Right.OPERATE))
async def upgrade(parts: PartsDep, body: ProxyUpgradeBody) -> Json:
    """Start the installed roost-proxy beside the one that runs and let it take over."""
    drain_ms = DEFAULT_DRAIN_MS if body.drain_ms is None else body.drain_ms
    return asdict(await parts.proxies.upgrade(drain_ms))
