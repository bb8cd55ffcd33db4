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
MAX_IPV4_INDEX = (1 << 20) - 4
_U32 = 1 << 32


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
    _check(host, "host number")
    _check(machine, "machine number")
    if host < FIRST_HOST:
        raise InvalidError(f"host number {host} is kept for Flycast addresses")
    base = int(network_prefix(network).network_address) | host << 48 | machine << 16
    return IPv6Interface((base | 2, 112))


def machine_ipv4(index: int) -> IPv4Address:
    """Private IPv4 number `index` (from 1, unique within its network): 172.16.0.1+index."""
    if not 1 <= index <= MAX_IPV4_INDEX:
        raise InvalidError(
            f"IPv4 number {index} is outside 1..{MAX_IPV4_INDEX}: the network is full",
            hint="destroy Machines of this network, or use another network",
        )
    return IPv4Address(_POOL4 + 1 + index)


def _check(number: int, what: str) -> None:
    if not 1 <= number < _U32:
        raise InvalidError(f"{what} {number} is outside 1..{_U32 - 1}")
