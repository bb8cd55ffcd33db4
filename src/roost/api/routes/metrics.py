"""Metrics of Roost itself, for a Prometheus."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from roost.api.metrics import CONTENT_TYPE, render
from roost.api.needs import needs
from roost.api.parts import PartsDep
from roost.plan.authority import Right

router = APIRouter(tags=["platform"])


@router.get("/metrics", dependencies=needs(Right.OPERATE), response_class=Response)
async def metrics(parts: PartsDep) -> Response:
    """Series of the canary, of health checks and of wakes, in Prometheus's text format (Roost's
    own).
    """
    agent = parts.control.context.agent
    return Response(
        render(parts.canary, agent.checked(), agent.wake_counts()), media_type=CONTENT_TYPE
    )
