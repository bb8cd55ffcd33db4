"""Flycast addresses of apps."""

from __future__ import annotations

from fastapi import APIRouter

from roost.api.bodies import AddressBody
from roost.api.caller import CallerDep
from roost.api.needs import Place, needs
from roost.api.parts import PartsDep
from roost.api.views import Json, address_view, network_view
from roost.plan.authority import Right, of_org

router = APIRouter(tags=["addresses"])


@router.get("/apps/{app}/ip_assignments", dependencies=needs(Right.LOOK))
async def list_addresses(parts: PartsDep, app: str) -> Json:
    """List an app's addresses."""
    return {"ips": [address_view(address) for address in parts.control.addresses.list(app)]}


@router.post("/apps/{app}/ip_assignments", dependencies=needs(Right.CHANGE))
async def allocate(parts: PartsDep, caller: CallerDep, app: str, body: AddressBody) -> Json:
    """Give an app an address; `warning` (Roost's own) says what may surprise about it."""
    if body.org_slug and body.org_slug != parts.control.apps.get(app).org:
        caller.must(Right.ADMIN, of_org(body.org_slug))
    addresses = parts.control.addresses
    made = await addresses.allocate(
        app,
        type=body.type,
        network=body.network or "",
        org=body.org_slug or "",
        region=body.region or "",
    )
    view = address_view(made)
    if warnings := addresses.warnings(made):
        view["warning"] = "; ".join(warnings)
    return view


@router.delete("/apps/{app}/ip_assignments/{ip}", dependencies=needs(Right.CHANGE))
async def release(parts: PartsDep, app: str, ip: str) -> Json:
    """Take an address from an app."""
    await parts.control.addresses.release(app, ip)
    return {}


@router.get("/networks", dependencies=needs(Right.LOOK, Place.EACH))
async def list_networks(parts: PartsDep, caller: CallerDep, org_slug: str | None = None) -> Json:
    """List private networks (Roost's own)."""
    if org_slug:
        caller.must_know(of_org(org_slug))
        parts.control.orgs.get(org_slug)
    found = parts.control.networks.list(org_slug or caller.token.org)
    seen = [one for one in found if caller.may(Right.LOOK, of_org(one.org))]
    return {"networks": [network_view(network) for network in seen]}
