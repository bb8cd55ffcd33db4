"""The nftables rules: one table in each router, one in the host's namespace. Pure text.

Routers know their Machine links by link group, so a router's rules never change when Machines
come and go. What a Machine may send is decided by these facts, not by lists of Machines:

- a source address counts only when the way back to it is the link it came from (`fib`);
- 6PN packets may pass between Machine links; IPv4 packets may not;
- of the router itself a Machine sees Flycast over TCP and UDP, DNS, ping, and the answers to the
  connections and datagrams the proxy sent it: datagrams only from where a socket is connected to.

A second table in a router is the proxy's own: it leads calls to port ranges at Flycast addresses
to the proxy's one listener for them, and decides nothing (crates/proxy/src/ranges.rs).

Links need no neighbour discovery (both ends are known, NOARP), so none is let in.
Connection tracking exists only in routers with egress, and there only for what leaves by it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from roost.network.base import Router
from roost.network.names import MACHINE_GROUP, UPLINK_GROUP, uplink_prefix

ROUTER_TABLE = "roost"
RANGES_TABLE = "roost_ranges"
RESTORE_IPV4 = "restore_ip_forward"
"""An empty chain of this name in the host's table says: forwarding was off before Roost."""
RESTORE_IPV6 = "restore_ip6_forwarding"

_RANGES: Final = re.compile(
    r"set (tcp|udp)_ports \{\s*type inet_service\s*flags interval\s*elements = \{([^}]*)\}"
)
_ICMP6_ERRORS = "{ destination-unreachable, packet-too-big, time-exceeded, parameter-problem }"
_ICMP4_ERRORS = "{ destination-unreachable, time-exceeded, parameter-problem }"


def router_rules(router: Router, *, egress: bool, replace: bool) -> str:
    """A script for `nft -f` that puts a router's whole table in place in one transaction.

    With `replace` it takes the place of one that may be there, for which the kernel waits some
    12 ms; a new namespace needs none.
    """
    chains = [_guard(egress=egress), _input(router), _forward(egress=egress)]
    if egress:
        chains.append(_egress())
    table = _table(ROUTER_TABLE, chains)
    return delete_table(ROUTER_TABLE) + table if replace else table


def host_rules(table: str, tag: str, restore: frozenset[str]) -> str:
    """A script for `nft -f` that puts the host's table in place: NAT for uplinks, nothing else.

    Nothing new goes into an uplink, be it from outside or from another uplink.

    `restore` names the empty chains that keep what teardown has to put back.
    """
    own = f'"{uplink_prefix(tag)}*"'
    chains = [
        f"""chain input {{
    type filter hook input priority filter; policy accept;
    iifname {own} drop
  }}""",
        f"""chain forward {{
    type filter hook forward priority filter; policy accept;
    oifname {own} ct state established,related accept
    oifname {own} drop
  }}""",
        f"""chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    iifname {own} masquerade
  }}""",
        *(f"chain {name} {{\n  }}" for name in sorted(restore)),
    ]
    return delete_table(table) + _table(table, chains)


def ranges_rules(router: Router, ports: Mapping[str, str]) -> str:
    """What the proxy loads into a router for port ranges; `ports` by `tcp` and `udp` as nft lists
    them. The daemon never loads it: it is what the canary compares with.
    """
    sets = [
        f"""set {protocol}_ports {{
    type inet_service; flags interval; elements = {{ {listed} }}
  }}"""
        for protocol, listed in sorted(ports.items())
    ]
    rules = "\n    ".join(
        f"ip6 daddr {router.flycast} {protocol} dport @{protocol}_ports tproxy ip6 to [::1]:1"
        for protocol in sorted(ports)
    )
    chain = f"""chain ranges {{
    type filter hook prerouting priority mangle; policy accept;
    {rules}
  }}"""
    return _table(RANGES_TABLE, [*sets, chain])


def read_ranges(listing: str) -> dict[str, str] | None:
    """The ports that the proxy's table leads to its listener, by protocol; None without a table."""
    if f"table inet {RANGES_TABLE} {{" not in listing:
        return None
    return {found[1]: " ".join(found[2].split()) for found in _RANGES.finditer(listing)}


def delete_table(table: str) -> str:
    """A script for `nft -f` that removes a table, also when there is none."""
    return f"table inet {table}\ndelete table inet {table}\n"


def _table(name: str, chains: list[str]) -> str:
    body = "\n  ".join(chains)
    return f"table inet {name} {{\n  {body}\n}}\n"


def _guard(*, egress: bool) -> str:
    untracked = "ip6 daddr fdaa::/16 notrack\n    ip daddr 172.16.0.0/12 notrack"
    return f"""chain from_machine {{
    fib saddr . iif oif missing drop
    {untracked if egress else ""}
  }}
  chain prerouting {{
    type filter hook prerouting priority raw; policy accept;
    iifgroup {MACHINE_GROUP} jump from_machine
  }}"""


def _input(router: Router) -> str:
    dns = ", ".join(str(address) for address in router.dns)
    flycast, gateway = router.flycast, router.gateway4
    return f"""chain machine_input {{
    ip6 daddr {flycast} meta l4proto {{ tcp, udp }} accept
    ip daddr {gateway} meta l4proto udp socket wildcard 0 accept
    ip daddr {gateway} tcp flags & (syn | ack) != syn accept
    ip6 daddr {{ {dns} }} udp dport 53 accept
    ip6 daddr {{ {dns} }} tcp dport 53 accept
    ip6 daddr {{ {flycast}, {dns} }} icmpv6 type echo-request accept
    ip6 daddr {{ {flycast}, {dns} }} icmpv6 type {_ICMP6_ERRORS} accept
    ip daddr {gateway} icmp type {_ICMP4_ERRORS} accept
  }}
  chain input {{
    type filter hook input priority filter; policy drop;
    iifgroup {MACHINE_GROUP} goto machine_input
    iif lo accept
  }}"""


def _forward(*, egress: bool) -> str:
    outside = f"""iifgroup {MACHINE_GROUP} oifgroup {UPLINK_GROUP} accept
    iifgroup {UPLINK_GROUP} oifgroup {MACHINE_GROUP} ct state established,related accept"""
    return f"""chain forward {{
    type filter hook forward priority filter; policy drop;
    meta nfproto ipv6 iifgroup {MACHINE_GROUP} oifgroup {MACHINE_GROUP} accept
    {outside if egress else ""}
  }}"""


def _egress() -> str:
    return f"""chain output {{
    type filter hook output priority raw; policy accept;
    oifgroup != {UPLINK_GROUP} notrack
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    oifgroup {UPLINK_GROUP} masquerade
  }}"""
