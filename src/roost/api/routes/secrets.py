"""Secrets of apps: names and digests go out, never values."""

from __future__ import annotations

from fastapi import APIRouter

from roost.api.bodies import SecretsBody
from roost.api.needs import needs
from roost.api.parts import Parts, PartsDep
from roost.api.views import Json, secret_view
from roost.plan.authority import Right

router = APIRouter(tags=["secrets"])


@router.get("/apps/{app}/secrets", dependencies=needs(Right.LOOK))
async def list_secrets(parts: PartsDep, app: str) -> Json:
    """List an app's secrets."""
    return {"secrets": _all(parts, app)}


@router.post("/apps/{app}/secrets", dependencies=needs(Right.CHANGE))
async def update_secrets(parts: PartsDep, app: str, body: SecretsBody) -> Json:
    """Set secrets, and remove those that are null, all or none."""
    version = await parts.control.secrets.update(app, body.values)
    return {"secrets": _all(parts, app), "version": version}


def _all(parts: Parts, app: str) -> list[Json]:
    return [secret_view(secret) for secret in parts.control.secrets.list(app)]
