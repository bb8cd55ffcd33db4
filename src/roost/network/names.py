"""What Roost calls its files and links, and which addresses uplinks get. Pure.

A link's name has at most 15 characters. Links in the host's own namespace carry a tag made from
ROOST_HOME, so that two Roosts on one host never meet.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from roost.errors import InvalidError, UnavailableError

MACHINE_GROUP = 1
"""Link group of the router's ends of Machine links; nftables rules go by it."""
UPLINK_GROUP = 2
"""Link group of a router's way out."""
MACHINE_LINK = "eth0"
UPLINK_LINK = "uplink"
UPLINK_ANY_ROOST = "ru"
"""How the host's end of every uplink of every Roost begins."""

_MACHINE_ID = re.compile(r"[0-9a-z]{1,14}")
_UPLINK_POOL = int(IPv4Address("100.64.0.0"))
UPLINK_PAIRS = 1 << 21
"""How many /31 pairs 100.64.0.0/10 has (RFC 6598, shared address space)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UplinkAddresses:
    """Both ends of one uplink, and their IPv6 pendants."""

    host4: IPv4Address
    router4: IPv4Address
    host6: IPv6Address
    router6: IPv6Address


def home_tag(home: Path) -> str:
    """Eight hex digits that stand for a ROOST_HOME."""
    return hashlib.sha256(str(home).encode()).hexdigest()[:8]


def host_table(tag: str) -> str:
    """The nftables table of one Roost in the host's namespace."""
    return f"roost_{tag}"


def router_file(network_id: int) -> str:
    """File name of a router's namespace."""
    return f"n{network_id}"


def machine_file(machine_id: str) -> str:
    """File name of a Machine's namespace. Raises InvalidError for what is no Machine id."""
    if not _MACHINE_ID.fullmatch(machine_id):
        raise InvalidError(f"{machine_id!r} is not a Machine id")
    return f"m{machine_id}"


def machine_link(machine_id: str) -> str:
    """Name of a Machine's link in its router: one letter and the whole id just fit."""
    return f"v{machine_id}"


def machine_of_link(link: str) -> str:
    """The Machine id in the name of its link."""
    return link[1:]


def uplink_prefix(tag: str) -> str:
    """How the host's ends of one Roost's uplinks begin."""
    return f"{UPLINK_ANY_ROOST}{tag[:5]}"


def uplink_host_link(tag: str, network_id: int) -> str:
    """Name of the host's end of a network's uplink."""
    return f"{uplink_prefix(tag)}{network_id:08x}"


def mac(seed: bytes) -> bytes:
    """A locally administered link-layer address that is always the same for the same seed."""
    return b"\x02" + hashlib.blake2s(seed, digest_size=5).digest()


def uplink_pair(tag: str, network_id: int, attempt: int) -> int:
    """The number of the /31 pair to try for an uplink, for attempt 0, 1, ….

    Roosts begin at different places, so that they seldom try the same.
    """
    return (int(tag, 16) + network_id + attempt) % UPLINK_PAIRS


def uplink_addresses(tag: str, network_id: int, pair: int) -> UplinkAddresses:
    """The addresses of an uplink from its pair number.

    IPv6 ones lie in a unique local prefix made from the home (RFC 4193), by network id.
    """
    host4 = IPv4Address(_UPLINK_POOL + 2 * pair)
    prefix = (0xFD << 120) | int(hashlib.sha256(tag.encode()).hexdigest()[:10], 16) << 80
    host6 = IPv6Address(prefix | network_id << 1)
    return UplinkAddresses(host4=host4, router4=host4 + 1, host6=host6, router6=host6 + 1)


def pair_of(host4: str) -> int:
    """The pair number of a host's end address as noted on its link.

    Raises UnavailableError when the note is none of ours.
    """
    try:
        offset = int(IPv4Address(host4)) - _UPLINK_POOL
    except ValueError:
        offset = -1
    if offset < 0 or offset % 2 or offset >= 2 * UPLINK_PAIRS:
        raise UnavailableError(f"an uplink has the note {host4!r}, which is no address of ours")
    return offset // 2
