"""The audit log (Roost's own): who changed what, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query

from roost.api.needs import needs
from roost.api.parts import PartsDep
from roost.api.views import Json, audit_view
from roost.control.audit import MAX_PAGE
from roost.model.access import AuditEntry
from roost.plan.authority import Right

router = APIRouter(tags=["audit"])
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]


@router.get("/orgs/{org}/audit", dependencies=needs(Right.ADMIN))
async def list_of_org(
    parts: PartsDep, org: str, app: str = "", before: str = "", limit: Limit = 100
) -> Json:
    """Changes to an organization's things; `next` is the cursor `before` of older ones."""
    owner = parts.control.orgs.get(org)
    return _page(parts.control.audit.of_org(owner, app=app, before=before, limit=limit), limit)


@router.get("/audit", dependencies=needs(Right.OPERATE))
async def list_of_all(parts: PartsDep, app: str = "", before: str = "", limit: Limit = 100) -> Json:
    """Changes to everything."""
    return _page(parts.control.audit.of_all(app=app, before=before, limit=limit), limit)


def _page(entries: Sequence[AuditEntry], limit: int) -> Json:
    more = entries[-1].key if len(entries) == limit else None
    return {"entries": [audit_view(entry) for entry in entries], "next": more}
