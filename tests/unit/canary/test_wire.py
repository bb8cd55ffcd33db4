"""Packets: what is built is read back, and the mark is found wherever it ends up."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.canary import wire
from roost.canary.wire import Address, Marks, Packet

ENDS: list[tuple[Address, Address]] = [
    (IPv4Address("172.16.0.2"), IPv4Address("172.16.0.1")),
    (IPv6Address("fdaa:0:1::2"), IPv6Address("fdaa:0:1::3")),
]
MARKS = Marks(b"run1")


@pytest.mark.parametrize("ends", ENDS)
def test_what_is_built_is_read(ends: tuple[Address, Address]) -> None:
    """Addresses, protocol, ports and kind come back, and the mark is in it."""
    mark = MARKS.mark(7)
    built = {
        wire.udp(*ends, 1, 2, mark): (wire.UDP, 0, 1, 2),
        wire.tcp(*ends, 1, 2, mark, flags=wire.SYN): (wire.TCP, wire.SYN, 1, 2),
        wire.echo(*ends, mark): (
            (wire.ICMP4, wire.ECHO4, 0, 0) if ends[0].version == 4 else (wire.ICMP6, 128, 0, 0)
        ),
        wire.unreachable(*ends, mark): (
            (wire.ICMP4, 3, 0, 0) if ends[0].version == 4 else (wire.ICMP6, 1, 0, 0)
        ),
    }
    for data, (protocol, kind, sport, dport) in built.items():
        expected = Packet(
            source=ends[0],
            target=ends[1],
            protocol=protocol,
            kind=kind,
            sport=sport,
            dport=dport,
        )
        assert expected == wire.read(data)
        assert 7 == MARKS.index(data)


@pytest.mark.parametrize("ends", ENDS)
def test_sums_are_right(ends: tuple[Address, Address]) -> None:
    """A receiver that sums up header and message with their checksums gets zero."""
    for data in (wire.udp(*ends, 1, 2, b"odd"), wire.echo(*ends, b"m" * 16)):
        head = 20 if ends[0].version == 4 else 40
        protocol = data[9] if head == 20 else data[6]
        message = data[head:]
        if head == 20:
            assert 0 == wire.checksum(data[:20])
        if protocol == wire.ICMP4:
            assert 0 == wire.checksum(message)
        else:
            pseudo = data[head - 2 * len(ends[0].packed) : head]
            assert 0 == wire.checksum(
                pseudo + len(message).to_bytes(4, "big") + bytes([0, 0, 0, protocol]) + message
            )


def test_lies_carry_the_mark_in_an_option() -> None:
    """Neighbour discovery messages are whole (options in units of eight) and marked."""
    source, target, about = (IPv6Address(f"fdaa:0:1::{n}") for n in (2, 3, 4))
    mac, mark = b"\x02evil!", MARKS.mark(9)
    made = [
        wire.router_advertisement(source, target, mac, mark),
        wire.neighbour_advertisement(source, target, about, mac, mark),
        wire.neighbour_solicitation(source, target, about, mac, mark),
        wire.redirect(source, target, about, mark),
    ]
    kinds = [134, 136, 135, 137]
    heads = [16, 24, 24, 40]
    for data, kind, head in zip(made, kinds, heads, strict=True):
        packet = wire.read(data)
        assert packet is not None
        assert (wire.ICMP6, kind) == (packet.protocol, packet.kind)
        assert 255 == data[7], "receivers believe nothing that was forwarded"
        assert 9 == MARKS.index(data)
        options = data[40 + head :]
        while options:
            assert options[1] > 0
            assert 8 * options[1] <= len(options)
            options = options[8 * options[1] :]


def test_arp_is_read() -> None:
    """An ARP packet tells who claims what."""
    here, there = IPv4Address("172.16.0.1"), IPv4Address("172.16.0.2")
    packet = wire.read_arp(wire.arp(2, b"\x02evil!", here, there))
    assert Packet(source=here, target=there, protocol=wire.ARP, kind=2) == packet


def test_marks_of_other_runs_do_not_count() -> None:
    """A mark is known by the run that made it only, and by a whole one."""
    data = wire.udp(*ENDS[0], 1, 2, MARKS.mark(7))
    assert MARKS.index(data[:-1]) is None
    assert Marks(b"run2").index(data) is None


@given(st.binary(max_size=80), st.sampled_from([wire.read, wire.read_arp]))
def test_any_bytes_are_read_or_refused(data: bytes, read: Callable[[bytes], Packet | None]) -> None:
    """Whatever comes from a link gives a packet or None, never an exception."""
    assert read(data) is None or isinstance(read(data), Packet)


def test_ports_differ_between_neighbours_and_runs() -> None:
    """Attempts of one run have ports of their own; another run starts elsewhere."""
    ports = [MARKS.port(index) for index in range(40_000)]
    assert 40_000 == len(set(ports))
    assert all(20_000 <= port < 60_000 for port in ports)
    assert MARKS.port(0) != Marks(b"run2").port(0)
