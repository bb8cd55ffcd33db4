"""Whether the kernel tracks one connection, asked for by its ends (ctnetlink). Blocks briefly.

Asking for one entry costs the same however many there are; listing all would not.
"""

from __future__ import annotations

import errno
import socket
import struct

from roost.canary.wire import Packet
from roost.network.netlink import ACK, REQUEST, attribute

_NETFILTER = 12
_GET_CONNECTION = 1 << 8 | 1
_ERROR = 2
_HEADER = struct.Struct("=IHHII")
_NESTED = 0x8000
_TUPLE, _TUPLE_IP, _TUPLE_PROTOCOL = 1, 1, 2
_SOURCE = {4: 1, 6: 3}
_TARGET = {4: 2, 6: 4}
_NUMBER, _SPORT, _DPORT = 1, 2, 3
_ABSENT = frozenset({errno.ENOENT})


def is_tracked(packet: Packet) -> bool | None:
    """Whether a TCP or UDP packet's connection has an entry in the thread's network namespace.

    None where the kernel does not say (it cannot be asked).
    """
    version = packet.source.version
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    body = struct.pack("!BBH", family, 0, 0) + _tuple(packet, version)
    header = _HEADER.pack(_HEADER.size + len(body), _GET_CONNECTION, REQUEST | ACK, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER) as sock:
            sock.settimeout(1.0)
            sock.send(header + body)
            return _answer(sock.recv(1 << 16))
    except OSError:
        return None


def _answer(data: bytes) -> bool | None:
    kind = _HEADER.unpack_from(data)[1]
    if kind != _ERROR:
        return True
    code = -struct.unpack_from("=i", data, _HEADER.size)[0]
    return False if code in _ABSENT else None


def _tuple(packet: Packet, version: int) -> bytes:
    addresses = attribute(_SOURCE[version], packet.source.packed)
    addresses += attribute(_TARGET[version], packet.target.packed)
    ends = attribute(_NUMBER, bytes([packet.protocol]))
    ends += attribute(_SPORT, struct.pack("!H", packet.sport))
    ends += attribute(_DPORT, struct.pack("!H", packet.dport))
    both = attribute(_NESTED | _TUPLE_IP, addresses) + attribute(_NESTED | _TUPLE_PROTOCOL, ends)
    return attribute(_NESTED | _TUPLE, both)
