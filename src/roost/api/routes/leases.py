"""Leases on Machines."""

from __future__ import annotations

from fastapi import APIRouter

from roost.api.auth import TokenDep
from roost.api.bodies import LeaseBody
from roost.api.needs import needs
from roost.api.parts import PartsDep
from roost.api.routes.machines import OK
from roost.api.routes.nonce import Nonce
from roost.api.views import Json, lease_view
from roost.plan.authority import Right

router = APIRouter(prefix="/apps/{app}/machines/{machine_id}/lease", tags=["leases"])


@router.post("", status_code=201, dependencies=needs(Right.RUN))
async def take(
    *,
    parts: PartsDep,
    token: TokenDep,
    app: str,
    machine_id: str,
    ttl: int | None = None,
    body: LeaseBody | None = None,
    nonce: Nonce = None,
) -> Json:
    """Take a lease (409 when another holds it), or with its nonce make it last longer."""
    asked = body or LeaseBody()
    lease = await parts.control.machines.lease(
        app,
        machine_id,
        ttl=ttl or asked.ttl or 0,
        description=asked.description or "",
        nonce=nonce or None,
        owner=token.name,
    )
    return lease_view(lease)


@router.get("", dependencies=needs(Right.RUN))
async def get(parts: PartsDep, app: str, machine_id: str) -> Json:
    """The lease that holds now; 404 when there is none."""
    return lease_view(parts.control.machines.get_lease(app, machine_id))


@router.delete("", dependencies=needs(Right.RUN))
async def release(parts: PartsDep, app: str, machine_id: str, nonce: Nonce = None) -> Json:
    """Give a lease back."""
    await parts.control.machines.release_lease(app, machine_id, nonce)
    return OK
