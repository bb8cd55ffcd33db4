"""Apps, and the organizations that own them."""

from __future__ import annotations

from fastapi import APIRouter

from roost.api.bodies import CreateAppBody, PatchAppBody
from roost.api.parts import Parts, PartsDep
from roost.api.views import Json, app_view, org_view
from roost.errors import InvalidError
from roost.model.records import App

router = APIRouter(tags=["apps"])


def show(parts: Parts, app: App) -> Json:
    """An app with its status and number of Machines."""
    control = parts.control
    return app_view(
        app,
        control.orgs.get(app.org),
        status=control.apps.status(app),
        machines=control.machines.count(app.name),
    )


@router.get("/orgs")
async def list_orgs(parts: PartsDep) -> Json:
    """List organizations."""
    return {"orgs": [org_view(org) for org in parts.control.orgs.list()]}


@router.post("/apps", status_code=201)
async def create_app(parts: PartsDep, body: CreateAppBody) -> Json:
    """Make an app. 422 when the name is taken."""
    _refuse_role(body.app_role_id)
    app = await parts.control.apps.create(
        body.name,
        org=body.org_slug,
        network=body.network or "",
        wants_flycast=body.wants_flycast,
    )
    return show(parts, app)


@router.get("/apps")
async def list_apps(
    parts: PartsDep, org_slug: str | None = None, app_role: str | None = None
) -> Json:
    """List apps, of one organization or of all."""
    _refuse_role(app_role)
    if org_slug:
        parts.control.orgs.get(org_slug)
    apps = [show(parts, app) for app in parts.control.apps.list(org_slug or None)]
    return {"total_apps": len(apps), "apps": apps}


@router.get("/apps/{app}")
async def get_app(parts: PartsDep, app: str) -> Json:
    """One app."""
    return show(parts, parts.control.apps.get(app))


@router.patch("/apps/{app}")
async def patch_app(parts: PartsDep, app: str, body: PatchAppBody) -> Json:
    """Change what the first deploy does (Roost's own)."""
    await parts.control.apps.want_flycast(app, body.wants_flycast)
    return show(parts, parts.control.apps.get(app))


@router.delete("/apps/{app}")
async def delete_app(parts: PartsDep, app: str) -> Json:
    """Destroy an app with its Machines, addresses, secrets, releases and logs."""
    await parts.control.apps.destroy(app)
    return {}


def _refuse_role(role: str | None) -> None:
    if role:
        raise InvalidError(f"apps with the role {role!r} do not exist here")
