"""Machines: make, look at, change, end."""

from __future__ import annotations

from fastapi import APIRouter, Request

from roost.api.bodies import MachineBody, MetadataBody
from roost.api.caller import CallerDep
from roost.api.host_files import must_show
from roost.api.needs import needs
from roost.api.parts import Parts, PartsDep
from roost.api.routes.nonce import Nonce
from roost.api.views import Json, machine_view
from roost.control.machine_requests import CreateMachine, UpdateMachine
from roost.model.records import Machine
from roost.plan.authority import Right

router = APIRouter(prefix="/apps/{app}/machines", tags=["machines"])
OK: Json = {"ok": True}


@router.get("", dependencies=needs(Right.LOOK))
async def list_machines(
    parts: PartsDep,
    request: Request,
    app: str,
    include_deleted: bool = False,
    region: str | None = None,
) -> list[Json]:
    """List an app's Machines; `metadata.KEY=VALUE` chooses among them."""
    wanted = {
        key.removeprefix("metadata."): value
        for key, value in request.query_params.items()
        if key.startswith("metadata.")
    }
    found = parts.control.machines.list(
        app, include_deleted=include_deleted, region=region, metadata=wanted
    )
    return [_view(parts, machine) for machine in found]


@router.post("", dependencies=needs(Right.CHANGE))
async def create_machine(parts: PartsDep, caller: CallerDep, app: str, body: MachineBody) -> Json:
    """Make a Machine. With `lease_ttl` the reply has the `nonce` of a lease on it."""
    config = body.config
    must_show(parts, caller, app, image=config.image, folder=config.app_dir)
    machine = await parts.control.machines.create(
        app,
        CreateMachine(
            config=config,
            name=body.name or "",
            region=body.region or "",
            skip_launch=body.skip_launch,
            skip_service_registration=bool(body.skip_service_registration),
            lease_ttl=body.lease_ttl or None,
            lease_owner=caller.token.name,
        ),
    )
    return _view(parts, machine, nonce=machine.lease.nonce if machine.lease else None)


@router.get("/{machine_id}", dependencies=needs(Right.LOOK))
async def get_machine(parts: PartsDep, app: str, machine_id: str) -> Json:
    """One Machine, also for a while after it was destroyed."""
    return _view(parts, parts.control.machines.get(app, machine_id))


@router.post("/{machine_id}", dependencies=needs(Right.CHANGE))
async def update_machine(
    *,
    parts: PartsDep,
    caller: CallerDep,
    app: str,
    machine_id: str,
    body: MachineBody,
    nonce: Nonce = None,
) -> Json:
    """Replace the whole configuration."""
    config = body.config
    must_show(parts, caller, app, image=config.image, folder=config.app_dir)
    machine = await parts.control.machines.update(
        app,
        machine_id,
        UpdateMachine(
            config=config,
            name=body.name or "",
            region=body.region or "",
            skip_launch=body.skip_launch,
            skip_service_registration=body.skip_service_registration,
            current_version=body.current_version or "",
        ),
        nonce,
    )
    return _view(parts, machine)


@router.delete("/{machine_id}", dependencies=needs(Right.CHANGE))
async def delete_machine(
    *,
    parts: PartsDep,
    app: str,
    machine_id: str,
    force: bool = False,
    kill: bool = False,
    nonce: Nonce = None,
) -> Json:
    """Destroy a Machine; a running one needs `force` (or `kill`)."""
    await parts.control.machines.destroy(app, machine_id, force=force or kill, nonce=nonce)
    return OK


@router.get("/{machine_id}/metadata", dependencies=needs(Right.LOOK))
async def get_metadata(parts: PartsDep, app: str, machine_id: str) -> dict[str, str]:
    """A Machine's metadata."""
    return parts.control.machines.get(app, machine_id).config.metadata


@router.post("/{machine_id}/metadata/{key}", status_code=204, dependencies=needs(Right.RUN))
async def set_metadata(
    *, parts: PartsDep, app: str, machine_id: str, key: str, body: MetadataBody, nonce: Nonce = None
) -> None:
    """Set one metadata key; no new version, no reboot."""
    await parts.control.machines.set_metadata(app, machine_id, key, body.value, nonce)


@router.delete("/{machine_id}/metadata/{key}", status_code=204, dependencies=needs(Right.RUN))
async def delete_metadata(
    parts: PartsDep, app: str, machine_id: str, key: str, nonce: Nonce = None
) -> None:
    """Remove one metadata key."""
    await parts.control.machines.set_metadata(app, machine_id, key, None, nonce)


def _view(parts: Parts, machine: Machine, *, nonce: str | None = None) -> Json:
    return machine_view(machine, parts.control.machines.checks(machine), nonce=nonce)
