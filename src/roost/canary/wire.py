"""Whole IP packets (and ARP), built and read: what a Machine with CAP_NET_RAW could send. Pure.

Every packet of a run carries a mark (`Marks`), so that wherever one turns up, also inside an ICMP
error that quotes it, it is known which attempt it belongs to. All have TAG in a header field that
forwarding and NAT leave alone, for cheap filters on busy links.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

Address = IPv4Address | IPv6Address

TAG = 0x0CA9
"""IPv4 identification and IPv6 flow label of all packets of canaries."""
ARP, ICMP4, TCP, UDP, ICMP6 = 0, 1, 6, 17, 58
SYN, RST, ACK = 0x02, 0x04, 0x10
ECHO4, ECHO_REPLY4, UNREACHABLE4 = 8, 0, 3
ECHO6, ECHO_REPLY6, UNREACHABLE6 = 128, 129, 1
SOLICIT, ADVERTISE, ROUTER_ADVERTISE, REDIRECT = 135, 136, 134, 137
ERRORS4 = frozenset({3, 4, 5, 11, 12})
ERRORS6 = frozenset({1, 2, 3, 4, 137})

_MAGIC = b"\xf0canary\x0f"
_NO_PROTOCOL = {4: 253, 6: 59}
_TARGET_MAC, _SOURCE_MAC, _UNKNOWN_OPTION = 2, 1, 253
_ARP = struct.Struct("!HHBBH6s4s6s4s")


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks of one run, told apart from other runs' by four random bytes."""

    run: bytes

    def mark(self, index: int) -> bytes:
        """The mark of attempt `index`: 16 bytes."""
        return _MAGIC + self.run + struct.pack("!I", index)

    def port(self, index: int) -> int:
        """The source port of attempt `index`: different for any 40,000 in a row, and by run."""
        start: int = struct.unpack("!I", self.run)[0]
        return 20_000 + (start + index) % 40_000

    def index(self, data: bytes) -> int | None:
        """The attempt whose mark is somewhere in the data."""
        at = data.find(_MAGIC + self.run)
        if at < 0 or len(data) < at + 16:
            return None
        number: int = struct.unpack_from("!I", data, at + 12)[0]
        return number


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """A packet as read. `kind`: TCP flags (SYN, RST, ACK only) or the ICMP type or ARP operation;
    ports are 0 where there are none.
    """

    source: Address
    target: Address
    protocol: int
    kind: int = 0
    sport: int = 0
    dport: int = 0

    @property
    def is_error(self) -> bool:
        """Whether it is an ICMP error or redirect."""
        return (self.protocol == ICMP4 and self.kind in ERRORS4) or (
            self.protocol == ICMP6 and self.kind in ERRORS6
        )


def udp(
    source: Address, target: Address, sport: int, dport: int, payload: bytes, *, hops: int = 64
) -> bytes:
    """One UDP datagram."""
    head = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0)
    return _ip(source, target, UDP, _summed(source, target, UDP, head + payload, 6), hops)


def tcp(
    source: Address, target: Address, sport: int, dport: int, payload: bytes, *, flags: int
) -> bytes:
    """One TCP segment of no connection."""
    head = struct.pack("!HHIIBBHHH", sport, dport, 1, 1, 5 << 4, flags, 1000, 0, 0)
    return _ip(source, target, TCP, _summed(source, target, TCP, head + payload, 16), 64)


def icmp(
    source: Address, target: Address, kind: int, body: bytes, *, code: int = 0, hops: int = 64
) -> bytes:
    """One ICMP message of the family; `body` is everything after type, code and checksum."""
    message = struct.pack("!BBH", kind, code, 0) + body
    if target.version == 4:
        message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
        return _ip(source, target, ICMP4, message, hops)
    return _ip(source, target, ICMP6, _summed(source, target, ICMP6, message, 2), hops)


def echo(source: Address, target: Address, mark: bytes, *, hops: int = 64) -> bytes:
    """A ping, with an identifier made from its mark: no two runs continue one conversation."""
    kind = ECHO4 if target.version == 4 else ECHO6
    return icmp(source, target, kind, struct.pack("!HH", checksum(mark), 1) + mark, hops=hops)


def unreachable(source: Address, target: Address, mark: bytes) -> bytes:
    """An error about a packet that `target` is said to have sent (of no known protocol)."""
    quoted = _ip(target, source, _NO_PROTOCOL[target.version], mark, 64)
    kind, code = (UNREACHABLE4, 1) if target.version == 4 else (UNREACHABLE6, 3)
    return icmp(source, target, kind, bytes(4) + quoted, code=code)


def router_advertisement(source: Address, target: Address, mac: bytes, mark: bytes) -> bytes:
    """Says that its sender is the default router for half an hour."""
    body = struct.pack("!BBHII", 64, 0, 1800, 0, 0) + _mac_option(_SOURCE_MAC, mac)
    return icmp(source, target, ROUTER_ADVERTISE, body + _mark_option(mark), hops=255)


def neighbour_advertisement(
    source: Address, target: Address, about: IPv6Address, mac: bytes, mark: bytes
) -> bytes:
    """Says, overriding what is known, that `about` is at `mac`."""
    body = struct.pack("!I", 0x6000_0000) + about.packed + _mac_option(_TARGET_MAC, mac)
    return icmp(source, target, ADVERTISE, body + _mark_option(mark), hops=255)


def neighbour_solicitation(
    source: Address, target: Address, about: IPv6Address, mac: bytes, mark: bytes
) -> bytes:
    """Asks for `about`, and says that its sender is at `mac`."""
    body = bytes(4) + about.packed + _mac_option(_SOURCE_MAC, mac)
    return icmp(source, target, SOLICIT, body + _mark_option(mark), hops=255)


def redirect(source: Address, target: Address, about: IPv6Address, mark: bytes) -> bytes:
    """Says that `about` is reached directly at its own address."""
    body = bytes(4) + about.packed + about.packed
    return icmp(source, target, REDIRECT, body + _mark_option(mark), hops=255)


def arp(operation: int, mac: bytes, source: IPv4Address, target: IPv4Address) -> bytes:
    """An ARP request (1) or reply (2) that says `source` is at `mac`."""
    return _ARP.pack(1, 0x0800, 6, 4, operation, mac, source.packed, bytes(6), target.packed)


def read(data: bytes) -> Packet | None:
    """An IP packet as it comes from a link or a raw IPv4 socket; None for what it is not."""
    version = data[0] >> 4 if data else 0
    if version == 4 and len(data) >= 20:
        source, target = ip_address(data[12:16]), ip_address(data[16:20])
        return _read(source, target, data[9], data[(data[0] & 15) * 4 :])
    if version == 6 and len(data) >= 40:
        return _read(ip_address(data[8:24]), ip_address(data[24:40]), data[6], data[40:])
    return None


def read_arp(data: bytes) -> Packet | None:
    """An ARP packet; None for what it is not."""
    if len(data) < _ARP.size:
        return None
    _, _, _, _, operation, _, source, _, target = _ARP.unpack_from(data)
    return Packet(
        source=IPv4Address(source), target=IPv4Address(target), protocol=ARP, kind=operation
    )


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _read(source: Address, target: Address, protocol: int, body: bytes) -> Packet:
    packet = Packet(source=source, target=target, protocol=protocol)
    if protocol in {ICMP4, ICMP6} and body:
        return Packet(source=source, target=target, protocol=protocol, kind=body[0])
    if protocol not in {TCP, UDP} or len(body) < 14:
        return packet
    sport, dport = struct.unpack_from("!HH", body)
    kind = body[13] & (SYN | RST | ACK) if protocol == TCP else 0
    return Packet(
        source=source, target=target, protocol=protocol, kind=kind, sport=sport, dport=dport
    )


def _mac_option(kind: int, mac: bytes) -> bytes:
    return struct.pack("!BB", kind, 1) + mac


def _mark_option(mark: bytes) -> bytes:
    """An option that no receiver knows, and therefore skips."""
    return struct.pack("!BB", _UNKNOWN_OPTION, 3) + mark + bytes(6)


def _summed(source: Address, target: Address, protocol: int, body: bytes, at: int) -> bytes:
    pseudo = source.packed + target.packed + struct.pack("!IHBB", len(body), 0, 0, protocol)
    return body[:at] + struct.pack("!H", checksum(pseudo + body)) + body[at + 2 :]


def _ip(source: Address, target: Address, protocol: int, body: bytes, hops: int) -> bytes:
    if target.version == 6:
        head = struct.pack("!IHBB", 6 << 28 | TAG, len(body), protocol, hops)
        return head + source.packed + target.packed + body
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), TAG, 0, hops, protocol, 0)
    head += source.packed + target.packed
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body
