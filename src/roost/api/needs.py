"""What each route needs of its caller, stated where the route is declared.

`dependencies=needs(Right.CHANGE)` judges the caller before the handler runs, on what the path
names: the Machine, else the app, else the organization, else the host. Where the target is in the
body or the query, or the answer is a list, the handler judges (`Caller`) and the route says so by
its `Place`. `create_app` refuses a route that states nothing. What the handler then changes is the
caller's doing (`roost.control.acting`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fastapi import Depends
from fastapi.params import Depends as Dependency
from fastapi.routing import APIRoute, APIWebSocketRoute
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute

from roost.api.caller import Caller, CallerDep
from roost.api.parts import Parts, PartsDep
from roost.control.acting import Actor, acting_as
from roost.control.app_lookup import get_app
from roost.plan.authority import HOST, Right, Target, of_app, of_machine, of_org

EXTRA = "x-roost-scope"
"""Key of a route's need in the API's description."""


class Place(StrEnum):
    """Where the target of a need is found."""

    PATH = "path"
    """In the path, or the host when it names nothing; judged before the handler."""
    REQUEST = "request"
    """In the body or the query; the handler judges."""
    EACH = "each"
    """The handler leaves out of its answer what the caller has not the right on."""


@dataclass(frozen=True, slots=True)
class Need:
    """A right, and on what."""

    right: Right
    place: Place

    def check(self, connection: HTTPConnection, parts: Parts, caller: Caller) -> None:
        """Raises ForbiddenError or NotFoundError; does nothing where the handler judges."""
        if self.place is Place.PATH and self.right is not Right.ANY:
            caller.must(self.right, target_of(parts, connection.path_params))


_stated: dict[object, Need] = {}
"""The need behind each dependency made here."""


def needs(right: Right, place: Place = Place.PATH) -> Sequence[Dependency]:
    """The dependencies of a route that needs this."""
    need = Need(right, place)

    async def check(
        connection: HTTPConnection, parts: PartsDep, caller: CallerDep
    ) -> AsyncIterator[None]:
        need.check(connection, parts, caller)
        with acting_as(_actor(connection, caller)):
            yield

    _stated[check] = need
    return [Depends(check)]


def _actor(connection: HTTPConnection, caller: Caller) -> Actor:
    token, method = caller.token, connection.scope.get("method", "WEBSOCKET")
    return Actor(
        name=token.name,
        token=token.id,
        org=token.org,
        action=f"{method} {connection.url.path}",
        source=caller.source,
    )


def target_of(parts: Parts, path: dict[str, Any]) -> Target:
    """What a path names. Raises NotFoundError where it names an app that does not exist."""
    if "app" in path:
        app = get_app(parts.control.context.store, str(path["app"]))
        return of_machine(app, str(path["machine_id"])) if "machine_id" in path else of_app(app)
    return of_org(str(path["org"])) if "org" in path else HOST


def need_of(route: BaseRoute) -> Need | None:
    """The need that a route states, or None when it states none, or several."""
    if not isinstance(route, APIRoute | APIWebSocketRoute):
        return None
    found = [_stated[one.call] for one in route.dependant.dependencies if one.call in _stated]
    return found[0] if len(found) == 1 else None


def state(routes: Iterable[BaseRoute]) -> None:
    """See that every route states one need that can be judged, and describe it in the schema.

    Raises TypeError: a mistake in the program.
    """
    for route in routes:
        need, path = need_of(route), str(getattr(route, "path", route))
        if need is None:
            raise TypeError(f"the route {path} must state what it needs, once: see roost.api.needs")
        place = named(path) if need.place is Place.PATH else str(need.place)
        if place == "host" and need.right not in (Right.ANY, Right.OPERATE):
            raise TypeError(f"the route {path} names nothing to have the right {need.right} on")
        if isinstance(route, APIRoute):
            said = {"right": str(need.right), "on": place}
            route.openapi_extra = {**(route.openapi_extra or {}), EXTRA: said}


def named(path: str) -> str:
    """What a path names most closely: the counterpart of `target_of` for a path template."""
    parts = path.split("/")
    known = (("{machine_id}", "machine"), ("{app}", "app"), ("{org}", "org"))
    return next((word for part, word in known if part in parts), "host")
