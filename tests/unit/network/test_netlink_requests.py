"""The bytes of rtnetlink requests, and what is read from answers."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from roost.network import rtnl
from roost.network.netlink import Answer, attribute, attributes


def test_attributes_are_padded_and_found_again() -> None:
    """What attribute() writes attributes() reads, whatever the lengths."""
    packed = b"".join(attribute(kind, bytes([kind]) * kind) for kind in range(1, 10))
    assert 0 == len(packed) % 4
    assert {kind: bytes([kind]) * kind for kind in range(1, 10)} == attributes(packed, 0)


def test_broken_attributes_end_the_list() -> None:
    """An attribute that claims to be shorter than its head does not loop or raise."""
    good = attribute(1, b"abcd")
    assert {1: b"abcd"} == attributes(good + struct.pack("=HH", 0, 7) + good, 0)
    assert {} == attributes(b"\x08", 0)


def test_link_ends_have_no_address_resolution() -> None:
    """Both ends of a pair are made with NOARP, in their groups and namespaces."""
    near = rtnl.LinkEnd(name="near", mac=b"\x02abcde", group=1)
    far = rtnl.LinkEnd(name="far", mac=b"\x02fghij", netns=9)
    body = rtnl.make_pair("link", near, far).body
    assert (0x80, 0x80) == struct.unpack_from("=II", body, 8)
    own = attributes(body, 16)
    assert (b"near\0", b"\x02abcde", struct.pack("=I", 1)) == (own[3], own[1], own[27])
    assert 28 not in own
    peer = attributes(attributes(attributes(own[18], 0)[2], 0)[1], 16)
    assert (b"far\0", b"\x02fghij", struct.pack("=i", 9)) == (peer[3], peer[1], peer[28])


def test_a_link_is_read_back() -> None:
    """Number, name, peer, group and note come from the answer; other answers are skipped."""
    body = struct.pack("=BxHiII", 0, 0, 5, 0, 0) + attribute(3, b"eth0\0")
    body += attribute(5, struct.pack("=i", 8)) + attribute(27, struct.pack("=I", 2))
    body += attribute(20, b"note\0") + attribute(16, b"\x06")
    expected = rtnl.Link(index=5, name="eth0", peer=8, group=2, alias="note", ready=True)
    assert [expected] == rtnl.read_links([Answer(kind=24, body=b""), Answer(kind=16, body=body)])


def test_pairs_point_at_each_other() -> None:
    """Two links are a pair only when each names the other."""
    one = rtnl.Link(index=2, name="a", peer=3, group=0, alias="", ready=False)
    two = rtnl.Link(index=3, name="b", peer=2, group=0, alias="", ready=False)
    other = rtnl.Link(index=3, name="c", peer=4, group=0, alias="", ready=False)
    assert one.is_pair_with(two)
    assert not one.is_pair_with(other)


def test_addresses_are_usable_at_once() -> None:
    """IPv6 addresses skip duplicate detection; no address brings a route of its own."""
    six = rtnl.add_address("x", 2, IPv6Address("fdaa::3"), 128).body
    assert struct.pack("=I", 0x202) == attributes(six, 8)[8]
    four = rtnl.add_address("x", 2, IPv4Address("172.16.0.1"), 32).body
    assert struct.pack("=I", 0x200) == attributes(four, 8)[8]


def test_routes() -> None:
    """Direct IPv4 routes have link scope, gateways are on-link, the Flycast one is local."""
    direct = rtnl.add_route("x", IPv4Network("172.16.0.2/32"), 3).body
    assert (2, 32, 253, 1, 0) == (*direct[:2], direct[6], direct[7], *direct[8:9])
    via = rtnl.add_route("x", IPv6Network("::/0"), 3, via=IPv6Address("fe80::1")).body
    assert (10, 0, 0, 1, 4) == (*via[:2], via[6], via[7], *via[8:9])
    local = rtnl.add_local_route("x", IPv6Network("fdaa:0:1:0:1::/80")).body
    assert (80, 255, 254, 2) == (local[1], local[4], local[6], local[7])


def test_only_a_route_that_leads_somewhere_counts() -> None:
    """read_route() skips unreachable entries, and tells those that an advertisement brought."""
    unreachable = bytes([10, 0, 0, 0, 254, 4, 0, 7, 0, 0, 0, 0])
    advertised = bytes([10, 64, 0, 0, 254, 9, 0, 1, 0, 0, 0, 0])
    assert rtnl.read_route([Answer(kind=24, body=unreachable)]) is None
    expected = rtnl.Route(length=64, advertised=True)
    assert expected == rtnl.read_route([Answer(kind=24, body=advertised)])
