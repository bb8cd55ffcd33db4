"""Port ranges at public addresses: small, for each port is a socket of the proxy's there. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from roost.errors import InvalidError
from roost.model.machine_config import Service
from roost.model.records import Address

MAX_PUBLIC_RANGES = 256
"""Ports that the ranges of one Machine may have together, if all of them are offered outside."""


def check_ranges(spans: Iterable[range], addresses: Iterable[Address]) -> None:
    """Whether the external ports of one Machine, a span for each entry, can be listened for at the
    addresses of its app. Raises InvalidError.
    """
    ports = sum(len(span) for span in spans if len(span) > 1)
    whole = [address for address in addresses if address.type.public and not address.ports]
    if ports > MAX_PUBLIC_RANGES and whole:
        ip, app = whole[0].ip, whole[0].app
        raise InvalidError(
            f"the port ranges of a Machine have {ports} ports, and at the public address {ip} they "
            f"can have {MAX_PUBLIC_RANGES} together",
            hint=f"offer fewer ports, or release the address (`roost ips release {ip} -a {app}`) "
            "and allocate one with the ports that are needed outside (--service)",
        )


def spans(services: Iterable[Service]) -> list[range]:
    """The external ports of a Machine's services, a span for each entry that has any."""
    ports = [port.numbers for service in services for port in service.ports]
    return [numbers for numbers in ports if numbers]
