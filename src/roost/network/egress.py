"""The host's side of egress: whether there is an outside, forwarding, one nftables table.

Blocks; runs on a worker, in the host's namespace (the one the daemon lives in).
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path
from typing import Final

from roost.network import nft, rtnl, sysctl
from roost.network.names import host_table
from roost.network.netlink import Conversation
from roost.network.rules import RESTORE_IPV4, RESTORE_IPV6, delete_table, host_rules

_SOMEWHERE6: Final = IPv6Address("2000::1")
"""Any address of the global unicast space; only the routing table is asked about it."""
_KNOBS: Final = ((RESTORE_IPV4, sysctl.IP_FORWARD), (RESTORE_IPV6, sysctl.IP6_FORWARDING))
_TABLES_OF_ROOSTS: Final = host_table("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Egress:
    """What is possible: the reason why not, in words, or None where it is."""

    off: str | None
    off6: str | None


def prepare(tag: str) -> Egress:
    """Find out what is possible and put the host's side in place. Raises UnavailableError."""
    with Conversation() as host:
        links = rtnl.read_links(host.ask([rtnl.list_links("list the host's links")]))
        found = host.ask([rtnl.which_route("look for an IPv6 route", _SOMEWHERE6)])
    if without_root() and len(links) < 2:
        off = "Roost runs without root, in a network namespace that leads nowhere"
        return Egress(off=off, off6=off)
    off6 = _why_not_ip6(rtnl.read_route(found))
    wanted = {RESTORE_IPV4} if off6 else {RESTORE_IPV4, RESTORE_IPV6}
    table = host_table(tag)
    restore = _turn_on(wanted)
    nft.load("load the host's rules", host_rules(table, tag, restore))
    return Egress(off=None, off6=off6)


def undo(tag: str) -> None:
    """Remove the host's table; the last Roost of a host puts forwarding back as it was."""
    tables = nft.chains_by_table()
    chains = tables.pop(host_table(tag), None)
    if chains is None:
        return
    nft.load("remove the host's rules", delete_table(host_table(tag)))
    if any(name.startswith(_TABLES_OF_ROOSTS) for name in tables):
        return
    for marker, knob in _KNOBS:
        if marker in chains:
            sysctl.write(knob, "0")


def _turn_on(wanted: set[str]) -> frozenset[str]:
    """Turn forwarding on where it is off; the markers of what somebody has to turn off again.

    What another Roost (or an earlier run) turned on is noted by this one too.
    """
    tables = nft.chains_by_table()
    noted = {
        chain
        for name, chains in tables.items()
        if name.startswith(_TABLES_OF_ROOSTS)
        for chain in chains
    }
    restore = set()
    for marker, knob in _KNOBS:
        if marker not in wanted:
            continue
        if sysctl.read(knob) == "0":
            sysctl.write(knob, "1")
            restore.add(marker)
        elif marker in noted:
            restore.add(marker)
    return frozenset(restore)


def _why_not_ip6(route: rtnl.Route | None) -> str | None:
    if route is None:
        return "the host has no IPv6 route to the outside"
    if route.advertised and sysctl.read(sysctl.IP6_FORWARDING) == "0":
        return (
            "the host learns its IPv6 route from router advertisements, which it would ignore "
            "once it forwards (set accept_ra=2 on its link and net.ipv6.conf.all.forwarding=1)"
        )
    return None


def without_root() -> bool:
    """Whether Roost's root is only a user namespace's."""
    first = Path("/proc/thread-self/uid_map").read_text(encoding="ascii").split()
    return first != ["0", "0", "4294967295"]
