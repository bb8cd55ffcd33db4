"""What a sighting says about a shot."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv6Address

from roost.canary import volleys, wire
from roost.canary.base import Attempt, Means, Neighbour, Subject
from roost.canary.points import points_of
from roost.canary.shots import At, Book, Spot
from roost.canary.volleys import Field, Ways
from roost.canary.wire import Marks, Packet
from roost.model.addresses import machine_ipv4, machine_prefix
from roost.network.addressed import router_of
from roost.network.names import uplink_addresses

ME, TARGET, ROUTER = (IPv6Address(f"fdaa:0:1::{n}") for n in (2, 5, 3))
START, VICTIM = Spot(At.POINT, 1), Spot(At.POINT, 2)
ATTEMPT = Attempt(what="reach it", network=1, to=str(TARGET), means=Means.TCP)


def book(*, wanted: bool = False, goal: Spot | None = None) -> Book:
    made = Book(Marks(b"run1"))
    made.add(
        ATTEMPT,
        START,
        lambda mark, port: wire.tcp(ME, TARGET, port, 9, mark, flags=wire.SYN),
        wanted=wanted,
        goal=goal,
    )
    return made


def reset(made: Book) -> Packet:
    mine = made.shots[0].packet
    return replace(
        mine,
        source=mine.target,
        target=mine.source,
        kind=wire.RST | wire.ACK,
        sport=mine.dport,
        dport=mine.sport,
    )


def unreachable(source: IPv6Address) -> Packet:
    return Packet(source=source, target=ME, protocol=wire.ICMP6, kind=wire.UNREACHABLE6)


def test_silence_and_refusal_are_fine() -> None:
    """Nothing seen, or an error from a router on the way, is what a forbidden shot should get."""
    made = book()
    assert not made.outcomes([])[0].happened
    assert not made.outcomes([(START, unreachable(ROUTER), 0)])[0].happened


def test_arriving_is_a_breach_except_where_it_may_pass() -> None:
    """A forbidden shot seen as itself anywhere betrays a way, unless the spot lies on its way."""
    made = book()
    (seen,) = made.outcomes([(VICTIM, made.shots[0].packet, 0)])
    assert (True, "it arrived at a probe point of network 2") == (seen.happened, seen.how)
    made.shots[0] = replace(made.shots[0], may_pass=frozenset({VICTIM}))
    assert not made.outcomes([(VICTIM, made.shots[0].packet, 0)])[0].happened


def test_any_answer_of_the_target_is_a_breach() -> None:
    """A reset carries no mark and is known by its ports; an error of the target's own counts."""
    made = book()
    assert made.outcomes([(START, reset(made), None)])[0].happened
    assert made.outcomes([(START, unreachable(TARGET), 0)])[0].happened


def test_others_packets_are_ignored() -> None:
    """What belongs to no shot, or to one that was never fired, changes nothing."""
    made = book()
    other = replace(reset(made), dport=1)
    assert not made.outcomes([(START, other, None), (START, other, 99)])[0].happened


def test_a_control_needs_its_answer_or_its_goal() -> None:
    """An answer is no arrival and an arrival no answer; elsewhere does not count."""
    answered = book(wanted=True)
    assert answered.outcomes([(START, reset(answered), None)])[0].happened
    assert not answered.outcomes([(VICTIM, answered.shots[0].packet, 0)])[0].happened
    arriving = book(wanted=True, goal=VICTIM)
    assert arriving.outcomes([(VICTIM, arriving.shots[0].packet, 0)])[0].happened
    (missed,) = arriving.outcomes([(START, reset(arriving), None)])
    assert (False, "a probe point of network 2 saw nothing") == (missed.happened, missed.how)


def field(network: int, *, egress: bool) -> Field:
    neighbour = Neighbour(machine_prefix(network, 2, network).ip, machine_ipv4(1))
    subject = Subject(router=router_of(network, egress=egress), host=2, machines=(neighbour,))
    first, second = points_of(subject)
    ways = Ways(addresses=uplink_addresses("0" * 8, network, network), ip6=True)
    return Field(subject=subject, first=first, second=second, ways=ways if egress else None)


def test_every_address_of_another_network_is_tried() -> None:
    """Machines (real ones too), Flycast, DNS and uplink of another network, by every means."""
    made = Book(Marks(b"run1"))
    mine, other = field(1, egress=True), field(2, egress=True)
    volleys.across(made, mine, [other])
    tried = {(shot.attempt.to, shot.attempt.means) for shot in made.shots}
    assert other.ways is not None
    ends = other.ways.addresses
    for address in (
        other.first.ip6.ip,
        other.second.ip6.ip,
        other.subject.machines[0].ip6,
        other.flycast,
        other.subject.router.dns[-1],
        ends.router4,
        ends.host4,
        ends.router6,
        ends.host6,
    ):
        for means in (Means.UDP, Means.TCP, Means.ICMP):
            assert (str(address), means) in tried
    assert not any(shot.wanted for shot in made.shots)


def test_every_kind_of_forged_source_is_tried() -> None:
    """Another Machine's (6PN and IPv4), another network's, Flycast, DNS, gateway, global ones."""
    made = Book(Marks(b"run1"))
    mine, other = field(1, egress=True), field(2, egress=False)
    volleys.forged(made, mine, [other])
    sources = {shot.packet.source for shot in made.shots}
    real = mine.subject.machines[0]
    assert sources >= {
        mine.second.ip6.ip,
        mine.second.ip4,
        real.ip6,
        real.ip4,
        other.first.ip6.ip,
        mine.flycast,
        mine.subject.router.dns[-1],
        mine.subject.router.gateway4,
        volleys.GLOBAL4,
        volleys.GLOBAL6,
    }
    assert {mine.first.ip6.ip, mine.first.ip4}.isdisjoint(sources)


def test_a_network_without_egress_has_nothing_beyond() -> None:
    """Without an uplink nothing is expected to leave, and nothing is sent in from outside."""
    made = Book(Marks(b"run1"))
    volleys.from_outside(made, field(1, egress=False))
    assert [] == made.shots
    volleys.controls(made, field(1, egress=False))
    assert volleys.LEAVE not in {shot.attempt.what for shot in made.shots}
