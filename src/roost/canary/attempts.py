"""One run of attempts, from fields whose probe points are attached. Blocks; runs on a worker."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from roost.canary import calls, files, state, volleys
from roost.canary.base import Attempt, Means, Name, Outcome, Task
from roost.canary.gallery import Gallery, one_cpu
from roost.canary.ground import Ground, Traveller
from roost.canary.shots import Book, Capture
from roost.canary.tracked import is_tracked
from roost.canary.volleys import Field
from roost.canary.wire import TCP, UDP, Marks, Packet

MAX_OTHERS = 8
"""Networks that one is shot at from in one run; later runs take the others."""
_MAX_HOST_ADDRESSES = 8
_NAME_SECONDS = 0.2
_ZONE = "internal"
"""A name that every network's DNS knows."""


class Attempts:
    """Everything that is tried in one run. Raises UnavailableError and OSError."""

    def __init__(self, ground: Ground, task: Task, fields: Sequence[Field], marks: Marks) -> None:
        self._ground = ground
        self._task = task
        self._fields = fields
        self._book = Book(marks)
        self._captures: list[Capture] = []

    def outcomes(self) -> list[Outcome]:
        """Try everything; one outcome for each attempt."""
        with Traveller(self._ground) as traveller:
            before = {field.id: self._tables(traveller, field) for field in self._fields}
            found = list(self._shoot(traveller))
            for field in self._fields:
                found += self._believed(before[field.id], self._tables(traveller, field), field)
                found += self._router_calls(traveller, field)
                found += self._point_calls(traveller, field)
            found += self._files()
        return found

    # Packets

    def _shoot(self, traveller: Traveller) -> Iterator[Outcome]:
        traveller.to_host()
        addresses = state.addresses(_MAX_HOST_ADDRESSES)
        with one_cpu(), Gallery(traveller, self._book.marks) as gallery:
            for field in self._fields:
                gallery.open(field)
            for field in self._fields:
                others = self._others(field)
                volleys.controls(self._book, field)
                volleys.across(self._book, field, others)
                volleys.around(self._book, field)
                volleys.at_the_host(self._book, field, addresses, self._task.ports)
                volleys.forged(self._book, field, others)
                volleys.discovery(self._book, field)
            yield from self._volley(gallery, 0)
            first = len(self._book.shots)
            for field in self._fields:
                left = self._left(field)
                yield from _hidden(field, left)
                volleys.replies(self._book, field, left)
                volleys.from_outside(self._book, field)
            yield from self._volley(gallery, first)
        yield from self._book.outcomes(self._captures)

    def _volley(self, gallery: Gallery, first: int) -> Iterator[Outcome]:
        """Fire from a shot on, a network at a time, and collect what is seen."""
        for field in self._fields:
            mine = [shot for shot in self._book.shots[first:] if shot.start.network == field.id]
            failed = gallery.fire(mine)
            what = "send from all links"
            yield _outcome(
                what, field, field.start, Means.KERNEL, wanted=True, ok=not failed, how=failed
            )
            ok = gallery.settled(field)
            what = "ping a Flycast address after all attempts"
            yield _outcome(what, field, field.flycast, Means.ICMP, wanted=True, ok=ok)
            self._captures += gallery.captures()

    def _others(self, field: Field) -> list[Field]:
        others = [other for other in self._fields if other is not field]
        if len(others) <= MAX_OTHERS:
            return others
        start = self._task.turn * MAX_OTHERS % len(others)
        return (others + others)[start : start + MAX_OTHERS]

    def _left(self, field: Field) -> list[Packet]:
        """The datagrams of controls that were seen leaving by the uplink."""
        shots = self._book.shots
        return [
            packet
            for spot, packet, mark in self._captures
            if spot == field.host_end
            and mark is not None
            and packet.protocol == UDP
            and shots[mark].attempt.what == volleys.LEAVE
            and shots[mark].attempt.network == field.id
        ]

    # What is left in tables

    def _tables(self, traveller: Traveller, field: Field) -> dict[str, frozenset[str]]:
        ground = self._ground
        places = {
            "the router": ground.router(field.id),
            "another Machine": ground.machine(field.second.machine_id),
        }
        found = {}
        for name, path in places.items():
            traveller.to(path)
            found[name] = state.tables()
        return found

    def _believed(
        self,
        before: dict[str, frozenset[str]],
        after: dict[str, frozenset[str]],
        field: Field,
    ) -> Iterator[Outcome]:
        for name, lines in before.items():
            changed = sorted(lines ^ after[name])
            what = f"change routes or neighbours of {name} by what it sends"
            how = ", ".join(f"`{line}`" for line in changed[:3])
            yield _outcome(what, field, name, Means.KERNEL, wanted=False, ok=bool(changed), how=how)

    # Calls

    def _router_calls(self, traveller: Traveller, field: Field) -> Iterator[Outcome]:
        """What the proxy does in the router's namespace, and that none of it is tracked."""
        traveller.to(self._ground.router(field.id))
        until = time.monotonic() + self._ground.patience
        to_point = calls.Connecting(field.first.ip4, volleys.PORT)
        to_self = calls.Connecting(field.flycast, volleys.PORT)
        reached, reached_self = to_point.finish(until), to_self.finish(until)
        what = "be reached from the proxy's side over IPv4"
        yield _outcome(what, field, field.first.ip4, Means.TCP, wanted=True, ok=reached.ok)
        what = "reach the router's own addresses from within the router"
        yield _outcome(what, field, field.flycast, Means.TCP, wanted=True, ok=reached_self.ok)
        own = [reached.packet] if reached.packet is not None else []
        for packet in [*own, *self._untracked(field)]:
            tracked = is_tracked(packet)
            if tracked is not None:
                means = Means.TCP if packet.protocol == TCP else Means.UDP
                what = "pass without connection tracking"
                yield _outcome(what, field, packet.target, means, wanted=True, ok=not tracked)

    def _untracked(self, field: Field) -> list[Packet]:
        return [
            shot.packet
            for shot in self._book.shots
            if shot.wanted
            and shot.start == field.start
            and shot.goal != field.host_end
            and shot.packet.protocol in {TCP, UDP}
        ]

    def _point_calls(self, traveller: Traveller, field: Field) -> Iterator[Outcome]:
        name = f"roost-canary-{self._book.marks.run.hex()}"
        traveller.to_host()
        with calls.abstract_listener(name):
            heard = calls.abstract_connects(name)
            traveller.to(self._ground.machine(field.first.machine_id))
            through = calls.abstract_connects(name)
        what = "reach an abstract Unix socket from the host itself"
        yield _outcome(what, field, f"@{name}", Means.UNIX, wanted=True, ok=heard)
        what = "reach an abstract Unix socket of the host"
        yield _outcome(what, field, f"@{name}", Means.UNIX, wanted=False, ok=through)
        for port in self._task.ports:
            what = "reach a loopback port of the host"
            ok = calls.loopback_connects(port)
            yield _outcome(what, field, f"127.0.0.1:{port}", Means.TCP, wanted=False, ok=ok)
        yield from self._names(field)

    def _names(self, field: Field) -> Iterator[Outcome]:
        common, own = field.subject.router.dns
        control = Name(_ZONE, exists=True)
        answered = calls.ask(common, [control], self._ground.patience)[_ZONE]
        yield _outcome("ask DNS", field, common, Means.DNS, wanted=True, ok=answered is True)
        found = {**calls.ask(own, [control, *field.subject.names], self._ground.patience)}
        leaked = [name for name in field.subject.names if found[name.text] and not name.exists]
        if leaked:
            # A name that was released a moment ago may still be known; a leak stays one.
            time.sleep(_NAME_SECONDS)
            found |= calls.ask(own, leaked, self._ground.patience)
        for name in (control, *field.subject.names):
            exists = found[name.text]
            if name.exists or exists is None:
                what = f"ask {own} for a name"
                ok = exists is not None and exists is name.exists
                yield _outcome(what, field, name.text, Means.DNS, wanted=True, ok=ok)
            else:
                what = "learn a name of another network"
                yield _outcome(what, field, name.text, Means.DNS, wanted=False, ok=exists)

    # Files

    def _files(self) -> Iterator[Outcome]:
        home = self._ground.home
        for item in self._task.inhabitants:
            netns = self._ground.machine(item.machine)
            for path, how in files.seen_by(item.pid, netns, files.secrets_of(home)):
                attempt = Attempt(
                    what=f"see a file of Roost's in Machine {item.machine}",
                    network=item.network,
                    to=str(path),
                    means=Means.FILE,
                )
                yield Outcome(attempt=attempt, wanted=False, happened=bool(how), how=how)


def _hidden(field: Field, left: Sequence[Packet]) -> Iterator[Outcome]:
    """Whether what left had the uplink's source address."""
    assert field.ways is not None or not left
    for packet in left:
        assert field.ways is not None
        ends = field.ways.addresses
        mine = ends.router6 if packet.source.version == 6 else ends.router4
        how = "" if packet.source == mine else f"it left with the source {packet.source}"
        what = "show its private address beyond the uplink"
        yield _outcome(what, field, packet.target, Means.UDP, wanted=False, ok=bool(how), how=how)


def _outcome(
    what: str, field: Field, to: object, means: Means, *, wanted: bool, ok: bool, how: str = ""
) -> Outcome:
    attempt = Attempt(what=what, network=field.id, to=str(to), means=means)
    return Outcome(attempt=attempt, wanted=wanted, happened=ok, how=how)
