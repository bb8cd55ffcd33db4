"""The kernel's state as lines, and what counts as drift."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from roost.canary.base import Drift
from roost.canary.calls import query, read_reply
from roost.canary.state import State, rules_drift
from roost.canary.survey import lasting
from roost.network import rtnl
from roost.network.described import described


def test_requests_describe_themselves() -> None:
    """What is asked of the kernel reads as the lines of what will be there."""
    names = {1: "lo", 4: "v1"}
    requests = [
        rtnl.add_address("", 1, IPv4Address("172.16.0.1"), 32),
        rtnl.add_local_route("", IPv6Network("fdaa:0:1:0:1::/80")),
        rtnl.refuse_route("", IPv4Network("169.254.0.0/16")),
        rtnl.add_route("", IPv4Network("0.0.0.0/0"), 4, via=IPv4Address("100.64.0.2")),
        rtnl.add_route("", IPv4Network("172.16.0.2/32"), 4, source=IPv4Address("172.16.0.1")),
        rtnl.add_neighbour("", 4, IPv6Address("fe80::1"), b"\x02\0\0\0\0\x01"),
        rtnl.bring_up("", 4),
    ]
    assert {
        "address 172.16.0.1/32 on lo",
        "route local fdaa:0:1:0:1::/80 dev lo table local",
        "route unreachable 169.254.0.0/16 table main",
        "route unicast 0.0.0.0/0 via 100.64.0.2 dev v1 table main",
        "route unicast 172.16.0.2/32 dev v1 source 172.16.0.1 table main",
        "neighbour fe80::1 at 02:00:00:00:00:01 on v1",
    } == described(requests, names)


def test_state_differs_in_both_directions() -> None:
    """What is missing and what nobody asked for are both drift; equal state is none."""
    assert State(frozenset("ab"), frozenset("ab")).drift(1) is None
    drift = State(frozenset("ac"), frozenset("ab")).drift(1)
    assert drift is not None
    assert (("b",), ("c",)) == (drift.missing, drift.unexpected)


def test_rules_differ_by_line() -> None:
    """A rule that moved, went or came is named."""
    assert rules_drift(1, "a\nb\n", "a\nb\n") is None
    drift = rules_drift(1, "a\nevil\n", "a\nb\n")
    assert drift is not None
    assert (("b",), ("evil",)) == (drift.missing, drift.unexpected)


def test_only_what_lasts_is_drift() -> None:
    """A Machine that was being attached at one look is no drift; what both looks saw is."""

    def drift(network: int, *missing: str) -> Drift:
        return Drift(network=network, what="routes", missing=missing)

    first = [drift(1, "a", "b"), drift(2, "c"), drift(3, "d")]
    second = [drift(1, "b", "x"), drift(3, "e")]
    assert [drift(1, "b")] == lasting(first, second)


def test_dns_messages() -> None:
    """A query is well formed; a reply says whether the name exists, or that nothing is known."""
    sent = query(7, "web.flycast")
    labels = b"\x03web\x07flycast\x00"
    assert b"\x00\x07\x01\x00\x00\x01" + bytes(6) + labels + b"\x00\x1c\x00\x01" == sent
    for code, exists in ((0, True), (3, False), (2, None)):
        assert (7, exists) == read_reply(b"\x00\x07\x81" + bytes([0x80 | code]) + bytes(8))
    assert (-1, None) == read_reply(b"short")
