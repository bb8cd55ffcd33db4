"""Organizations, what others asked of them, and their networks."""

from __future__ import annotations

from fastapi import APIRouter

from roost.api.bodies import CreateOrgBody, CrossNetworkReplaysBody, ReplaySourcesBody
from roost.api.caller import CallerDep
from roost.api.needs import Place, needs
from roost.api.parts import Parts, PartsDep
from roost.api.sharing_views import grant_view, network_view
from roost.api.views import Json, org_view
from roost.control.apps import INTERNAL_PREFIX
from roost.model.grants import Grant, GrantState
from roost.model.records import App, Network, Org
from roost.plan.authority import Right, of_org

router = APIRouter(tags=["organizations"])


@router.get("/orgs", dependencies=needs(Right.LOOK, Place.EACH))
async def list_orgs(parts: PartsDep, caller: CallerDep) -> Json:
    """List organizations."""
    found = [o for o in parts.control.orgs.list() if caller.may(Right.LOOK, of_org(o.slug))]
    return {"orgs": [org_view(org) for org in found]}


@router.post("/orgs", status_code=201, dependencies=needs(Right.OPERATE))
async def create_org(parts: PartsDep, body: CreateOrgBody) -> Json:
    """Make an organization. 422 when its slug is taken."""
    return org_view(await parts.control.orgs.create(body.name, body.slug or ""))


@router.get("/orgs/{org}", dependencies=needs(Right.LOOK))
async def get_org(parts: PartsDep, org: str) -> Json:
    """One organization with its networks."""
    view = org_view(parts.control.orgs.get(org))
    return view | {"networks": [_show(parts, one) for one in parts.control.networks.list(org)]}


@router.delete("/orgs/{org}", dependencies=needs(Right.ADMIN))
async def delete_org(parts: PartsDep, caller: CallerDep, org: str) -> Json:
    """Delete an organization that owns no apps, with its tokens and what it was granted."""
    await parts.control.org_ending.delete(org, actor=caller.party)
    return {}


@router.get("/orgs/{org}/cross_network_replays", dependencies=needs(Right.LOOK))
async def cross_network_replays(parts: PartsDep, org: str) -> Json:
    """Whether `fly-replay` crosses the networks of an organization."""
    return _crossing(parts.control.orgs.get(org))


@router.put("/orgs/{org}/cross_network_replays", dependencies=needs(Right.ADMIN))
async def set_cross_network_replays(
    parts: PartsDep, org: str, body: CrossNetworkReplaysBody
) -> Json:
    """Let `fly-replay` cross the networks of an organization, or not."""
    return _crossing(await parts.control.replays.set_cross_network(org, body.allowed))


@router.get("/orgs/{org}/replay_sources", dependencies=needs(Right.LOOK))
async def replay_sources(parts: PartsDep, org: str) -> Json:
    """The other organizations whose apps may replay requests to this one's."""
    return _sources(parts.control.orgs.get(org))


@router.post("/orgs/{org}/replay_sources", dependencies=needs(Right.ADMIN))
async def change_replay_sources(
    parts: PartsDep, caller: CallerDep, org: str, body: ReplaySourcesBody
) -> Json:
    """Add and remove organizations. The caller has to know those that it adds: 404 else."""
    for source in body.add:
        caller.must_know(of_org(source))
    changed = await parts.control.replays.change_sources(org, add=body.add, remove=body.remove)
    return _sources(changed)


def _crossing(org: Org) -> Json:
    return {"allowAllCrossNetworkReplays": org.cross_network_replays}


def _sources(org: Org) -> Json:
    return {"allowedReplaySourceOrgSlugs": list(org.replay_sources)}


@router.get("/orgs/{org}/grants", dependencies=needs(Right.LOOK))
async def list_grants(parts: PartsDep, org: str) -> Json:
    """What others asked of an organization, and what its apps asked of others (Roost's own)."""
    slug, grants = parts.control.orgs.get(org).slug, parts.control.grants
    return {
        "incoming": [grant_view(one) for one in grants.incoming(slug)],
        "outgoing": [grant_view(one) for one in grants.outgoing(slug)],
    }


@router.post("/orgs/{org}/grants/{grant}/accept", dependencies=needs(Right.ADMIN))
async def accept(parts: PartsDep, caller: CallerDep, org: str, grant: str) -> Json:
    """Let an app in: it gets an address on the network that it asked for (Roost's own)."""
    done = await parts.control.grants.accept(org, grant, actor=caller.party)
    return grant_view(done)


@router.post("/orgs/{org}/grants/{grant}/reject", dependencies=needs(Right.ADMIN))
async def reject(parts: PartsDep, caller: CallerDep, org: str, grant: str) -> Json:
    """Refuse a request (Roost's own)."""
    done = await parts.control.grants.reject(org, grant, actor=caller.party)
    return grant_view(done)


@router.delete("/orgs/{org}/grants/{grant}", dependencies=needs(Right.ADMIN))
async def end(parts: PartsDep, caller: CallerDep, org: str, grant: str) -> Json:
    """End what was accepted: the address is released (Roost's own)."""
    done = await parts.control.grants.end(org, grant, actor=caller.party)
    return grant_view(done)


@router.get("/networks", dependencies=needs(Right.LOOK, Place.EACH))
async def list_networks(parts: PartsDep, caller: CallerDep, org_slug: str | None = None) -> Json:
    """List private networks (Roost's own)."""
    if org_slug:
        caller.must_know(of_org(org_slug))
        parts.control.orgs.get(org_slug)
    found = parts.control.networks.list(org_slug or caller.token.org)
    seen = [one for one in found if caller.may(Right.LOOK, of_org(one.org))]
    return {"networks": [_show(parts, network) for network in seen]}


def _show(parts: Parts, network: Network) -> Json:
    grants, store = parts.control.grants, parts.control.context.store
    inward = [one for one in grants.incoming(network.org) if one.network == network.name]
    outward = [one for one in grants.outgoing(network.org) if _home(parts, one) == network.id]
    return network_view(
        network,
        apps=store.count(App, "network", str(network.id)) - _consoles(parts, network),
        grants_in=_accepted(inward),
        grants_out=_accepted(outward),
    )


def _consoles(parts: Parts, network: Network) -> int:
    """How many of a network's apps are Roost's own."""
    console = f"{INTERNAL_PREFIX}{network.id}"
    return int(parts.control.context.store.get(App, console) is not None)


def _accepted(grants: list[Grant]) -> int:
    return sum(one.state is GrantState.ACCEPTED for one in grants)


def _home(parts: Parts, grant: Grant) -> int:
    """The network of the app that a grant is about; 0 when the app is gone by now."""
    stored = parts.control.context.store.get(App, grant.app)
    return stored.record.network_id if stored else 0
