"""What roost-proxy is told of the store: pure builders of the control protocol's entities.

Counterpart: protocol/control.md, "Entities". A sleeping app costs the proxy one `app` and one
`machine` entity, so both say only what the proxy uses.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from roost.model.addresses import machine_ipv4, machine_prefix, network_prefix
from roost.model.machine_config import Port, Service
from roost.model.machine_state import STARTABLE, Goal, MachineState
from roost.model.records import Address, App, Machine, Network

Entity = dict[str, Any]
"""JSON-ready; a boundary value that goes straight onto the wire."""

DEFAULT_SOFT_LIMIT = 20


def network(record: Network, netns: Path | None) -> Entity:
    """A `network` value; `netns` is the router namespace's file, None while there is none."""
    return {
        "id": str(record.id),
        "name": record.name,
        "org": record.org,
        "prefix": str(network_prefix(record.id)),
        "netns": str(netns) if netns else None,
    }


def app(record: App, addresses: Iterable[Address]) -> Entity:
    """An `app` value with all of its Flycast addresses."""
    return {
        "id": record.name,
        "org": record.org,
        "network": str(record.network_id),
        "addresses": [{"network": str(a.network_id), "ip": a.ip} for a in addresses],
    }


def machine(record: Machine, *, state: MachineState | None = None) -> Entity:
    """A `machine` value; `state` overrides the record's while a change is not yet written."""
    shown = state or record.state
    hidden = bool(record.config.dns and record.config.dns.skip_registration)
    return {
        "id": record.id,
        "app": record.app,
        "network": str(record.network_id),
        "region": record.region,
        "instance": record.instance_id,
        "state": str(shown),
        "ip6": str(machine_prefix(record.network_id, record.host, record.number).ip),
        "ip4": str(machine_ipv4(record.ipv4)),
        "cordoned": record.cordoned,
        "startable": shown in STARTABLE and record.goal is not Goal.DESTROYED,
        "dns": not hidden,
        "group": record.config.metadata.get("fly_process_group", "app"),
        "metadata": record.config.metadata,
        "services": [_service(service) for service in record.config.services],
    }


def _service(service: Service) -> Entity:
    limits = service.concurrency
    return {
        "protocol": service.protocol,
        "internal_port": service.internal_port,
        "ports": [_port(port) for port in service.ports],
        "autostart": service.autostart is not False,
        "concurrency": {
            "type": limits.type if limits else "connections",
            "soft_limit": (limits and limits.soft_limit) or DEFAULT_SOFT_LIMIT,
            "hard_limit": (limits and limits.hard_limit) or None,
        },
    }


def _port(port: Port) -> Entity:
    return port.model_dump(mode="json", exclude_none=True, exclude_defaults=True) | {
        "handlers": [handler for handler in port.handlers if handler != "tcp"]
    }
