"""Whether what a configuration offers can be offered at the app's public addresses. Pure."""

from __future__ import annotations

from collections.abc import Collection

from roost.control.public_ranges import check_ranges
from roost.model.records import Address
from roost.spec import groups
from roost.spec.app_config import AppConfig
from roost.spec.services import Service


def check_outside(config: AppConfig, addresses: Collection[Address]) -> None:
    """Before anything of a deploy is written. Raises InvalidError."""
    for group in groups.names(config):
        services = groups.services(config, group)
        ports = [port for one in services if isinstance(one, Service) for port in one.ports]
        given = [span for port in ports if (span := port.span()) is not None]
        check_ranges([range(first, last + 1) for first, last in given], addresses)
