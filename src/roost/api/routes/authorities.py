"""The private CA of an organization (Roost's own)."""

from __future__ import annotations

from fastapi import APIRouter

from roost.api.certificate_views import authority_view
from roost.api.needs import needs
from roost.api.parts import Parts, PartsDep
from roost.api.views import Json
from roost.plan.authority import Right

router = APIRouter(tags=["private CA"])


@router.get("/orgs/{org}/ca", dependencies=needs(Right.LOOK))
async def show(parts: PartsDep, org: str) -> Json:
    """The roots to trust, the one that signs first; the first is made when there is none."""
    await parts.control.authorities.ensure(org)
    return _view(parts, org)


@router.post("/orgs/{org}/ca/rotate", dependencies=needs(Right.ADMIN))
async def rotate(parts: PartsDep, org: str) -> Json:
    """Make a new root that signs from now on; the older ones stay trusted."""
    await parts.control.authorities.rotate(org)
    return _view(parts, org)


@router.delete("/orgs/{org}/ca/{fingerprint}", dependencies=needs(Right.ADMIN))
async def remove(parts: PartsDep, org: str, fingerprint: str) -> Json:
    """Trust a root no longer, nor what it issued; not the one that signs."""
    await parts.control.authorities.remove(org, fingerprint)
    return _view(parts, org)


def _view(parts: Parts, org: str) -> Json:
    trusted = parts.control.authorities.trusted(org)
    return {"roots": [authority_view(one, signs=at == 0) for at, one in enumerate(trusted)]}
