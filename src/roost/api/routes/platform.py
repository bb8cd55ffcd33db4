"""Regions and placements, as Fly's clients ask for them, and this host."""

from __future__ import annotations

import os

from fastapi import APIRouter

from roost import __version__
from roost.api.bodies import PlacementBody
from roost.api.caller import CallerDep
from roost.api.needs import needs
from roost.api.parts import PartsDep
from roost.api.views import Json, region_view
from roost.control.config_check import check_guest, check_region
from roost.plan.authority import HOST, Right

router = APIRouter(tags=["platform"])
ANY = "any"


@router.get("/platform/regions", dependencies=needs(Right.ANY))
async def regions(parts: PartsDep) -> Json:
    """The regions: this host's."""
    return {"Regions": [region_view(parts.host)], "Nearest": parts.host.region}


@router.post("/platform/placements", dependencies=needs(Right.ANY))
async def placements(parts: PartsDep, body: PlacementBody) -> Json:
    """Where so many Machines of a size would go."""
    if body.region != ANY:
        check_region(body.region or "", parts.host)
    if body.compute is not None:
        check_guest(body.compute, parts.host)
    place = {"region": parts.host.region, "count": body.count, "concurrency": body.count}
    return {"regions": [place]}


@router.get("/host", dependencies=needs(Right.ANY))
async def host(parts: PartsDep, caller: CallerDep) -> Json:
    """This host (Roost's own); its folder and process only for an operator."""
    facts: Json = {
        "id": parts.host.id,
        "region": parts.host.region,
        "version": __version__,
        "cpus": parts.host.cpus,
        "memory_mb": parts.host.memory_mb,
    }
    if caller.may(Right.OPERATE, HOST):
        facts |= {"home": str(parts.control.context.home.root), "pid": os.getpid()}
    return facts
