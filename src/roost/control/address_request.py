"""What is asked for when an app is to get an address, and whether it makes sense."""

from __future__ import annotations

from dataclasses import dataclass

from roost.errors import InvalidError
from roost.model.machine_config import Port
from roost.model.records import AddressType, App, Machine
from roost.store.base import Store

MAX_PORTS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRequest:
    """`org` and `network` name the audience ("": the app's organization, its default network).

    `ports` are the only external ports that shall answer (none: all). `lifetime_ms` ends the
    address by itself.
    """

    type: AddressType = AddressType.PRIVATE_V6
    org: str = ""
    network: str = ""
    ports: tuple[int, ...] = ()
    lifetime_ms: int | None = None


def check_request(request: AddressRequest) -> None:
    """What does not go together. Raises InvalidError."""
    if request.type.public and (request.org or request.network):
        raise InvalidError(
            f"an address of type {request.type} has no network: it is reached from outside",
            hint="leave --org and --network out, or ask for a --private one",
        )
    if len(request.ports) > MAX_PORTS:
        raise InvalidError(f"at most {MAX_PORTS} ports can be chosen for an address")


def check_ports(store: Store, app: App, ports: tuple[int, ...]) -> tuple[int, ...]:
    """The chosen ports, each once and in order. Raises InvalidError for one the app lacks."""
    if not ports:
        return ()
    offered = [
        port
        for stored in store.find(Machine, "app", app.name)
        for service in stored.record.config.services
        for port in service.ports
    ]
    for port in ports:
        if not any(_has(one, port) for one in offered):
            known = sorted({one.port for one in offered if one.port is not None})
            listed = ", ".join(map(str, known))
            raise InvalidError(
                f'app "{app.name}" has no service on port {port}',
                hint=f"it has {listed}" if known else "deploy it with a service first",
            )
    return tuple(sorted(set(ports)))


def _has(offered: Port, port: int) -> bool:
    if offered.port is not None:
        return offered.port == port
    return (offered.start_port or 0) <= port <= (offered.end_port or 0)
