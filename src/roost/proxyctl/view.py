"""What roost-proxy is told of the store: pure builders of the control protocol's entities.

Counterpart: protocol/control.md, "Entities". A sleeping app costs the proxy one `app` and one
`machine` entity, so both say only what the proxy uses.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from roost.model.addresses import machine_ipv4, machine_prefix, network_prefix
from roost.model.certificates import Certificate, IssuedCertificate
from roost.model.checks import NamedCheck, named_checks
from roost.model.machine_config import MachineConfig, Port, Service
from roost.model.machine_state import STARTABLE, Goal, MachineState
from roost.model.records import Address, App, Machine, Network, Org
from roost.proxyctl import checks, tls_options
from roost.proxyctl.http_options import to_wire
from roost.proxyctl.ways import PUBLIC_NETWORK, Way, ways

Entity = dict[str, Any]
"""JSON-ready; a boundary value that goes straight onto the wire."""

DEFAULT_SOFT_LIMIT = 20
DEFAULT_DRAIN_MS = 5000
"""The proxy's own value where an app's is not said."""


def network(record: Network, netns: Path | None) -> Entity:
    """A `network` value; `netns` is the router namespace's file, None while there is none."""
    return {
        "id": str(record.id),
        "name": record.name,
        "org": record.org,
        "prefix": str(network_prefix(record.id)),
        "netns": str(netns) if netns else None,
    }


def public_network(netns: Path) -> Entity:
    """The `network` value of the host's outside: `netns` is the proxy's own namespace."""
    return {
        "id": PUBLIC_NETWORK,
        "name": PUBLIC_NETWORK,
        "org": "",
        "prefix": "",
        "netns": str(netns),
        "public": True,
    }


def app(
    record: App,
    addresses: Iterable[Address],
    *,
    now_ms: int,
    domain: str = "",
    hostnames: Iterable[str] = (),
    org: Org | None = None,
) -> Entity:
    """An `app` value with the addresses it is called at now, and what `org`, its organization, lets
    replays do.

    `domain` is that of shared addresses, where the app is called `<app>.<domain>` and by its own
    `hostnames`.
    """
    rows = ways(addresses, now_ms)
    entity: Entity = {
        "id": record.name,
        "org": record.org,
        "network": str(record.network_id),
        "addresses": [_way(row) for row in rows],
    }
    if any(row.shared for row in rows) and domain:
        entity["hosts"] = list(dict.fromkeys((f"{record.name}.{domain}", *hostnames)))
    if record.drain_ms != DEFAULT_DRAIN_MS:
        entity["drain_ms"] = record.drain_ms
    if org is not None and org.cross_network_replays:
        entity["cross_network_replays"] = True
    if org is not None and org.replay_sources:
        entity["replay_sources"] = list(org.replay_sources)
    return entity


def _way(row: Way) -> Entity:
    value: Entity = {"network": row.network, "ip": row.ip}
    if row.ports:
        value["ports"] = list(row.ports)
    if row.shared:
        value["shared"] = True
    return value


def certificate(record: Certificate | IssuedCertificate, key: str) -> Entity:
    """A `certificate` value with its private key."""
    entity: Entity = {
        "id": certificate_id(type(record), record.key),
        "app": record.app,
        "chain": record.chain,
        "key": key,
        "not_before": record.not_before // 1000,
        "not_after": record.not_after // 1000,
    }
    if isinstance(record, Certificate):
        return entity | {"names": [record.hostname]}
    more = {"audience": record.audience, "renew_at": record.renew_at // 1000}
    return entity | {"names": list(record.names)} | more


def certificate_id(kind: type[Certificate] | type[IssuedCertificate], key: str) -> str:
    """The proxy's id of a certificate: there is one for each key of each kind."""
    return f"{'given' if kind is Certificate else 'issued'}:{key}"


def machine(record: Machine, *, state: MachineState | None = None) -> Entity:
    """A `machine` value; `state` overrides the record's while a change is not yet written."""
    shown = state or record.state
    hidden = bool(record.config.dns and record.config.dns.skip_registration)
    value: Entity = {
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
    }
    return value | offers(record.config)


def offers(config: MachineConfig) -> Entity:
    """The part of a `machine` value that says what is offered and checked."""
    named = list(named_checks(config))
    services = [
        _service(service, [one for one in named if one.service == index])
        for index, service in enumerate(config.services)
    ]
    own = [checks.to_wire(one) for one in named if one.service is None]
    return {"services": services, "checks": own} if own else {"services": services}


def _service(service: Service, checked: list[NamedCheck]) -> Entity:
    """One of a Machine's services."""
    limits = service.concurrency
    more: Entity = {}
    if service.allowed_apps is not None:
        more["allowed_apps"] = list(service.allowed_apps)
    if checked:
        more["checks"] = [checks.to_wire(one) for one in checked]
    return more | {
        "protocol": service.protocol,
        "internal_port": service.internal_port,
        "ports": [_port(port) for port in service.ports if port.numbers],
        "autostart": service.autostart is not False,
        "concurrency": {
            "type": limits.type if limits else "connections",
            "soft_limit": (limits and limits.soft_limit) or DEFAULT_SOFT_LIMIT,
            "hard_limit": (limits and limits.hard_limit) or None,
        },
    }


def _port(port: Port) -> Entity:
    """A port, or a range as one."""
    value: Entity = {
        "port": port.numbers[0],
        "handlers": [handler for handler in port.handlers if handler != "tcp"],
    }
    if len(port.numbers) > 1:
        value["end_port"] = port.numbers[-1]
    if port.force_https:
        value["force_https"] = True
    if port.http_options and (options := to_wire(port.http_options)):
        value["http_options"] = options
    if port.tls_options and (options := tls_options.to_wire(port.tls_options, port.handlers)):
        value["tls_options"] = options
    if port.proxy_proto_options and port.proxy_proto_options.version:
        value["proxy_proto_options"] = {"version": port.proxy_proto_options.version}
    if port.accept_proxy_proto:
        value["accept_proxy_proto"] = True
    return value
