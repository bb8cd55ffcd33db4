"""What the canary is to look at, from the store and from what runs here.

Everything is bounded: what is too much for one run, the next ones take (`turn` counts runs).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from roost.canary.base import Inhabitant, Name, Neighbour, Subject
from roost.model.addresses import machine_ipv4
from roost.model.records import Address, App, Machine, Network
from roost.network.addressed import router_of
from roost.runtime.base import ContainerState, Observed
from roost.store.base import Store

T = TypeVar("T")

MAX_NETWORKS = 16
MAX_INHABITANTS = 64
_MACHINES = 3
"""Real Machines of a network whose addresses are tried."""
_APPS = 2
"""Apps of a network whose names are asked for in other networks."""
_NAMED = 8
"""Networks whose apps are asked for in one."""


def part(items: Sequence[T], most: int, turn: int) -> list[T]:
    """At most `most` of the items, another part each turn, all of them in the end. Pure."""
    if len(items) <= most:
        return list(items)
    start = turn * most % len(items)
    return [items[(start + offset) % len(items)] for offset in range(most)]


def subjects(store: Store, networks: Sequence[int], host: int) -> tuple[Subject, ...]:
    """The networks as they are stored; one that the store does not know is left out."""
    apps = {network: _apps(store, network) for network in networks}
    found = []
    for network in networks:
        stored = store.find(Network, "id", str(network))
        if not stored:
            continue
        others = [number for number in networks if number != network][:_NAMED]
        found.append(
            Subject(
                router=router_of(network, egress=stored[0].record.egress),
                host=host,
                machines=_machines(store, network),
                names=tuple(
                    name
                    for number in others
                    for app in apps[number]
                    for name in _unknown(store, app, network)
                ),
            )
        )
    return tuple(found)


def inhabitants(
    observed: Iterable[Observed], attached: Mapping[str, tuple[Path, int]], turn: int
) -> tuple[Inhabitant, ...]:
    """Running Machines, with the pids of their main processes. Pure."""
    alive = {ContainerState.RUNNING, ContainerState.FROZEN}
    found = [
        Inhabitant(item.id, attached[item.id][1], item.pid)
        for item in observed
        if item.pid and item.state in alive and item.id in attached
    ]
    return tuple(part(found, MAX_INHABITANTS, turn))


def _machines(store: Store, network: int) -> tuple[Neighbour, ...]:
    found = store.find(Machine, "network", str(network), limit=_MACHINES)
    return tuple(
        Neighbour(item.record.private_ip, machine_ipv4(item.record.ipv4)) for item in found
    )


def _apps(store: Store, network: int) -> list[str]:
    found = store.find(App, "network", str(network), limit=_APPS)
    return [item.record.name for item in found]


def _unknown(store: Store, app: str, network: int) -> list[Name]:
    """The names of another network's app that this network must not know."""
    names = [Name(f"{app}.internal", exists=False)]
    addresses = store.find(Address, "app", app)
    if all(item.record.network_id != network for item in addresses):
        names.append(Name(f"{app}.flycast", exists=False))
    return names
