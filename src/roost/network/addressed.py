"""Routers and attachments filled in from the address plan (roost.model.addresses). Pure."""

from __future__ import annotations

from roost.model.addresses import (
    DNS_EVERYWHERE,
    GATEWAY4,
    flycast_prefix,
    machine_ipv4,
    machine_prefix,
    network_dns,
    network_prefix,
)
from roost.network.base import Attachment, Router


def router_of(network_id: int, *, egress: bool = True) -> Router:
    """The router of a network id (from 1). Raises InvalidError for a number out of range."""
    return Router(
        network_id=network_id,
        prefix=network_prefix(network_id),
        flycast=flycast_prefix(network_id),
        dns=(DNS_EVERYWHERE, network_dns(network_id)),
        gateway4=GATEWAY4,
        egress=egress,
    )


def attachment_of(
    machine_id: str, router: Router, *, host: int, machine: int, ipv4_index: int
) -> Attachment:
    """A Machine's attachment from its numbers. Raises InvalidError for one out of range."""
    return Attachment(
        machine_id=machine_id,
        router=router,
        ip6=machine_prefix(router.network_id, host, machine),
        ip4=machine_ipv4(ipv4_index),
    )
