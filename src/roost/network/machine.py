"""One Machine's namespace and its link to the router. Blocks; runs on a worker."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Interface
from pathlib import Path

from roost.network import rtnl, sysctl
from roost.network.base import Attachment, Router
from roost.network.names import (
    MACHINE_GROUP,
    MACHINE_LINK,
    mac,
    machine_file,
    machine_link,
    router_file,
)
from roost.network.namespaces import is_namespace, unpin
from roost.network.netlink import Conversation, Request
from roost.network.steps import Place, await_ready, entered, pinned
from roost.network.uplink import EVERYWHERE4, EVERYWHERE6, NEXT_HOP6


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ends:
    """The numbers of a link's two ends, each in its own namespace."""

    inner: int
    outer: int


def attach(place: Place, attachment: Attachment) -> Path:
    """Make a Machine's namespace and link complete, or mend them; the router must be there.

    A link that is whole is kept, with the traffic on it. Raises UnavailableError and OSError.
    """
    path = file_of(place, attachment.machine_id)
    pinned(path)
    place.done("machine pinned")
    router = place.folder / router_file(attachment.router.network_id)
    with entered(path) as fd, Conversation() as inside:
        sysctl.open_ping()
        sysctl.write(sysctl.FIRST_FREE_PORT, "0")
        # By its refusals the proxy learns that a woken program does not listen for datagrams yet.
        sysctl.write(sysctl.BOUNDED_ERRORS, sysctl.REFUSALS_UNBOUNDED)
        with entered(router), Conversation() as outside:
            ends = _linked(place, attachment, inside, outside, fd)
            inside.ask(inner_side(attachment, ends.inner))
            place.done("machine, inner side")
            outside.ask(outer_side(attachment, ends.outer))
            await_ready(inside, MACHINE_LINK)
            await_ready(outside, machine_link(attachment.machine_id))
            place.done("machine, router side")
    return path


def detach(place: Place, machine_id: str) -> None:
    """Remove a Machine's link and let go of its namespace; missing is fine.

    The link goes first and by name, because a process left in the namespace would keep both.
    """
    path = file_of(place, machine_id)
    if is_namespace(path):
        with entered(path), Conversation() as inside:
            inside.ask([rtnl.delete_link(f"remove Machine {machine_id}'s link", MACHINE_LINK)])
        place.done("machine link removed")
    unpin(path)


def file_of(place: Place, machine_id: str) -> Path:
    """Where a Machine's namespace is pinned. Raises InvalidError for what is no Machine id."""
    return place.folder / machine_file(machine_id)


def note_of(attachment: Attachment) -> str:
    """What is written on the router's end of a Machine's link."""
    return f"{attachment.machine_id} {attachment.ip6} {attachment.ip4}"


def noted(note: str, router: Router) -> Attachment:
    """The attachment for which a link was made, from its note. Raises ValueError."""
    name, ip6, ip4 = note.split(" ")
    return Attachment(machine_id=name, router=router, ip6=IPv6Interface(ip6), ip4=IPv4Address(ip4))


def _linked(
    place: Place, attachment: Attachment, inside: Conversation, outside: Conversation, fd: int
) -> _Ends:
    """The two ends of the link, which is made unless whole.

    The note on it says for which addresses it was made; it is written at once, so a link without
    it, or with another, is not trusted.
    """
    name = machine_link(attachment.machine_id)
    step = f"look for Machine {attachment.machine_id}'s link"
    outer = rtnl.read_links(outside.ask([rtnl.get_link(step, name)]))
    inner = rtnl.read_links(inside.ask([rtnl.get_link(step, MACHINE_LINK)]))
    note = note_of(attachment)
    if outer and inner and outer[0].is_pair_with(inner[0]) and outer[0].alias == note:
        return _Ends(inner=inner[0].index, outer=outer[0].index)
    if outer:
        outside.ask([rtnl.delete_link(f"remove half of link {name}", name)])
    if inner:
        inside.ask([rtnl.delete_link(f"remove half of link {name}", MACHINE_LINK)])
    index = _make_link(place, attachment, note, outside, fd)
    made = rtnl.read_links(inside.ask([rtnl.get_link(step, MACHINE_LINK)]))
    return _Ends(inner=made[0].index, outer=index)


def _make_link(
    place: Place, attachment: Attachment, note: str, outside: Conversation, fd: int
) -> int:
    name = machine_link(attachment.machine_id)
    near = rtnl.LinkEnd(name=name, mac=outer_mac(attachment), group=MACHINE_GROUP)
    far = rtnl.LinkEnd(name=MACHINE_LINK, mac=inner_mac(attachment), netns=fd)
    step = f"link Machine {attachment.machine_id} to network {attachment.router.network_id}"
    made = outside.ask([rtnl.make_pair(step, near, far), rtnl.get_link(step, name)])
    place.done("machine link made")
    index = rtnl.read_links(made)[0].index
    outside.ask([rtnl.set_alias(step, index, note)])
    place.done("machine link noted")
    return index


def inner_side(attachment: Attachment, eth0: int) -> list[Request]:
    """What is asked in the Machine's namespace, whose `eth0` has this number."""
    gateway = attachment.router.gateway4
    step = f"configure the namespace of Machine {attachment.machine_id}"
    neighbour = outer_mac(attachment)
    return [
        rtnl.bring_up(step, rtnl.LOOPBACK_INDEX),
        rtnl.no_automatic_address(step, eth0),
        rtnl.bring_up(step, eth0),
        *rtnl.own_address(step, eth0, attachment.ip6.ip, attachment.ip6.network.prefixlen),
        *rtnl.own_address(step, eth0, attachment.ip4, 32),
        rtnl.add_route(step, EVERYWHERE6, eth0, via=NEXT_HOP6),
        rtnl.add_route(step, EVERYWHERE4, eth0, via=gateway),
        rtnl.add_neighbour(step, eth0, NEXT_HOP6, neighbour),
        rtnl.add_neighbour(step, eth0, gateway, neighbour),
    ]


def outer_side(attachment: Attachment, index: int) -> list[Request]:
    """What is asked in the router. Fixed neighbour entries: the kernel counts learned ones for all
    namespaces together and by default keeps 1,024."""
    step = f"route to Machine {attachment.machine_id}"
    neighbour = inner_mac(attachment)
    gateway = attachment.router.gateway4
    return [
        rtnl.bring_up(step, index),
        rtnl.add_route(step, attachment.ip6.network, index),
        rtnl.add_route(step, IPv4Network(attachment.ip4), index, source=gateway),
        rtnl.add_neighbour(step, index, attachment.ip6.ip, neighbour),
        rtnl.add_neighbour(step, index, attachment.ip4, neighbour),
    ]


def inner_mac(attachment: Attachment) -> bytes:
    """The link-layer address of the Machine's end."""
    return mac(b"machine " + attachment.ip6.ip.packed)


def outer_mac(attachment: Attachment) -> bytes:
    """The link-layer address of the router's end."""
    return mac(b"router " + attachment.ip6.ip.packed)
