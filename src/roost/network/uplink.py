"""The way out of a router: a veth pair to the host's namespace, with NAT at both ends.

The router hides its Machines behind its end's address (their IPv4 addresses repeat from network to
network), the host hides the router's behind its own. Everything here blocks and runs on a worker.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network
from typing import Final

from roost.errors import UnavailableError
from roost.network import rtnl
from roost.network.names import (
    UPLINK_GROUP,
    UPLINK_LINK,
    UplinkAddresses,
    mac,
    pair_of,
    uplink_addresses,
    uplink_host_link,
    uplink_pair,
    uplink_prefix,
)
from roost.network.netlink import Conversation, Request
from roost.network.steps import Place, await_ready

EVERYWHERE4: Final = IPv4Network("0.0.0.0/0")
EVERYWHERE6: Final = IPv6Network("::/0")
NEXT_HOP6: Final = IPv6Address("fe80::1")
"""What Machines and routers call the other end of their link; resolved by a fixed entry."""

_MAX_ATTEMPTS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Both ends of an uplink, each as its own namespace sees it."""

    host: rtnl.Link
    router: rtnl.Link
    addresses: UplinkAddresses


def connect(
    place: Place,
    network_id: int,
    *,
    host: Conversation,
    router: Conversation,
    router_fd: int,
    ip6: bool,
) -> None:
    """Make the uplink of a router complete, or mend it. Raises UnavailableError."""
    name = uplink_host_link(place.tag, network_id)
    ends = _kept(place.tag, network_id, name, host, router)
    if ends is None:
        ends = _make(place, network_id, name, host=host, router=router, router_fd=router_fd)
    host.ask(host_side(ends, network_id, ip6=ip6))
    place.done("uplink, host side")
    router.ask(router_side(ends, network_id, ip6=ip6))
    await_ready(host, name)
    await_ready(router, UPLINK_LINK)
    place.done("uplink, router side")


def disconnect(tag: str, network_id: int, host: Conversation) -> None:
    """Remove the uplink of a router; missing is fine. Takes the kernel some 20 ms."""
    host.ask([rtnl.delete_link("remove an uplink", uplink_host_link(tag, network_id))])


def leftover(tag: str, host: Conversation) -> list[str]:
    """Names of all links in the host's namespace that are uplinks of this Roost."""
    links = rtnl.read_links(host.ask([rtnl.list_links("list the host's links")]))
    return [link.name for link in links if link.name.startswith(uplink_prefix(tag))]


def existing(tag: str, network_id: int, *, host: Conversation, router: Conversation) -> Ends | None:
    """The two ends when they are one pair with its note. Raises UnavailableError (strange note)."""
    name = uplink_host_link(tag, network_id)
    return _pair(tag, network_id, *_look(name, host, router))


def host_end_mac(addresses: UplinkAddresses) -> bytes:
    """The link-layer address of the host's end."""
    return mac(b"host " + addresses.host4.packed)


def router_end_mac(addresses: UplinkAddresses) -> bytes:
    """The link-layer address of the router's end."""
    return mac(b"router " + addresses.host4.packed)


def _look(
    name: str, host: Conversation, router: Conversation
) -> tuple[list[rtnl.Link], list[rtnl.Link]]:
    at_host = rtnl.read_links(host.ask([rtnl.get_link("look for an uplink", name)]))
    at_router = rtnl.read_links(router.ask([rtnl.get_link("look for an uplink", UPLINK_LINK)]))
    return at_host, at_router


def _pair(
    tag: str, network_id: int, at_host: list[rtnl.Link], at_router: list[rtnl.Link]
) -> Ends | None:
    if at_host and at_router and at_host[0].is_pair_with(at_router[0]) and at_host[0].alias:
        pair = pair_of(at_host[0].alias)
        addresses = uplink_addresses(tag, network_id, pair)
        return Ends(host=at_host[0], router=at_router[0], addresses=addresses)
    return None


def _kept(
    tag: str, network_id: int, name: str, host: Conversation, router: Conversation
) -> Ends | None:
    """The two ends when they are one pair with its note; else whatever is there is removed."""
    at_host, at_router = _look(name, host, router)
    found = _pair(tag, network_id, at_host, at_router)
    if found is not None:
        return found
    if at_host:
        host.ask([rtnl.delete_link("remove half an uplink", name)])
    if at_router:
        router.ask([rtnl.delete_link("remove half an uplink", UPLINK_LINK)])
    return None


def _make(
    place: Place,
    network_id: int,
    name: str,
    *,
    host: Conversation,
    router: Conversation,
    router_fd: int,
) -> Ends:
    addresses = _free_addresses(place.tag, network_id, host)
    near = rtnl.LinkEnd(name=name, mac=host_end_mac(addresses))
    far = rtnl.LinkEnd(
        name=UPLINK_LINK,
        mac=router_end_mac(addresses),
        group=UPLINK_GROUP,
        netns=router_fd,
    )
    made = host.ask(
        [
            rtnl.make_pair("make an uplink", near, far),
            rtnl.get_link("look at the new uplink", name),
        ]
    )
    host_end = rtnl.read_links(made)[0]
    place.done("uplink made")
    host.ask([rtnl.set_alias("note an uplink's address", host_end.index, str(addresses.host4))])
    seen = router.ask([rtnl.get_link("look at the new uplink", UPLINK_LINK)])
    return Ends(host=host_end, router=rtnl.read_links(seen)[0], addresses=addresses)


def _free_addresses(tag: str, network_id: int, host: Conversation) -> UplinkAddresses:
    """The first pair nobody on this host (another Roost, say) has a route to."""
    for attempt in range(_MAX_ATTEMPTS):
        pair = uplink_pair(tag, network_id, attempt)
        addresses = uplink_addresses(tag, network_id, pair)
        found = host.ask([rtnl.which_route("look for a free uplink address", addresses.router4)])
        route = rtnl.read_route(found)
        if route is None or route.length < 31:
            return addresses
    raise UnavailableError(
        f"no free pair of uplink addresses after {_MAX_ATTEMPTS} tries in 100.64.0.0/10",
        hint="another program routes single addresses of this range; stop it, or turn egress off",
    )


def host_side(ends: Ends, network_id: int, *, ip6: bool) -> list[Request]:
    """What is asked in the host's namespace."""
    at, addresses = ends.host.index, ends.addresses
    step = f"configure the host's side of network {network_id}'s uplink"
    quiet = [rtnl.no_automatic_address(step, at)] if ip6 else []
    requests = [
        *quiet,
        rtnl.bring_up(step, at),
        *rtnl.own_address(step, at, addresses.host4, 32),
    ]
    if ip6:
        requests += rtnl.own_address(step, at, addresses.host6, 128)
    families: list[tuple[rtnl.Address, rtnl.Address]] = [(addresses.host4, addresses.router4)]
    if ip6:
        families.append((addresses.host6, addresses.router6))
    for mine, other in families:
        requests += [
            rtnl.add_route(step, rtnl.single(other), at, source=mine),
            rtnl.add_neighbour(step, at, other, router_end_mac(addresses)),
        ]
    return requests


def router_side(ends: Ends, network_id: int, *, ip6: bool) -> list[Request]:
    """What is asked in the router."""
    at, addresses = ends.router.index, ends.addresses
    step = f"configure the uplink of network {network_id}"
    host_mac = host_end_mac(addresses)
    requests = [
        rtnl.bring_up(step, at),
        *rtnl.own_address(step, at, addresses.router4, 32),
        rtnl.add_route(step, EVERYWHERE4, at, via=addresses.host4),
        rtnl.add_neighbour(step, at, addresses.host4, host_mac),
    ]
    if ip6:
        requests += [
            *rtnl.own_address(step, at, addresses.router6, 128),
            rtnl.add_route(step, EVERYWHERE6, at, via=NEXT_HOP6),
            rtnl.add_neighbour(step, at, NEXT_HOP6, host_mac),
        ]
    return requests
