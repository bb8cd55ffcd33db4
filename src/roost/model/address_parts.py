"""Addresses read back: which network, and what in it, an address of the plan stands for. Pure.

The inverse of `addresses`, whose table gives the forms.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv6Address

from roost.model.addresses import DNS_EVERYWHERE, FIRST_HOST


class Role(StrEnum):
    """What an address is for."""

    DNS = "dns"
    FLYCAST = "flycast"
    MACHINE = "machine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """An address taken apart. `network` is None for the DNS address that all networks share.

    `number` is the Flycast or Machine number, `host` the Machine's host; each 0 where it has none.
    """

    role: Role
    network: int | None
    host: int = 0
    number: int = 0


def parts_of(address: IPv6Address) -> Parts | None:
    """What an address stands for, None for one that the plan never gives out.

    A Machine owns its whole /112, so any address of it is the Machine's.
    """
    if address == DNS_EVERYWHERE:
        return Parts(role=Role.DNS, network=None)
    number = int(address)
    network, host = number >> 80 & 0xFFFF_FFFF, number >> 48 & 0xFFFF_FFFF
    if number >> 112 != 0xFDAA or network == 0:
        return None
    rest = number & 0xFFFF_FFFF_FFFF
    if host >= FIRST_HOST:
        machine = rest >> 16
        return (
            Parts(role=Role.MACHINE, network=network, host=host, number=machine)
            if machine
            else None
        )
    if host == 1:
        known = 0 < rest < 1 << 32
        return Parts(role=Role.FLYCAST, network=network, number=rest) if known else None
    return Parts(role=Role.DNS, network=network) if rest == 3 else None
