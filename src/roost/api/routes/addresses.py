"""Addresses of apps: private (Flycast) ones, shared with others or not, and public ones."""

from __future__ import annotations

import re

from fastapi import APIRouter
from starlette.responses import Response

from roost.api.bodies import AddressBody
from roost.api.caller import Caller, CallerDep
from roost.api.needs import needs
from roost.api.parts import Parts, PartsDep
from roost.api.sharing_views import address_view, grant_view
from roost.api.views import Json
from roost.control import address_warnings
from roost.control.address_request import AddressRequest
from roost.control.addresses import address_type
from roost.errors import InvalidError
from roost.model.grants import Grant, GrantState
from roost.model.records import Address, App
from roost.plan.authority import Right, of_org
from roost.spec import lifetimes

router = APIRouter(tags=["addresses"])


@router.get("/apps/{app}/ip_assignments", dependencies=needs(Right.LOOK))
async def list_addresses(parts: PartsDep, app: str) -> Json:
    """List an app's addresses.

    Roost's own: `pending_grants`, how many requests wait for other organizations, and `warning`
    when a private app is public, too.
    """
    found = parts.control.addresses.list(app)
    waiting = sum(one.state is GrantState.PENDING for one in parts.control.grants.of_app(app))
    view: Json = {
        "ips": [address_view(address) for address in found],
        "pending_grants": waiting,
    }
    if sentence := address_warnings.about_exposure(found):
        view["warning"] = sentence
    return view


@router.post("/apps/{app}/ip_assignments", dependencies=needs(Right.CHANGE))
async def allocate(
    parts: PartsDep, caller: CallerDep, app: str, body: AddressBody, response: Response
) -> Json:
    """Give an app an address; `warning` (Roost's own) says what may surprise about it.

    For a network of another organization the answer is 202 and the `grant` (Roost's own) that an
    admin of that organization has to accept, unless the caller administers both.
    """
    owner = parts.control.apps.get(app)
    _check_region(parts, body.region or "")
    request = _request(body)
    if request.org in ("", owner.org):
        return _made(parts, owner, await parts.control.addresses.allocate(app, request))
    grant = await _share(parts, caller, owner, request)
    if not grant.ip:
        response.status_code = 202
        return {"grant": grant_view(grant)}
    found = parts.control.addresses.list(app)
    return _made(parts, owner, next(one for one in found if one.ip == grant.ip))


@router.delete("/apps/{app}/ip_assignments/{ip}", dependencies=needs(Right.CHANGE))
async def release(parts: PartsDep, caller: CallerDep, app: str, ip: str) -> Json:
    """Take an address from an app: new connections are refused at once, open ones drained."""
    await parts.control.addresses.release(app, ip, actor=caller.party)
    return {}


@router.get("/apps/{app}/grants", dependencies=needs(Right.LOOK))
async def list_app_grants(parts: PartsDep, app: str) -> Json:
    """What other organizations were asked for this app, and what they said (Roost's own)."""
    name = parts.control.apps.get(app).name
    return {"grants": [grant_view(one) for one in parts.control.grants.of_app(name)]}


@router.delete("/apps/{app}/grants/{grant}", dependencies=needs(Right.CHANGE))
async def withdraw(parts: PartsDep, caller: CallerDep, app: str, grant: str) -> Json:
    """Take a request back, or give back what was granted (Roost's own)."""
    name = parts.control.apps.get(app).name
    ended = await parts.control.grants.withdraw(name, grant, actor=caller.party)
    return grant_view(ended)


async def _share(parts: Parts, caller: Caller, owner: App, request: AddressRequest) -> Grant:
    """Sharing takes an admin on this side; on the other side one agrees, who may be the same."""
    caller.must(Right.ADMIN, of_org(owner.org))
    grants, actor = parts.control.grants, caller.party
    if caller.may(Right.ADMIN, of_org(request.org)):
        return await grants.give(owner.name, request, actor=actor)
    return await grants.ask(owner.name, request, actor=actor)


def _request(body: AddressBody) -> AddressRequest:
    return AddressRequest(
        type=address_type(body.type),
        org=body.org_slug or "",
        network=body.network or "",
        ports=body.ports + _service_port(body.service_name or ""),
        lifetime_ms=lifetimes.milliseconds(body.expires) if body.expires else None,
    )


def _service_port(name: str) -> tuple[int, ...]:
    """Fly's `service_name`, which here is a port. Raises InvalidError for another name."""
    if not name:
        return ()
    if re.fullmatch("[0-9]{1,5}", name) and 1 <= int(name) <= 65535:
        return (int(name),)
    raise InvalidError(
        f"service_name {name!r} is not a port", hint="name the service by its external port"
    )


def _check_region(parts: Parts, region: str) -> None:
    if region not in ("", "global", parts.host.region):
        raise InvalidError(
            f"region {region!r} does not exist here",
            hint="leave the region out: an address works everywhere",
        )


def _made(parts: Parts, owner: App, address: Address) -> Json:
    control = parts.control
    sentences = address_warnings.about_address(
        control.context.store, control.networks, owner, address
    )
    host = control.context.public.host(owner.name)
    sentences += [
        sentence
        for sentence in (
            address_warnings.about_shared(host, address),
            address_warnings.about_exposure(control.addresses.list(owner.name)),
        )
        if sentence
    ]
    view = address_view(address)
    if sentences:
        view["warning"] = "; ".join(sentences)
    return view
