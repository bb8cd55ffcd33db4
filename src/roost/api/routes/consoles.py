"""Consoles (Roost's own): a Machine to look around from inside a network."""

from __future__ import annotations

from contextlib import suppress

from fastapi import APIRouter

from roost.api.bodies import ConsoleBody
from roost.api.caller import CallerDep
from roost.api.needs import Place, needs
from roost.api.parts import Parts, PartsDep
from roost.api.views import Json, machine_view
from roost.control.apps import INTERNAL_PREFIX
from roost.control.machine_requests import CreateMachine
from roost.errors import ConflictError
from roost.images.base import HOST_IMAGE
from roost.model.machine_config import Dns, Init, MachineConfig, Restart
from roost.model.records import Network
from roost.plan.authority import Right, of_org

router = APIRouter(tags=["consoles"])
CONFIG = MachineConfig(
    image=HOST_IMAGE,
    init=Init(cmd=("/bin/sleep", "inf")),
    restart=Restart(policy="no"),
    dns=Dns(skip_registration=True),
    auto_destroy=True,
)


@router.post("/consoles", status_code=201, dependencies=needs(Right.ADMIN, Place.REQUEST))
async def create_console(parts: PartsDep, caller: CallerDep, body: ConsoleBody) -> Json:
    """Make an ephemeral Machine on the host image in a network; attach to it, then destroy it."""
    caller.must(Right.ADMIN, of_org(body.org))
    network = parts.control.networks.get(body.org, body.network)
    app = await _app(parts, network)
    machine = await parts.control.machines.create(app, CreateMachine(config=CONFIG))
    return {"app": app, "machine": machine_view(machine)}


async def _app(parts: Parts, network: Network) -> str:
    """The internal app that consoles of a network belong to."""
    name = f"{INTERNAL_PREFIX}{network.id}"
    with suppress(ConflictError):  # made by somebody else at the same moment, or long ago
        await parts.control.apps.create(name, org=network.org, network=network.name, internal=True)
    return name
