"""Links, addresses, routes and neighbours as lines of text, read from rtnetlink messages. Pure.

A request that makes something and the kernel's answer that lists it have the same form, so both
are read by the same functions: what Roost asks for is its own description of what must be there.
Left out is what the kernel makes by itself out of addresses and links.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Mapping
from ipaddress import ip_address

from roost.network.netlink import Answer, Request, attributes

_NEWADDR, _NEWROUTE, _NEWNEIGH = 20, 24, 28
_ADDR = struct.Struct("=BBBBi")
_ROUTE = struct.Struct("=BBBBBBBBI")
_NEIGH = struct.Struct("=BxxxiHBB")
_ADDRESS, _LOCAL = 1, 2
_DESTINATION, _OUT_LINK, _GATEWAY, _SOURCE, _TABLE = 1, 4, 5, 7, 15
_NEIGHBOUR, _MAC = 1, 2
_BY_KERNEL = 2
_CLONED = 0x200
_TYPES = {1: "unicast", 2: "local", 6: "blackhole", 7: "unreachable", 8: "prohibit", 9: "throw"}
_TABLES = {254: "main", 255: "local"}
_NO_LINK_TYPES = {6, 7, 8, 9}
_NOARP = 0x40
_PERMANENT = 0x80
_EVERYWHERE = {socket.AF_INET: bytes(4), socket.AF_INET6: bytes(16)}


def described(messages: Iterable[Answer | Request], names: Mapping[int, str]) -> frozenset[str]:
    """One line for each address, route and neighbour; `names` are the links' by number."""
    readers = {_NEWADDR: _address, _NEWROUTE: _route, _NEWNEIGH: _neighbour}
    lines = (
        readers[message.kind](message.body, names)
        for message in messages
        if message.kind in readers
    )
    return frozenset(line for line in lines if line)


def _address(body: bytes, names: Mapping[int, str]) -> str:
    _family, length, _flags, _scope, index = _ADDR.unpack_from(body)
    found = attributes(body, _ADDR.size)
    address = ip_address(found.get(_LOCAL) or found[_ADDRESS])
    if address.is_loopback and names.get(index) == "lo":
        return ""
    return f"address {address}/{length} on {names.get(index, index)}"


def _route(body: bytes, names: Mapping[int, str]) -> str:
    family, length, _, _, table, origin, _scope, kind, flags = _ROUTE.unpack_from(body)
    if flags & _CLONED or origin == _BY_KERNEL or family not in _EVERYWHERE:
        return ""
    found = attributes(body, _ROUTE.size)
    if _TABLE in found:
        table = struct.unpack("=I", found[_TABLE])[0]
    target = ip_address(found.get(_DESTINATION, _EVERYWHERE[family]))
    words = [f"route {_TYPES.get(kind, kind)} {target}/{length}"]
    if _GATEWAY in found:
        words.append(f"via {ip_address(found[_GATEWAY])}")
    if _OUT_LINK in found and kind not in _NO_LINK_TYPES:
        index = struct.unpack("=i", found[_OUT_LINK])[0]
        words.append(f"dev {names.get(index, index)}")
    if _SOURCE in found:
        words.append(f"source {ip_address(found[_SOURCE])}")
    words.append(f"table {_TABLES.get(table, table)}")
    return " ".join(words)


def _neighbour(body: bytes, names: Mapping[int, str]) -> str:
    family, index, state, _flags, _kind = _NEIGH.unpack_from(body)
    if state & _NOARP or family not in _EVERYWHERE:
        return ""
    found = attributes(body, _NEIGH.size)
    kept = "" if state & _PERMANENT else " (learned)"
    address, mac = ip_address(found[_NEIGHBOUR]), found.get(_MAC, b"").hex(":")
    return f"neighbour {address} at {mac} on {names.get(index, index)}{kept}"
