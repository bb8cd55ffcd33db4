"""Apps."""

from __future__ import annotations

from fastapi import APIRouter

from roost.api.bodies import CreateAppBody, PatchAppBody
from roost.api.caller import CallerDep
from roost.api.needs import Place, needs
from roost.api.parts import Parts, PartsDep
from roost.api.views import Json, app_view
from roost.control.address_warnings import about_exposure
from roost.errors import InvalidError
from roost.model.records import App
from roost.plan.authority import Right, of_app, of_org

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


@router.post("/apps", status_code=201, dependencies=needs(Right.ADMIN, Place.REQUEST))
async def create_app(parts: PartsDep, caller: CallerDep, body: CreateAppBody) -> Json:
    """Make an app. 422 when the name is taken."""
    caller.must(Right.ADMIN, of_org(body.org_slug))
    _refuse_role(body.app_role_id)
    app = await parts.control.apps.create(
        body.name,
        org=body.org_slug,
        network=body.network or "",
        wants_flycast=body.wants_flycast,
    )
    return show(parts, app)


@router.get("/apps", dependencies=needs(Right.LOOK, Place.EACH))
async def list_apps(
    parts: PartsDep, caller: CallerDep, org_slug: str | None = None, app_role: str | None = None
) -> Json:
    """List apps, of one organization or of all."""
    _refuse_role(app_role)
    if org_slug:
        caller.must_know(of_org(org_slug))
        parts.control.orgs.get(org_slug)
    found = parts.control.apps.list(org_slug or caller.token.org)
    apps = [show(parts, app) for app in found if caller.may(Right.LOOK, of_app(app))]
    return {"total_apps": len(apps), "apps": apps}


@router.get("/apps/{app}", dependencies=needs(Right.LOOK))
async def get_app(parts: PartsDep, app: str) -> Json:
    """One app; `warning` (Roost's own) when it is private and public at once."""
    view = show(parts, parts.control.apps.get(app))
    if sentence := about_exposure(parts.control.addresses.list(app)):
        view["warning"] = sentence
    return view


@router.patch("/apps/{app}", dependencies=needs(Right.CHANGE))
async def patch_app(parts: PartsDep, app: str, body: PatchAppBody) -> Json:
    """Change what the first deploy does (Roost's own)."""
    await parts.control.apps.want_flycast(app, body.wants_flycast)
    return show(parts, parts.control.apps.get(app))


@router.delete("/apps/{app}", dependencies=needs(Right.ADMIN))
async def delete_app(parts: PartsDep, app: str) -> Json:
    """Destroy an app with its Machines, addresses, secrets, releases and logs."""
    await parts.control.apps.destroy(app)
    return {}


def _refuse_role(role: str | None) -> None:
    if role:
        raise InvalidError(f"apps with the role {role!r} do not exist here")
