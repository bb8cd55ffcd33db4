"""The address plan: every address is a function of small numbers (DESIGN section 3).

| address      | form                                                     |
|--------------|----------------------------------------------------------|
| network      | fdaa:<32-bit network id>::/48                            |
| Machine, 6PN | fdaa:<net>:<32-bit host>:<32-bit machine>::/112, addr ::2 |
| Flycast      | fdaa:<net>:0:1::<n>, all inside fdaa:<net>:0:1::/80      |
| DNS          | fdaa::3 and fdaa:<net>::3                                |
| Machine IPv4 | 172.16.0.0/12, one /32 per Machine, unique in its network |

Pure. Numbers start at 1; host 1 is the first host, so no host field is `0:1`'s `0:1`: hosts are
numbered from 2 and 0:1 stays Flycast's.

The last numbers of each series belong to the canary's probe points (`roost.canary`), which are
attached to a network like Machines, and to nobody else: the functions for Machines refuse them.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Interface, IPv6Network

from roost.errors import InvalidError

FIRST_HOST = 2
"""Host number 1 would collide with the Flycast field `0:1`."""

DNS_EVERYWHERE = IPv6Address("fdaa::3")
GATEWAY4 = IPv4Address("172.16.0.1")
"""The router's side of every Machine's link; source of the proxy's upstream connections."""

_FDAA = 0xFDAA << 112
_POOL4 = int(IPv4Address("172.16.0.0"))
PROBE_POINTS = 2
"""How many probe points a network can have on one host, numbered from 0."""
_U32 = 1 << 32
MAX_MACHINE = _U32 - 1 - PROBE_POINTS
MAX_IPV4_INDEX = (1 << 20) - 3 - PROBE_POINTS


def network_prefix(network: int) -> IPv6Network:
    """The /48 of a network id (1 to 2**32-1). Raises InvalidError outside."""
    _check(network, "network id")
    return IPv6Network((_FDAA | network << 80, 48))


def network_dns(network: int) -> IPv6Address:
    """The network's own DNS address, `fdaa:<net>::3`."""
    return network_prefix(network)[3]


def flycast_prefix(network: int) -> IPv6Network:
    """The /80 in which all Flycast addresses of a network lie."""
    return IPv6Network((int(network_prefix(network).network_address) | 1 << 48, 80))


def flycast_address(network: int, number: int) -> IPv6Address:
    """Flycast address number n (from 1) of a network."""
    _check(number, "Flycast number")
    return flycast_prefix(network)[number]


def machine_prefix(network: int, host: int, machine: int) -> IPv6Interface:
    """A Machine's 6PN address with its /112: `fdaa:<net>:<host>:<machine>::2/112`."""
    _check(machine, "machine number", MAX_MACHINE)
    return _machine_prefix(network, host, machine)


def machine_ipv4(index: int) -> IPv4Address:
    """Private IPv4 number `index` (from 1, unique within its network): 172.16.0.1+index."""
    if not 1 <= index <= MAX_IPV4_INDEX:
        raise InvalidError(
            f"IPv4 number {index} is outside 1..{MAX_IPV4_INDEX}: the network is full",
            hint="destroy Machines of this network, or use another network",
        )
    return IPv4Address(_POOL4 + 1 + index)


def probe_prefix(network: int, host: int, point: int) -> IPv6Interface:
    """The 6PN address of a probe point (from 0), which no Machine can have."""
    _check_point(point)
    return _machine_prefix(network, host, MAX_MACHINE + 1 + point)


def probe_ipv4(point: int) -> IPv4Address:
    """The private IPv4 address of a probe point (from 0), the same in every network."""
    _check_point(point)
    return IPv4Address(_POOL4 + 2 + MAX_IPV4_INDEX + point)


def probe_flycast(network: int) -> IPv6Address:
    """A Flycast address that is never given out: its number does not fit the series."""
    return flycast_prefix(network)[_U32]


def _machine_prefix(network: int, host: int, machine: int) -> IPv6Interface:
    _check(host, "host number")
    if host < FIRST_HOST:
        raise InvalidError(f"host number {host} is kept for Flycast addresses")
    base = int(network_prefix(network).network_address) | host << 48 | machine << 16
    return IPv6Interface((base | 2, 112))


def _check(number: int, what: str, largest: int = _U32 - 1) -> None:
    if not 1 <= number <= largest:
        raise InvalidError(f"{what} {number} is outside 1..{largest}")


def _check_point(point: int) -> None:
    if not 0 <= point < PROBE_POINTS:
        raise InvalidError(f"probe point {point} is outside 0..{PROBE_POINTS - 1}")
