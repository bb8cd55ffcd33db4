"""An app's log (Roost's own): one JSON object a line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import StreamingResponse

from roost.api.caller import CallerDep
from roost.api.needs import Place, needs
from roost.api.parts import PartsDep
from roost.api.routes.deploys import NDJSON
from roost.api.views import log_view
from roost.control.log_lines import LogLine
from roost.plan.authority import Right, of_app, of_machine

router = APIRouter(tags=["logs"])


@router.get(
    "/apps/{app}/logs",
    response_class=StreamingResponse,
    dependencies=needs(Right.LOOK, Place.REQUEST),
)
async def logs(
    *,
    parts: PartsDep,
    caller: CallerDep,
    app: str,
    machine: str | None = None,
    limit: Annotated[int, Query(ge=0, le=10_000)] = 100,
    follow: bool = False,
) -> StreamingResponse:
    """The last `limit` lines of an app or of one Machine; with `follow` new ones as they come,
    until the caller's token ends.
    """
    found = parts.control.apps.get(app)
    caller.must(Right.LOOK, of_machine(found, machine) if machine else of_app(found))
    app_logs = parts.control.context.logs
    wanted = machine or None
    if follow:
        going_on = partial(parts.control.tokens.valid, caller.token.id)
        lines = app_logs.follow(app, machine=wanted, backlog=limit, going_on=going_on)
    else:
        lines = _each(await asyncio.to_thread(app_logs.read, app, machine=wanted, limit=limit))
    return StreamingResponse(_text(lines), media_type=NDJSON)


async def _each(lines: list[LogLine]) -> AsyncIterator[LogLine]:
    for line in lines:
        yield line


async def _text(lines: AsyncIterator[LogLine]) -> AsyncIterator[str]:
    async for line in lines:
        yield json.dumps(log_view(line)) + "\n"
