"""The kernel's state of routers and of the host, against the design's own requests and rules.

The reference is made by the same functions that make routers: requests to the kernel are read as
descriptions of what must be there, and rules are loaded into a namespace that is dropped at once.
Everything here blocks (some 10 ms for each router, most of it two runs of nft).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from roost.canary.base import Drift
from roost.canary.wire import Address
from roost.model.ids import is_probe
from roost.network import machine, nft, rtnl, sysctl, uplink
from roost.network.base import Router
from roost.network.described import described
from roost.network.names import (
    MACHINE_GROUP,
    UPLINK_GROUP,
    UPLINK_LINK,
    host_table,
    machine_of_link,
)
from roost.network.namespaces import unshare_network
from roost.network.netlink import Answer, Conversation, Request
from roost.network.router import SETTINGS, own_addresses
from roost.network.rules import (
    RESTORE_IPV4,
    RESTORE_IPV6,
    host_rules,
    ranges_rules,
    read_ranges,
    router_rules,
)

_RESTORE: Final = frozenset({RESTORE_IPV4, RESTORE_IPV6})
_ROUTES: Final = "routes, addresses, neighbours or settings"
_RULES: Final = "nftables rules"


@dataclass(frozen=True, slots=True)
class State:
    """What is in a namespace and what has to be, line by line."""

    found: frozenset[str]
    wanted: frozenset[str]

    def drift(self, network: int) -> Drift | None:
        """The difference, if there is one."""
        missing, unexpected = self.wanted - self.found, self.found - self.wanted
        if not missing and not unexpected:
            return None
        return Drift(
            network=network,
            what=_ROUTES,
            missing=tuple(sorted(missing)),
            unexpected=tuple(sorted(unexpected)),
        )


@dataclass(frozen=True, slots=True)
class Way:
    """The uplink a router has to have; `ends` is None where it has none, or a broken one."""

    wanted: bool
    ip6: bool
    ends: uplink.Ends | None


def router_state(router: Router, way: Way) -> State:
    """The state of the router whose namespace the thread is in. Raises UnavailableError.

    Each Machine link's note says what belongs to it: a link without a good one is unexpected.
    """
    with Conversation() as inside:
        links, messages = _everything(inside)
    names = {link.index: link.name for link in links}
    found = {*described(messages, names), *_settings(), *(_link(link) for link in links)}
    requests: list[Request] = own_addresses(router)
    wanted = {f"setting {name} = {value}" for name, value in SETTINGS.items()}
    wanted |= {"link lo of group 0"}
    if way.wanted:
        wanted.add(f"link {UPLINK_LINK} of group {UPLINK_GROUP}")
    if way.wanted and way.ends is not None:
        requests += uplink.router_side(way.ends, router.network_id, ip6=way.ip6)
    for link in links:
        if link.group == MACHINE_GROUP:
            requests += _requests_of(link, router)
            wanted.add(_link(link))
    return State(frozenset(found), frozenset(wanted) | described(requests, names))


def host_state(ways: dict[int, Way], *, forwards: bool, forwards6: bool) -> State:
    """What of the uplinks has to be in the host's namespace, in which the thread is.

    What else is there is the host's own business. Raises UnavailableError.
    """
    with Conversation() as inside:
        links, messages = _everything(inside)
    names = {link.index: link.name for link in links}
    found = described(messages, names) | _settings()
    wanted = set()
    if forwards:
        wanted.add(f"setting {sysctl.IP_FORWARD} = 1")
    if forwards6:
        wanted.add(f"setting {sysctl.IP6_FORWARDING} = 1")
    for network, way in ways.items():
        if way.ends is not None:
            requests = uplink.host_side(way.ends, network, ip6=way.ip6)
            wanted |= described(requests, names)
    return State(found & frozenset(wanted), frozenset(wanted))


def tables() -> frozenset[str]:
    """Addresses, routes and neighbours of the thread's namespace. Raises UnavailableError.

    Without those on links of real Machines, which come and go meanwhile.
    """
    with Conversation() as inside:
        links, messages = _everything(inside)
    names = {link.index: link.name for link in links}
    real = {link.name for link in links if link.group == MACHINE_GROUP and not _is_probes(link)}
    return frozenset(line for line in described(messages, names) if _about(line) not in real)


def addresses(most: int) -> list[Address]:
    """Addresses of the thread's namespace that reach beyond a link. Raises UnavailableError."""
    with Conversation() as inside:
        answers = inside.ask([rtnl.list_addresses("list the host's addresses")])
    lines = sorted(described(answers, {rtnl.LOOPBACK_INDEX: "lo"}))
    found = [ip_address(line.split()[1].split("/")[0]) for line in lines]
    return [address for address in found if not address.is_link_local][:most]


def rules_drift(network: int, found: str, wanted: str) -> Drift | None:
    """The difference of two listings by nft. Pure."""
    if found == wanted:
        return None
    lines = list(difflib.ndiff(wanted.splitlines(), found.splitlines()))
    return Drift(
        network=network,
        what=_RULES,
        missing=tuple(line[2:] for line in lines if line.startswith("- ")),
        unexpected=tuple(line[2:] for line in lines if line.startswith("+ ")),
    )


def wanted_router_rules(router: Router, found: str, *, egress: bool) -> str:
    """How nft lists a fresh router's rules, with those of the proxy for the port ranges that the
    found ones have. The thread is in an empty namespace afterwards.
    """
    script = router_rules(router, egress=egress, replace=False)
    ranges = read_ranges(found)
    if ranges:
        script += ranges_rules(router, ranges)
    return _reference(script, nft.listing)


def wanted_host_rules(tag: str, found: str) -> str:
    """How nft lists the host's table, with the notes for teardown that the found one has."""
    table = host_table(tag)
    notes = nft.read_chains(found).get(table, set()) & _RESTORE
    return _reference(host_rules(table, tag, frozenset(notes)), lambda: nft.listing(table))


def _reference(script: str, read: Callable[[], str]) -> str:
    unshare_network()
    nft.load("load rules to compare with", script)
    return read()


def _everything(inside: Conversation) -> tuple[list[rtnl.Link], list[Answer]]:
    step = "read the state of a namespace"
    links = rtnl.read_links(inside.ask([rtnl.list_links(step)]))
    dumps = (rtnl.list_addresses, rtnl.list_routes, rtnl.list_neighbours)
    return links, [answer for dump in dumps for answer in inside.ask([dump(step)])]


def _settings() -> frozenset[str]:
    return frozenset(f"setting {name} = {sysctl.read(name)}" for name in SETTINGS)


def _is_probes(link: rtnl.Link) -> bool:
    return is_probe(machine_of_link(link.name))


def _link(link: rtnl.Link) -> str:
    return f"link {link.name} of group {link.group}"


def _requests_of(link: rtnl.Link, router: Router) -> list[Request]:
    try:
        attachment = machine.noted(link.alias, router)
    except ValueError:
        return []
    return machine.outer_side(attachment, link.index)


def _about(line: str) -> str:
    """The link that a line is about, "" for none."""
    words = line.split()
    for before in ("dev", "on"):
        if before in words:
            return words[words.index(before) + 1]
    return ""
