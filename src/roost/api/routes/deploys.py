"""Deploys and scaling (Roost's own): the server does the work and says how it goes."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator

from fastapi import APIRouter
from starlette.responses import StreamingResponse

from roost.api.bodies import ScaleBody
from roost.api.caller import CallerDep
from roost.api.host_files import may_show_anew, must_show
from roost.api.needs import needs
from roost.api.parts import PartsDep
from roost.api.views import Json, release_view
from roost.deploy.progress import Progress
from roost.deploy.request import DeployRequest
from roost.errors import RoostError
from roost.plan.authority import Right

log = logging.getLogger("roost.api")
router = APIRouter(tags=["deploys"])
NDJSON = "application/x-ndjson"
MAX_WAITING = 1000
"""Events kept for a client that reads slowly; those beyond it does not get."""


@router.post(
    "/apps/{app}/deploys", response_class=StreamingResponse, dependencies=needs(Right.CHANGE)
)
async def deploy(
    parts: PartsDep, caller: CallerDep, app: str, body: DeployRequest
) -> StreamingResponse:
    """Deploy; the answer is one JSON object a line, the last of type `done` or `failed`.

    The deploy goes on when the client goes away.
    """
    number = parts.control.apps.get(app).number
    build = body.config.build
    image = body.image or (build.image if build else None)
    must_show(parts, caller, app, image=image, folder=body.app_dir)
    events: asyncio.Queue[Json | None] = asyncio.Queue()
    run = parts.deployer.run(app, body, user=caller.token.name, number=number)
    parts.group.create_task(_work(app, run, events), name=f"deploy:{app}")
    return StreamingResponse(_lines(events), media_type=NDJSON)


@router.get("/apps/{app}/releases", dependencies=needs(Right.LOOK))
async def list_releases(parts: PartsDep, app: str, limit: int | None = None) -> Json:
    """List an app's releases, newest first."""
    found = parts.control.releases.list(app)
    return {"releases": [release_view(one) for one in (found[:limit] if limit else found)]}


@router.post("/apps/{app}/scale", dependencies=needs(Right.CHANGE))
async def scale(parts: PartsDep, caller: CallerDep, app: str, body: ScaleBody) -> Json:
    """Change how many Machines process groups have; says what was done."""
    number = parts.control.apps.get(app).number
    may_show = may_show_anew(caller)
    changes = await parts.scaler.count(app, body.counts, number=number, may_show=may_show)
    return {"changes": changes}


async def _work(app: str, run: AsyncIterator[Progress], events: asyncio.Queue[Json | None]) -> None:
    """Reads the deploy to its end whoever listens; never raises into the daemon's group."""

    def say(event: Json, *, last: bool = False) -> None:
        if last or events.qsize() < MAX_WAITING:
            events.put_nowait(event)

    try:
        async for progress in run:
            event = dict(progress.to_json())
            say(event, last=event["type"] in {"done", "failed"})
    except RoostError as error:
        failed: Json = {"type": "failed", "message": error.message, "status": error.code}
        say(failed | ({"hint": error.hint} if error.hint else {}), last=True)
    except Exception:
        log.exception("deploy of %s failed", app)
        say({"type": "failed", "message": "Roost made a mistake", "status": "internal"}, last=True)
    finally:
        events.put_nowait(None)


async def _lines(events: asyncio.Queue[Json | None]) -> AsyncIterator[str]:
    while (event := await events.get()) is not None:
        yield json.dumps(event) + "\n"
