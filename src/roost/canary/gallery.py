"""The shooting gallery: sends shots from their spots, and collects what is seen at all of them.

That something does *not* arrive is shown without waiting. The thread keeps to one CPU while it
shoots: a packet that crosses a veth waits in that CPU's queue behind those sent before it, hop by
hop, so once a ping sent afterwards has been answered, everything before it has gone as many hops.
The longest way a leak could take (to another network by the host, and back) has eight. (A host
that spreads received packets over its CPUs, by RPS on every new link, weakens this to very likely.)

Everything here blocks; it runs on a worker thread, which it leaves in some namespace.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar

from roost.canary.ground import Traveller
from roost.canary.shots import At, Capture, Shot, Spot
from roost.canary.spots import Fence, LinkWatch, StackWatch
from roost.canary.volleys import Field
from roost.canary.wire import Marks
from roost.network.machine import outer_mac
from roost.network.names import MACHINE_LINK, UPLINK_LINK, uplink_host_link
from roost.network.uplink import host_end_mac, router_end_mac

FENCE_ROUNDS = 5
"""Pings in a row, of two hops each."""

_libc = ctypes.CDLL(None)
C = TypeVar("C", LinkWatch, StackWatch, Fence)


class Gallery:
    """Sockets at every spot of some fields, for the thread that made it. Raises OSError."""

    def __init__(self, traveller: Traveller, marks: Marks) -> None:
        self._traveller = traveller
        self._marks = marks
        self._stack = ExitStack()
        self._links: dict[Spot, LinkWatch] = {}
        self._stacks: dict[Spot, StackWatch] = {}
        self._fences: dict[int, Fence] = {}

    def __enter__(self) -> Gallery:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def open(self, field: Field) -> None:
        """Put sockets at a field's spots."""
        travel, ground = self._traveller, self._traveller.ground
        for point, attachment in enumerate((field.first, field.second)):
            travel.to(ground.machine(attachment.machine_id))
            router = outer_mac(attachment)
            watch = LinkWatch(MACHINE_LINK, neighbour=router, tagged=False)
            self._links[Spot(At.POINT, field.id, point)] = self._closing(watch)
            if point == 0:
                fence = Fence(field.flycast, ground.patience)
                self._fences[field.id] = self._closing(fence)
        travel.to(ground.router(field.id))
        self._stacks[field.stack] = self._closing(StackWatch())
        if field.ways is not None:
            host, router = (end(field.ways.addresses) for end in (host_end_mac, router_end_mac))
            watch = LinkWatch(UPLINK_LINK, neighbour=host, tagged=True)
            self._links[field.uplink] = self._closing(watch)
            travel.to_host()
            link = uplink_host_link(ground.tag, field.id)
            watch = LinkWatch(link, neighbour=router, tagged=True)
            self._links[field.host_end] = self._closing(watch)

    def fire(self, shots: Iterable[Shot]) -> str:
        """Send shots, in order; "" or why one could not be sent (its link is down or gone)."""
        failed = ""
        for shot in shots:
            try:
                self._links[shot.start].send(shot.data, shot.packet.protocol, shot.towards)
            except OSError as error:
                failed = f"from {shot.start}: {error}"
        return failed

    def settled(self, field: Field) -> bool:
        """Return once all that was sent from a field has been handled; whether that is certain."""
        return self._fences[field.id].passed(FENCE_ROUNDS)

    def captures(self) -> Iterator[Capture]:
        """What was seen at all spots since the last look."""
        watches: dict[Spot, LinkWatch | StackWatch] = {**self._links, **self._stacks}
        for spot, watch in watches.items():
            for packet, data in watch.seen():
                yield spot, packet, self._marks.index(data)

    def _closing(self, opened: C) -> C:
        self._stack.callback(opened.close)
        return opened


@contextmanager
def one_cpu() -> Iterator[None]:
    """Keep the calling thread on the CPU it is on."""
    before = os.sched_getaffinity(0)
    here = _libc.sched_getcpu()
    if here in before:
        os.sched_setaffinity(0, {here})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
