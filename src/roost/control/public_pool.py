"""The public addresses that the operator gives Roost to hand out. Pure.

`--public-pool` names networks of IPv4 or IPv6 that are routed to this host; the first IPv4 address
is the one that apps share, told apart by the name they are called by: `<app>.<domain>`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from roost.errors import InvalidError, PreconditionError
from roost.model.records import AddressType

SETTING = "start Roost with `roost up --public-pool 203.0.113.8/29` (or ROOST_PUBLIC_POOL)"
DOMAIN_SETTING = "start Roost with `roost up --public-domain example.com` (or ROOST_PUBLIC_DOMAIN)"
LONGEST_WALK = 1 << 16
"""Addresses looked at when one is chosen: more than any host gives out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicPool:
    """What may be given out; empty when the operator gave nothing."""

    v4: tuple[IPv4Network, ...] = ()
    v6: tuple[IPv6Network, ...] = ()
    domain: str = ""

    @property
    def networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """All of it."""
        return (*self.v4, *self.v6)

    def choose(self, kind: AddressType, taken: Collection[str]) -> IPv4Address | IPv6Address:
        """A free address of a public kind; the shared one for `shared_v4`.

        Raises PreconditionError naming the setting when there is no pool of that family or it is
        used up.
        """
        family = "IPv6" if kind is AddressType.V6 else "IPv4"
        pools = self.v6 if kind is AddressType.V6 else self.v4
        if not pools:
            raise PreconditionError(
                f"this Roost has no public {family} addresses to give: no pool is set",
                hint=SETTING,
            )
        if kind is AddressType.SHARED_V4:
            return self._shared()
        shared = str(self._first4()) if kind is AddressType.V4 else ""
        for address in _walk(pools):
            if str(address) not in taken and str(address) != shared:
                return address
        raise PreconditionError(
            f"all public {family} addresses of this Roost are given out",
            hint="release one (`roost ips release`), or give Roost a larger --public-pool",
        )

    def host(self, app: str) -> str:
        """The name by which an app is called at the shared address, "" without a domain."""
        return f"{app}.{self.domain}" if self.domain else ""

    def _shared(self) -> IPv4Address:
        if not self.domain:
            raise PreconditionError(
                "a shared address tells apps apart by their names, and no domain is set",
                hint=DOMAIN_SETTING,
            )
        return self._first4()

    def _first4(self) -> IPv4Address:
        return self.v4[0].network_address


NO_POOL = PublicPool()


def parse_pool(texts: Collection[str], domain: str) -> PublicPool:
    """A pool from the operator's words. Raises InvalidError."""
    networks = [_network(text) for text in texts]
    for at, network in enumerate(networks):
        for other in networks[at + 1 :]:
            if network.version == other.version and network.overlaps(other):
                raise InvalidError(f"--public-pool {network} and {other} overlap")
    return PublicPool(
        v4=tuple(item for item in networks if isinstance(item, IPv4Network)),
        v6=tuple(item for item in networks if isinstance(item, IPv6Network)),
        domain=_domain(domain),
    )


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        network = ip_network(text, strict=True)
    except ValueError as error:
        raise InvalidError(
            f"--public-pool {text!r} is not a network: {error}",
            hint="write it like 203.0.113.8/29 or 2001:db8:7::/64",
        ) from None
    if network.is_multicast or network.is_link_local or network.is_unspecified:
        raise InvalidError(f"--public-pool {text!r} cannot be given to apps")
    return network


def _domain(text: str) -> str:
    name = text.strip().strip(".").lower()
    labels = name.split(".")
    fine = all(label and len(label) <= 63 and _is_label(label) for label in labels)
    if name and (not fine or len(name) > 189):
        raise InvalidError(
            f"--public-domain {text!r} is not a DNS name", hint="such as example.com"
        )
    return name


def _is_label(label: str) -> bool:
    inner = label.replace("-", "a")
    return label.isascii() and inner.isalnum() and label[0] != "-" and label[-1] != "-"


def _walk(
    pools: Collection[IPv4Network] | Collection[IPv6Network],
) -> Iterator[IPv4Address | IPv6Address]:
    """The addresses of pools in order, without an IPv6 network's own (its routers' anycast)."""
    left = LONGEST_WALK
    for pool in pools:
        first = 1 if pool.version == 6 and pool.prefixlen < 127 else 0
        for offset in range(first, min(pool.num_addresses, left + first)):
            left -= 1
            yield pool[offset]
