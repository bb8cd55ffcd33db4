"""By which addresses an app is called, now: the one rule from records to rows of the proxy's table.

`view.app` puts these rows on the wire, and `control.reach` explains by them why a caller reaches an
app or does not. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from roost.model.records import Address, AddressType

PUBLIC_NETWORK = "public"
"""The proxy's name for the host's outside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Callers on `network` (the proxy's id of it) reach the app at `ip`, on `ports` (none: all)."""

    network: str
    ip: str
    ports: tuple[int, ...] = ()
    shared: bool = False

    def offers(self, port: int) -> bool:
        """Whether this external port may answer here."""
        return not self.ports or port in self.ports


def ways(addresses: Iterable[Address], now_ms: int) -> list[Way]:
    """The rows of an app's addresses; one that is past its date has none."""
    return [
        Way(
            network=PUBLIC_NETWORK if address.type.public else str(address.network_id),
            ip=address.ip,
            ports=address.ports,
            shared=address.type is AddressType.SHARED_V4,
        )
        for address in addresses
        if current(address, now_ms)
    ]


def current(address: Address, now_ms: int) -> bool:
    """Whether an address is not past its date."""
    return address.expires_at is None or now_ms < address.expires_at
