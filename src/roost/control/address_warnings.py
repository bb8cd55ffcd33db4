"""What may surprise about an app's addresses: sentences, each with what to do."""

from __future__ import annotations

from collections.abc import Sequence

from roost.control.networks import Networks
from roost.model.records import Address, AddressType, App, Machine
from roost.store.base import Store


def about_address(store: Store, networks: Networks, app: App, address: Address) -> list[str]:
    """About one address that was just given."""
    sentences = []
    if not _has_services(store, app):
        sentences.append(
            f"app {app.name!r} has no Machine with a service yet, so nothing answers on "
            f"{address.ip}; deploy it with an [http_service] or [[services]] section"
        )
    if not address.type.public and address.network_id != app.network_id:
        sentences.append(_elsewhere(networks, app, address))
    return sentences


def about_exposure(addresses: Sequence[Address]) -> str | None:
    """A private app that is also called from outside: the sentence, or None where it is not."""
    public = [one for one in addresses if one.type.public]
    if not public or all(one.type.public for one in addresses):
        return None
    app = public[0].app
    listed = ", ".join(sorted(one.ip for one in public))
    return (
        f"app {app!r} has a private (Flycast) address and is also reached from outside at "
        f"{listed}; `roost ips release {public[0].ip} -a {app}` makes it private"
    )


def about_shared(host: str, address: Address) -> str | None:
    """By which name a shared address leads to the app; None for another kind."""
    if address.type is not AddressType.SHARED_V4:
        return None
    return f"{address.ip} is shared: it leads to app {address.app!r} by the name {host}"


def _has_services(store: Store, app: App) -> bool:
    machines = store.find(Machine, "app", app.name)
    return any(stored.record.config.services for stored in machines)


def _elsewhere(networks: Networks, app: App, address: Address) -> str:
    own = networks.get_by_id(app.network_id)
    return (
        f"{address.ip} is on network {address.network!r} of organization {address.org!r} and "
        f"is reached from there only, not from the app's own network {own.name!r}"
    )
