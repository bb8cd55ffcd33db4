"""Explaining who reaches whom (Roost's own)."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from roost.api.caller import CallerDep
from roost.api.needs import Place, needs
from roost.api.parts import PartsDep
from roost.api.sharing_views import reach_view
from roost.api.views import Json
from roost.model.records import App
from roost.plan.authority import Right, of_app, of_machine, of_org

router = APIRouter(tags=["networks"])


@router.get("/reach", dependencies=needs(Right.LOOK, Place.EACH))
async def reach(
    parts: PartsDep,
    caller: CallerDep,
    source: Annotated[str, Query(alias="from", max_length=300)],
    target: Annotated[str, Query(alias="to", max_length=300)],
) -> Json:
    """Whether `from` (an app, a Machine or `ORG/NETWORK`) reaches `to` (an app, a name or an
    address, with `:port` or without), and which step decides.

    What the caller may not look at is treated as what it would see from inside its own network.
    """

    def may_look(org: str, app: App | None, machine: str | None) -> bool:
        if app is None:
            return caller.may(Right.LOOK, of_org(org))
        return caller.may(Right.LOOK, of_machine(app, machine) if machine else of_app(app))

    return reach_view(parts.control.reach.explain(source, target, may_look=may_look))
