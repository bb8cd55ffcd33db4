"""Shots: packets to be sent from somewhere, and where they may and must be seen. Pure.

A shot is judged by sightings: as itself at a spot where packets are captured, or by an answer of
its target. See `volleys.py` for what is shot, `gallery.py` for how.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from roost.canary import wire
from roost.canary.base import Attempt, Outcome


class At(StrEnum):
    """Kinds of spots at which packets are sent or seen."""

    POINT = "a probe point"
    """The eth0 of a probe point: what comes in over its link."""
    STACK = "the router itself"
    """Behind the router's filter: what its own network stack takes in of ICMP."""
    UPLINK = "the router's uplink"
    """The router's end: what comes in from the host, before any filter."""
    HOST_END = "the host's end of the uplink"
    """What comes out of the router towards the host, before any filter."""


@dataclass(frozen=True, slots=True)
class Spot:
    """One spot of one network; `point` numbers probe points."""

    at: At
    network: int
    point: int = 0

    def __str__(self) -> str:
        """In words."""
        return f"{self.at} of network {self.network}"


class Towards(StrEnum):
    """Which link-layer address a frame is sent to."""

    NEIGHBOUR = "neighbour"
    """The other end of the link, whoever that is."""
    ALL_NODES = "all nodes"
    EVERYBODY = "everybody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One packet. For a control `goal` is where it must be seen, or None where its target must
    answer; `may_pass` are the spots at which another's sighting is no breach.
    """

    attempt: Attempt
    start: Spot
    data: bytes
    packet: wire.Packet
    towards: Towards = Towards.NEIGHBOUR
    wanted: bool = False
    goal: Spot | None = None
    may_pass: frozenset[Spot] = frozenset()


class Sight(StrEnum):
    """What a captured packet is to a shot."""

    ITSELF = "arrived at"
    ANSWER = "was answered, seen at"
    ERROR = "was refused, seen at"


Capture = tuple[Spot, wire.Packet, int | None]
"""Where, what, and the index of its mark (None: it carries none)."""


@dataclass(slots=True)
class Book:
    """The shots of a run, in order of being sent; the index of a shot is what its mark says."""

    marks: wire.Marks
    shots: list[Shot] = field(default_factory=list)

    def add(
        self,
        attempt: Attempt,
        start: Spot,
        make: Callable[[bytes, int], bytes],
        *,
        towards: Towards = Towards.NEIGHBOUR,
        wanted: bool = False,
        goal: Spot | None = None,
        may_pass: Iterable[Spot] = (),
    ) -> None:
        """Note a shot; `make` builds its packet from a mark and a source port of its own."""
        index = len(self.shots)
        data = make(self.marks.mark(index), self.marks.port(index))
        packet = wire.read(data) or wire.read_arp(data)
        assert packet is not None
        self.shots.append(
            Shot(
                attempt=attempt,
                start=start,
                data=data,
                packet=packet,
                towards=towards,
                wanted=wanted,
                goal=goal,
                may_pass=frozenset(may_pass),
            )
        )

    def outcomes(self, captures: Iterable[Capture]) -> list[Outcome]:
        """One for each shot, from everything captured."""
        seen: defaultdict[int, list[tuple[Sight, Spot]]] = defaultdict(list)
        answers = _Answers(self.shots)
        for spot, packet, mark in captures:
            index = answers.index(spot, packet) if mark is None else mark
            if index is not None and index < len(self.shots):
                seen[index].append((_sight(self.shots[index], packet), spot))
        return [_outcome(shot, seen[index]) for index, shot in enumerate(self.shots)]


class _Answers:
    """Finds the shot that a packet without a mark answers: a TCP segment or an ARP reply."""

    def __init__(self, shots: list[Shot]) -> None:
        self._by_ends = {
            (shot.start.network, shot.packet.protocol, shot.packet.target, shot.packet.sport): index
            for index, shot in enumerate(shots)
            if shot.packet.protocol in {wire.TCP, wire.ARP}
        }

    def index(self, spot: Spot, packet: wire.Packet) -> int | None:
        return self._by_ends.get((spot.network, packet.protocol, packet.source, packet.dport))


def _sight(shot: Shot, packet: wire.Packet) -> Sight:
    mine = shot.packet
    if (packet.protocol, packet.kind) == (mine.protocol, mine.kind):
        return Sight.ITSELF
    if packet.is_error and packet.source != mine.target:
        return Sight.ERROR
    return Sight.ANSWER


def _outcome(shot: Shot, seen: list[tuple[Sight, Spot]]) -> Outcome:
    if shot.wanted:
        happened = any(_succeeds(shot, *each) for each in seen)
        missed = "its target did not answer" if shot.goal is None else f"{shot.goal} saw nothing"
        how = "" if happened else missed
    else:
        traces = [f"it {sight} {spot}" for sight, spot in seen if _betrays(shot, sight, spot)]
        happened, how = bool(traces), ", ".join(dict.fromkeys(traces))
    return Outcome(attempt=shot.attempt, wanted=shot.wanted, happened=happened, how=how)


def _succeeds(shot: Shot, sight: Sight, spot: Spot) -> bool:
    if shot.goal is None:
        return sight is Sight.ANSWER
    return sight is Sight.ITSELF and spot == shot.goal


def _betrays(shot: Shot, sight: Sight, spot: Spot) -> bool:
    return sight is Sight.ANSWER or (sight is Sight.ITSELF and spot not in shot.may_pass)
