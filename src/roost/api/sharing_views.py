"""Addresses, grants, networks and what `reach` answers, as the API's JSON objects. Pure."""

from __future__ import annotations

from roost.api.views import Json, when
from roost.control.reach import Answer
from roost.model.addresses import network_prefix
from roost.model.grants import Grant
from roost.model.records import Address, AddressType, Network


def address_view(address: Address) -> Json:
    """An address; what follows `created_at` is Roost's own."""
    ports = [str(port) for port in address.ports]
    return {
        "ip": address.ip,
        "region": "global",
        "service_name": ports[0] if len(ports) == 1 else "",
        "shared": address.type is AddressType.SHARED_V4,
        "created_at": when(address.created_at),
        "version": "v6" if ":" in address.ip else "v4",
        "type": str(address.type),
        "public": address.type.public,
        "network": address.network,
        "org_slug": "" if address.type.public else address.org,
        "ports": list(address.ports),
        "expires_at": None if address.expires_at is None else when(address.expires_at),
        "grant": address.grant or None,
    }


def grant_view(grant: Grant) -> Json:
    """A grant (Roost's own object)."""
    return {
        "id": grant.id,
        "state": str(grant.state),
        "app": grant.app,
        "app_org": grant.app_org,
        "org": grant.org,
        "network": grant.network,
        "ports": list(grant.ports),
        "ip": grant.ip,
        "expires_at": None if grant.expires_at is None else when(grant.expires_at),
        "created_at": when(grant.created_at),
        "created_by": grant.created_by,
        "decided_at": None if grant.decided_at is None else when(grant.decided_at),
        "decided_by": grant.decided_by,
    }


def network_view(network: Network, *, apps: int, grants_in: int, grants_out: int) -> Json:
    """A private network (Roost's own object) with how many apps are on it, how many apps of other
    organizations it lets in by a grant, and how many of its own are let in elsewhere.
    """
    return {
        "id": network.id,
        "name": network.name,
        "org": network.org,
        "prefix": str(network_prefix(network.id)),
        "egress": network.egress,
        "apps": apps,
        "grants_in": grants_in,
        "grants_out": grants_out,
        "created_at": when(network.created_at),
    }


def reach_view(answer: Answer) -> Json:
    """What `reach` says (Roost's own object)."""
    replay = answer.replay
    return {
        "reaches": answer.reaches,
        "from": answer.caller,
        "to": answer.target,
        "steps": [
            {"step": str(step.stage), "passes": step.passes, "why": step.why}
            for step in answer.steps
        ],
        "replay": None if replay is None else {"passes": replay.passes, "why": replay.why},
    }
