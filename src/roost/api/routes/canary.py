"""The canary (Roost's own): what must be impossible, tried from inside each network."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter

from roost.api.needs import needs
from roost.api.parts import PartsDep
from roost.api.views import Json, when
from roost.canary.base import Kind, Report
from roost.plan.authority import Right

router = APIRouter(tags=["canary"])


@router.get("/canary", dependencies=needs(Right.OPERATE))
async def latest(parts: PartsDep) -> Json:
    """The newest report, null before the first, and counters since the daemon's start."""
    report = parts.canary.latest
    return {
        "report": None if report is None else _view(report),
        "counters": asdict(parts.canary.counters),
    }


@router.post("/canary", dependencies=needs(Right.OPERATE))
async def run(parts: PartsDep) -> Json:
    """Try everything now; who asks while a run is on its way shares it."""
    return {"report": _view(await parts.canary.run_once())}


def _view(report: Report) -> Json:
    return {
        "started_at": when(report.started_at),
        "took_ms": report.took,
        "networks": list(report.networks),
        "left_out": list(report.left_out),
        "tried": report.tried,
        **{str(kind): report.count(kind) for kind in Kind},
        "findings": [
            {"kind": str(one.kind), "network": one.network, "message": one.sentence}
            for one in report.findings
        ],
    }
