"""What is shot: every packet that must get nowhere, and those that must. Pure.

One function for each family; together they are what a Machine with CAP_NET_RAW could try.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv6Address

from roost.canary import wire
from roost.canary.base import Attempt, Means, Subject
from roost.canary.shots import At, Book, Spot, Towards
from roost.canary.wire import Address
from roost.model.addresses import probe_flycast
from roost.network.base import Attachment
from roost.network.names import UplinkAddresses
from roost.network.uplink import NEXT_HOP6

Make = Callable[[bytes, int], bytes]
"""Builds a packet from a mark and a source port."""

METADATA = IPv4Address("169.254.169.254")
"""Where clouds hand out credentials."""
NOBODY4 = IPv4Address("172.31.255.255")
"""In the pool of Machine addresses, and never given out."""
NOBODY6 = IPv6Address("fdaa:ffff:ffff::3")
"""In the prefix of all networks."""
ALL_NODES = IPv6Address("ff02::1")
LINK_LOCAL = IPv6Address("fe80::2")
GLOBAL6, GLOBAL4 = IPv6Address("2001:db8::1"), IPv4Address("203.0.113.9")
STRANGER = b"\x02evil!"
"""A link-layer address that nobody has."""
PORT = 9
"""Discard; nothing of Roost listens there."""
_SSH, _DNS = 22, 53
LEAVE = "leave by the uplink, behind its address"
_TO_THE_HOST = 2
"""Hops: it comes as far as the host and is not sent on, should it leave at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """A network's way out as it is: its addresses, and whether IPv6 goes there too."""

    addresses: UplinkAddresses
    ip6: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A network with its probe points attached."""

    subject: Subject
    first: Attachment
    second: Attachment
    ways: Ways | None

    @property
    def id(self) -> int:
        """The network's id."""
        return self.subject.id

    @property
    def flycast(self) -> IPv6Address:
        """A Flycast address that no app has."""
        return probe_flycast(self.id)

    @property
    def start(self) -> Spot:
        """Where attempts start."""
        return Spot(At.POINT, self.id, 0)

    @property
    def victim(self) -> Spot:
        """The second probe point."""
        return Spot(At.POINT, self.id, 1)

    @property
    def stack(self) -> Spot:
        """The router's own network stack."""
        return Spot(At.STACK, self.id)

    @property
    def host_end(self) -> Spot:
        """The host's end of the uplink."""
        return Spot(At.HOST_END, self.id)

    @property
    def uplink(self) -> Spot:
        """The router's end of the uplink."""
        return Spot(At.UPLINK, self.id)

    @property
    def host_addresses(self) -> list[Address]:
        """Those of the host's end: what leaves may be sent to them without going further."""
        if self.ways is None:
            return []
        return [self.ways.addresses.host4, *([self.ways.addresses.host6] if self.ways.ip6 else [])]

    def me(self, version: int) -> Address:
        """The first probe point's address of an IP version."""
        return self.first.ip6.ip if version == 6 else self.first.ip4


class _Aim:
    """Notes shots from a field's first probe point."""

    def __init__(self, book: Book, field: Field) -> None:
        self._book = book
        self._field = field

    def want(
        self, what: str, to: Address, means: Means, make: Make, *, goal: Spot | None = None
    ) -> None:
        """It must arrive at `goal`, or without one be answered."""
        attempt = Attempt(what=what, network=self._field.id, to=str(to), means=means)
        self._book.add(attempt, self._field.start, make, wanted=True, goal=goal)

    def refuse(
        self, what: str, to: Address, means: Means, make: Make, *, may_pass: Iterable[Spot] = ()
    ) -> None:
        """It must arrive nowhere and not be answered."""
        attempt = Attempt(what=what, network=self._field.id, to=str(to), means=means)
        self._book.add(attempt, self._field.start, make, may_pass=may_pass)

    def refuse_all(
        self, what: str, to: Address, port: int, *, may_pass: Iterable[Spot] = ()
    ) -> None:
        """The same over UDP, TCP and ICMP."""
        for means, make in _each(self._field.me(to.version), to, port):
            self.refuse(what, to, means, make, may_pass=may_pass)


def controls(book: Book, field: Field) -> None:
    """What must get through, so that silence means something."""
    me, flycast, second = field.first.ip6.ip, field.flycast, field.second.ip6.ip
    gateway, dns = field.subject.router.gateway4, field.subject.router.dns
    want = _Aim(book, field).want
    want("ping a Flycast address", flycast, Means.ICMP, _ping(me, flycast))
    want("ping the router's own stack", flycast, Means.ICMP, _ping(me, flycast), goal=field.stack)
    want("be refused at a Flycast port nobody has", flycast, Means.TCP, _syn(me, flycast, PORT))
    for address in dns:
        want("ping a DNS address", address, Means.ICMP, _ping(me, address))
        want("open a connection to DNS", address, Means.TCP, _syn(me, address, _DNS))
    for address in (flycast, *dns):
        error = _error(me, address)
        want("send an ICMP error to the router", address, Means.ICMP, error, goal=field.stack)
    error = _error(field.first.ip4, gateway)
    want("send an ICMP error to the gateway", gateway, Means.ICMP, error, goal=field.stack)
    answer = _ack(field.first.ip4, gateway)
    want("answer a connection of the proxy", gateway, Means.TCP, answer)
    to_second = _datagram(me, second, PORT)
    want("reach a Machine of its network", second, Means.UDP, to_second, goal=field.victim)
    want("connect to a Machine of its network", second, Means.TCP, _syn(me, second, PORT))
    for host in field.host_addresses:
        out = _datagram(field.me(host.version), host, PORT)
        want(LEAVE, host, Means.UDP, out, goal=field.host_end)


def across(book: Book, field: Field, others: Sequence[Field]) -> None:
    """Other networks: their Machines, Flycast and DNS addresses, uplinks."""
    refuse = _Aim(book, field).refuse_all
    for other in others:
        dns = other.subject.router.dns[-1]
        refuse(f"reach a Flycast address of network {other.id}", other.flycast, PORT)
        refuse(f"reach DNS of network {other.id}", dns, _DNS)
        real = [machine.ip6 for machine in other.subject.machines]
        for target in (other.first.ip6.ip, other.second.ip6.ip, *real):
            refuse(f"reach a Machine of network {other.id}", target, PORT)
        for end in _uplink_ends(field, other):
            what = f"reach the uplink of network {other.id}"
            refuse(what, end, PORT, may_pass=(field.host_end,))


def around(book: Book, field: Field) -> None:
    """The own network's IPv4, the gateway, and addresses nobody has or nobody may reach."""
    router, aim = field.subject.router, _Aim(book, field)
    refuse = aim.refuse
    others4 = [machine.ip4 for machine in field.subject.machines]
    for target4 in (field.second.ip4, *others4):
        aim.refuse_all("reach another Machine's IPv4 address", target4, PORT)
    for port in (PORT, _SSH, _DNS):
        aim.refuse_all("reach something at the gateway", router.gateway4, port)
    datagram = _datagram(field.me(6), router.dns[-1], PORT)
    refuse("reach the router by UDP", router.dns[-1], Means.UDP, datagram)
    closed = _syn(field.me(6), router.dns[-1], _SSH)
    refuse("reach a port that is not DNS", router.dns[-1], Means.TCP, closed)
    target: Address
    for target in (METADATA, NOBODY4, NOBODY6):
        out = _datagram(field.me(target.version), target, PORT, hops=_TO_THE_HOST)
        refuse("send to an address that must not leave", target, Means.UDP, out)
    for target in (NEXT_HOP6, ALL_NODES, IPv6Address("::1"), IPv4Address("127.0.0.1")):
        ping = _ping(field.me(target.version), target)
        refuse("reach the router by a link-local or loopback address", target, Means.ICMP, ping)


def at_the_host(
    book: Book, field: Field, addresses: Iterable[Address], ports: Sequence[int]
) -> None:
    """The host's own addresses and ports; any answer, a refusal too, comes from the host."""
    aim = _Aim(book, field)
    for target in dict.fromkeys([*field.host_addresses, *addresses]):
        for port in dict.fromkeys([*ports, _SSH]):
            what = "reach a port of the host"
            aim.refuse_all(what, target, port, may_pass=(field.host_end,))


def forged(book: Book, field: Field, others: Sequence[Field]) -> None:
    """Sources that are not one's own: towards a Machine, the router, the uplink."""
    router, second = field.subject.router, field.second
    real, strangers = field.subject.machines[:1], [other.first.ip6.ip for other in others[:2]]
    sources: list[Address] = [second.ip6.ip, field.flycast, router.dns[-1], *strangers]
    sources += [LINK_LOCAL, NEXT_HOP6, GLOBAL6, IPv6Address("::1")]
    sources += [second.ip4, router.gateway4, GLOBAL4]
    sources += [address for machine in real for address in (machine.ip6, machine.ip4)]
    for source in sources:
        refuse = partial(_Aim(book, field).refuse, f"send with the source {source}")
        if source.version == 6:
            target = second.ip6.ip
            refuse(target, Means.UDP, _datagram(source, target, PORT))
            refuse(field.flycast, Means.ICMP, _ping(source, field.flycast))
        else:
            refuse(router.gateway4, Means.ICMP, _error(source, router.gateway4))
            refuse(router.gateway4, Means.TCP, _ack(source, router.gateway4))
        for host in field.host_addresses:
            if host.version == source.version:
                refuse(host, Means.UDP, _datagram(source, host, PORT))


def discovery(book: Book, field: Field) -> None:
    """Neighbour discovery and ARP, by which the other end of a link could be lied to.

    What has the own source and goes to another Machine arrives there, forwarded, and is not
    believed; that is shown by the neighbour tables afterwards.
    """
    me, second, dns = field.first.ip6.ip, field.second.ip6.ip, field.subject.router.dns[-1]
    for source in (me, LINK_LOCAL, NEXT_HOP6):
        for target in (ALL_NODES, dns, NEXT_HOP6, second):
            towards = Towards.ALL_NODES if target == ALL_NODES else Towards.NEIGHBOUR
            may_pass = (field.victim,) if (source, target) == (me, second) else ()
            for what, make in _lies(source, target, second):
                attempt = Attempt(what=what, network=field.id, to=str(target), means=Means.ICMP)
                book.add(attempt, field.start, make, towards=towards, may_pass=may_pass)
    gateway = field.subject.router.gateway4
    _arp(book, field, 1, field.first.ip4, gateway)
    _arp(book, field, 2, field.second.ip4, gateway)
    _arp(book, field, 2, gateway, field.second.ip4)


def from_outside(book: Book, field: Field) -> None:
    """Packets that come in by the uplink and belong to nothing that was sent."""
    if field.ways is None:
        return
    addresses, router = field.ways.addresses, field.subject.router
    pairs: list[tuple[Address, Address]] = [
        (addresses.host4, target)
        for target in (field.first.ip4, addresses.router4, router.gateway4)
    ]
    if field.ways.ip6:
        targets6 = (field.first.ip6.ip, addresses.router6, field.flycast, router.dns[-1])
        pairs += [(addresses.host6, target) for target in targets6]
    for source, target in pairs:
        for means, make in _each(source, target, PORT):
            what = "be reached from outside by what nobody asked for"
            attempt = Attempt(what=what, network=field.id, to=str(target), means=means)
            book.add(attempt, field.host_end, make, may_pass=(field.uplink,))


def replies(book: Book, field: Field, left: Iterable[wire.Packet]) -> None:
    """What the host's end answers to datagrams seen leaving: it has to come in."""
    for packet in left:
        what = "hear an answer from outside"
        attempt = Attempt(what=what, network=field.id, to=str(packet.target), means=Means.UDP)
        make = _answer(packet)
        book.add(attempt, field.host_end, make, wanted=True, goal=field.start)


def _each(source: Address, target: Address, port: int) -> Iterator[tuple[Means, Make]]:
    yield Means.UDP, _datagram(source, target, port)
    yield Means.TCP, _syn(source, target, port)
    yield Means.ICMP, _ping(source, target)


def _lies(
    source: IPv6Address, target: IPv6Address, victim: IPv6Address
) -> Iterator[tuple[str, Make]]:
    """Neighbour discovery messages about a victim, each with what it claims."""
    advertise = partial(wire.router_advertisement, source, target, STRANGER)
    yield "advertise itself as a router", lambda mark, _: advertise(mark)
    claim = partial(wire.neighbour_advertisement, source, target, victim, STRANGER)
    yield "claim another's address", lambda mark, _: claim(mark)
    ask = partial(wire.neighbour_solicitation, source, target, NEXT_HOP6, STRANGER)
    yield "claim an address by asking for another", lambda mark, _: ask(mark)
    bend = partial(wire.redirect, source, target, victim)
    yield "redirect another's packets", lambda mark, _: bend(mark)


def _arp(
    book: Book, field: Field, operation: int, claimed: IPv4Address, asked: IPv4Address
) -> None:
    what = "have ARP answered" if operation == 1 else "claim another's IPv4 address"
    attempt = Attempt(what=what, network=field.id, to=str(asked), means=Means.ARP)
    packet = wire.arp(operation, STRANGER, claimed, asked)
    book.add(attempt, field.start, lambda _mark, _port: packet, towards=Towards.EVERYBODY)


def _uplink_ends(field: Field, other: Field) -> list[Address]:
    """Both ends of another network's uplink, as far as the own one could lead there."""
    if field.ways is None or other.ways is None:
        return []
    there = other.ways.addresses
    ends6 = [there.router6, there.host6] if field.ways.ip6 and other.ways.ip6 else []
    return [there.router4, there.host4, *ends6]


def _datagram(source: Address, target: Address, port: int, *, hops: int = 64) -> Make:
    return lambda mark, sport: wire.udp(source, target, sport, port, mark, hops=hops)


def _syn(source: Address, target: Address, port: int) -> Make:
    return lambda mark, sport: wire.tcp(source, target, sport, port, mark, flags=wire.SYN)


def _ack(source: Address, target: Address) -> Make:
    return lambda mark, sport: wire.tcp(source, target, sport, PORT, mark, flags=wire.ACK)


def _ping(source: Address, target: Address) -> Make:
    return lambda mark, _: wire.echo(source, target, mark)


def _error(source: Address, target: Address) -> Make:
    return lambda mark, _: wire.unreachable(source, target, mark)


def _answer(packet: wire.Packet) -> Make:
    ends = (packet.target, packet.source, packet.dport, packet.sport)
    return lambda mark, _: wire.udp(*ends, mark)
