"""The rtnetlink requests Roost makes, one function each: links, addresses, routes, neighbours.

Pure: values in, `Request` out. Numbers are those of linux/rtnetlink.h, linux/if_link.h and
linux/neighbour.h. Requests for addresses, routes and neighbours replace what is there, so sending
them again repairs.
"""

from __future__ import annotations

import errno
import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from roost.network.netlink import (
    CREATE,
    DUMP,
    EXCLUSIVE,
    REPLACE,
    Answer,
    Request,
    attribute,
    attributes,
)

Address = IPv4Address | IPv6Address
Prefix = IPv4Network | IPv6Network

LOOPBACK_INDEX = 1
"""The kernel gives every namespace's loopback this number."""

_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_NEWADDR, _GETADDR, _NEWROUTE, _DELROUTE, _GETROUTE = 20, 22, 24, 25, 26
_NEWNEIGH, _GETNEIGH = 28, 30
_LINK = struct.Struct("=BxHiII")
_ADDR = struct.Struct("=BBBBi")
_ROUTE = struct.Struct("=BBBBBBBBI")
_NEIGH = struct.Struct("=BxxxiHBB")

_UP, _NOARP = 0x1, 0x80
_LINK_ADDRESS, _LINK_NAME, _LINK_PEER, _LINK_INFO, _LINK_ALIAS = 1, 3, 5, 18, 20
_LINK_FAMILIES, _LINK_GROUP, _LINK_NETNS_FD = 26, 27, 28
_LINK_STATE, _STATE_UP = 16, b"\x06"
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_GEN_MODE, _GEN_NONE = 8, 1
_ADDR_ADDRESS, _ADDR_LOCAL, _ADDR_FLAGS = 1, 2, 8
_ROUTE_DESTINATION, _ROUTE_LINK, _ROUTE_GATEWAY, _ROUTE_METRIC, _ROUTE_SOURCE = 1, 4, 5, 6, 7
_NEIGH_ADDRESS, _NEIGH_MAC = 1, 2
_NODAD, _NOPREFIXROUTE = 0x02, 0x200
_MAIN_TABLE, _LOCAL_TABLE, _STATIC, _ADVERTISED = 254, 255, 4, 9
_UNIVERSE, _LINK_SCOPE, _HOST_SCOPE = 0, 253, 254
_UNICAST, _LOCAL, _UNREACHABLE = 1, 2, 7
_ONLINK = 0x4
_FIB_MATCH = 0x2000
_PERMANENT = 0x80


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkEnd:
    """One end of a veth pair to be made; `netns` is a descriptor, or None for the asker's."""

    name: str
    mac: bytes
    group: int = 0
    netns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What the kernel says about a link; `peer` is the number of a veth's other end.

    `ready`: what is sent now goes out. A link that came up before its other end is not, until the
    kernel has got round to it, and loses what is sent meanwhile.
    """

    index: int
    name: str
    peer: int
    group: int
    alias: str
    ready: bool

    def is_pair_with(self, other: Link) -> bool:
        """Whether the two can be the ends of one veth pair (numbers point at each other)."""
        return (self.index, self.peer) == (other.peer, other.index)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The entry an address would take: its prefix length, and whether an RA brought it."""

    length: int
    advertised: bool


def single(address: Address) -> Prefix:
    """The prefix that holds one address only."""
    return IPv4Network(address) if isinstance(address, IPv4Address) else IPv6Network(address)


def make_pair(step: str, near: LinkEnd, far: LinkEnd) -> Request:
    """Make a veth pair, both ends down and without address resolution (NOARP)."""
    peer = _end(far)
    info = attribute(_INFO_KIND, b"veth") + attribute(_INFO_DATA, attribute(_VETH_PEER, peer))
    body = _end(near) + attribute(_LINK_INFO, info)
    return Request(step=step, kind=_NEWLINK, flags=CREATE | EXCLUSIVE, body=body)


def no_automatic_address(step: str, index: int) -> Request:
    """Keep a link that is still down from giving itself an fe80:: address."""
    mode = attribute(_GEN_MODE, bytes([_GEN_NONE]))
    families = attribute(_LINK_FAMILIES, attribute(socket.AF_INET6, mode))
    return Request(step=step, kind=_NEWLINK, flags=0, body=_LINK.pack(0, 0, index, 0, 0) + families)


def bring_up(step: str, index: int) -> Request:
    """Set a link up."""
    return Request(step=step, kind=_NEWLINK, flags=0, body=_LINK.pack(0, 0, index, _UP, _UP))


def set_alias(step: str, index: int, text: str) -> Request:
    """Write a note (at most 255 bytes) on a link."""
    body = _LINK.pack(0, 0, index, 0, 0) + attribute(_LINK_ALIAS, text.encode())
    return Request(step=step, kind=_NEWLINK, flags=0, body=body)


def delete_link(step: str, name: str) -> Request:
    """Remove a link, and with a veth its other end; missing is fine."""
    body = _LINK.pack(0, 0, 0, 0, 0) + _name(name)
    return Request(step=step, kind=_DELLINK, flags=0, body=body, fine=frozenset({errno.ENODEV}))


def get_link(step: str, name: str) -> Request:
    """Ask about one link; no answer when there is none."""
    body = _LINK.pack(0, 0, 0, 0, 0) + _name(name)
    return Request(step=step, kind=_GETLINK, flags=0, body=body, fine=frozenset({errno.ENODEV}))


def list_links(step: str) -> Request:
    """Ask about all links of the namespace."""
    return Request(step=step, kind=_GETLINK, flags=DUMP, body=_LINK.pack(0, 0, 0, 0, 0))


def read_links(answers: list[Answer]) -> list[Link]:
    """The links in the answers to `get_link` or `list_links`."""
    return [_read_link(answer.body) for answer in answers if answer.kind == _NEWLINK]


def add_address(step: str, index: int, address: Address, length: int) -> Request:
    """Give a link an address, at once usable and without a route for its prefix."""
    flags = _NODAD | _NOPREFIXROUTE if address.version == 6 else _NOPREFIXROUTE
    body = _ADDR.pack(_family(address), length, flags & 0xFF, _UNIVERSE, index)
    body += attribute(_ADDR_LOCAL, address.packed) + attribute(_ADDR_ADDRESS, address.packed)
    body += attribute(_ADDR_FLAGS, struct.pack("=I", flags))
    return Request(step=step, kind=_NEWADDR, flags=CREATE | REPLACE, body=body)


def add_route(
    step: str,
    prefix: Prefix,
    index: int,
    *,
    via: Address | None = None,
    source: Address | None = None,
) -> Request:
    """Route a prefix out of a link, directly or through a gateway that needs no further lookup."""
    scope = _LINK_SCOPE if via is None and prefix.version == 4 else _UNIVERSE
    extra = attribute(_ROUTE_LINK, struct.pack("=i", index))
    if via is not None:
        extra += attribute(_ROUTE_GATEWAY, via.packed)
    if source is not None:
        extra += attribute(_ROUTE_SOURCE, source.packed)
    return _route(step, prefix, _UNICAST, scope, extra, flags=0 if via is None else _ONLINK)


def own_address(step: str, index: int, address: Address, length: int) -> list[Request]:
    """Give a link an address that is answered for at once.

    The kernel enters an IPv6 address into its table of local ones later, from a work queue, and
    until then drops what comes for it; so the entry is made here as well.
    """
    requests = [add_address(step, index, address, length)]
    if isinstance(address, IPv6Address):
        requests.append(add_local_route(step, IPv6Network(address), index))
    return requests


def add_local_route(step: str, prefix: IPv6Network, index: int = LOOPBACK_INDEX) -> Request:
    """Make every address of a prefix the namespace's own (AnyIP)."""
    extra = attribute(_ROUTE_LINK, struct.pack("=i", index))
    return _route(step, prefix, _LOCAL, _HOST_SCOPE, extra, table=_LOCAL_TABLE)


def add_marked_local(step: str, prefix: Prefix, mark: int) -> Request:
    """Make every address of a prefix the namespace's own, by a route with `mark` as its metric."""
    return _route(step, prefix, _LOCAL, _HOST_SCOPE, _marked(mark), table=_LOCAL_TABLE)


def delete_marked_local(step: str, prefix: Prefix, mark: int) -> Request:
    """Undo `add_marked_local`; missing is fine."""
    made = _route(step, prefix, _LOCAL, _HOST_SCOPE, _marked(mark), table=_LOCAL_TABLE)
    gone = frozenset({errno.ESRCH, errno.ENOENT})
    return Request(step=step, kind=_DELROUTE, flags=0, body=made.body, fine=gone)


def read_marked_local(answers: list[Answer], mark: int) -> list[Prefix]:
    """The prefixes that `add_marked_local` made with this mark."""
    found: list[Prefix] = []
    for answer in answers:
        if answer.kind != _NEWROUTE:
            continue
        family, length, _, _, _, _, _, kind, _ = _ROUTE.unpack_from(answer.body)
        extra = attributes(answer.body, _ROUTE.size)
        metric = extra.get(_ROUTE_METRIC, bytes(4))
        if kind == _LOCAL and struct.unpack("=I", metric)[0] == mark:
            size = 16 if family == socket.AF_INET6 else 4
            raw = extra.get(_ROUTE_DESTINATION, bytes(size))
            is6 = family == socket.AF_INET6
            found.append(IPv6Network((raw, length)) if is6 else IPv4Network((raw, length)))
    return found


def _marked(mark: int) -> bytes:
    link = attribute(_ROUTE_LINK, struct.pack("=i", LOOPBACK_INDEX))
    return link + attribute(_ROUTE_METRIC, struct.pack("=I", mark))


def refuse_route(step: str, prefix: Prefix) -> Request:
    """Answer packets to a prefix, where no longer one is routed, with "no route"."""
    return _route(step, prefix, _UNREACHABLE, _UNIVERSE, b"")


def which_route(step: str, address: Address) -> Request:
    """Ask which entry of the routing tables an address would take."""
    body = _ROUTE.pack(_family(address), address.max_prefixlen, 0, 0, 0, 0, 0, 0, _FIB_MATCH)
    body += attribute(_ROUTE_DESTINATION, address.packed)
    fine = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH})
    return Request(step=step, kind=_GETROUTE, flags=0, body=body, fine=fine)


def read_route(answers: list[Answer]) -> Route | None:
    """The entry `which_route` found; None without one that leads anywhere."""
    for answer in answers:
        if answer.kind == _NEWROUTE and answer.body[7] == _UNICAST:
            return Route(length=answer.body[1], advertised=answer.body[5] == _ADVERTISED)
    return None


def list_addresses(step: str) -> Request:
    """Ask about all addresses of the namespace."""
    return Request(step=step, kind=_GETADDR, flags=DUMP, body=_ADDR.pack(0, 0, 0, 0, 0))


def list_routes(step: str) -> Request:
    """Ask about all routes of the namespace, in every table."""
    body = _ROUTE.pack(0, 0, 0, 0, 0, 0, 0, 0, 0)
    return Request(step=step, kind=_GETROUTE, flags=DUMP, body=body)


def list_neighbours(step: str) -> Request:
    """Ask about all neighbour entries of the namespace."""
    return Request(step=step, kind=_GETNEIGH, flags=DUMP, body=_NEIGH.pack(0, 0, 0, 0, 0))


def add_neighbour(step: str, index: int, address: Address, mac: bytes) -> Request:
    """Tell for good which link-layer address an address has."""
    body = _NEIGH.pack(_family(address), index, _PERMANENT, 0, _UNICAST)
    body += attribute(_NEIGH_ADDRESS, address.packed) + attribute(_NEIGH_MAC, mac)
    return Request(step=step, kind=_NEWNEIGH, flags=CREATE | REPLACE, body=body)


def _end(end: LinkEnd) -> bytes:
    body = _LINK.pack(0, 0, 0, _NOARP, _NOARP) + _name(end.name)
    body += attribute(_LINK_ADDRESS, end.mac)
    body += attribute(_LINK_GROUP, struct.pack("=I", end.group))
    if end.netns is not None:
        body += attribute(_LINK_NETNS_FD, struct.pack("=i", end.netns))
    return body


def _route(
    step: str,
    prefix: Prefix,
    kind: int,
    scope: int,
    extra: bytes,
    *,
    flags: int = 0,
    table: int = _MAIN_TABLE,
) -> Request:
    family = _family(prefix.network_address)
    body = _ROUTE.pack(family, prefix.prefixlen, 0, 0, table, _STATIC, scope, kind, flags)
    body += attribute(_ROUTE_DESTINATION, prefix.network_address.packed) + extra
    return Request(step=step, kind=_NEWROUTE, flags=CREATE | REPLACE, body=body)


def _read_link(body: bytes) -> Link:
    found = attributes(body, _LINK.size)
    return Link(
        index=_LINK.unpack_from(body)[2],
        name=_text(found.get(_LINK_NAME, b"")),
        peer=struct.unpack("=i", found.get(_LINK_PEER, bytes(4)))[0],
        group=struct.unpack("=I", found.get(_LINK_GROUP, bytes(4)))[0],
        alias=_text(found.get(_LINK_ALIAS, b"")),
        ready=found.get(_LINK_STATE) == _STATE_UP,
    )


def _name(name: str) -> bytes:
    return attribute(_LINK_NAME, name.encode() + b"\0")


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode(errors="replace")


def _family(address: Address) -> int:
    return socket.AF_INET6 if address.version == 6 else socket.AF_INET
