"""Who a call would come from: an app, a Machine or a network, by name."""

from __future__ import annotations

from collections.abc import Callable

from roost.control.networks import Networks
from roost.errors import InvalidError, NotFoundError
from roost.model.ids import PERSONAL_ORG
from roost.model.records import App, Machine, Network
from roost.proxyctl.decide import Caller
from roost.store.base import Store

MayLook = Callable[[str, App | None, str | None], bool]
"""Whether the asker may look at an organization (and one app of it, and one Machine of that)."""


class Callers:
    """Finds callers."""

    def __init__(self, store: Store, networks: Networks) -> None:
        self._store = store
        self._networks = networks

    def find(self, source: str, may_look: MayLook) -> tuple[Caller, Network]:
        """The caller of a name: a Machine id, an app, `ORG/NETWORK` or a network of `personal`.

        Raises NotFoundError when there is none that the asker may look at.
        """
        for find in (self._as_machine, self._as_app, self._as_network):
            found = find(source)
            if found is not None and may_look(found[1].org, found[2], found[0].machine):
                caller, network, _ = found
                return caller, network
        raise NotFoundError(
            f"there is no app, Machine or network {source!r}",
            hint="write app:NAME, machine:ID or network:ORG/NAME to say which is meant",
        )

    def _as_machine(self, source: str) -> tuple[Caller, Network, App | None] | None:
        stored = self._store.get(Machine, source.removeprefix("machine:"))
        app = self._store.get(App, stored.record.app) if stored else None
        if stored is None or app is None:
            return None
        return self._from(app.record, stored.record.id)

    def _as_app(self, source: str) -> tuple[Caller, Network, App | None] | None:
        stored = self._store.get(App, source.removeprefix("app:"))
        return None if stored is None else self._from(stored.record, None)

    def _as_network(self, source: str) -> tuple[Caller, Network, App | None] | None:
        org, slash, name = source.removeprefix("network:").partition("/")
        if not slash:
            org, name = PERSONAL_ORG, org
        try:
            network = self._networks.get(org, name)
        except (NotFoundError, InvalidError):
            return None
        return Caller(network=str(network.id), network_name=network.key), network, None

    def _from(self, app: App, machine: str | None) -> tuple[Caller, Network, App | None]:
        network = self._networks.get_by_id(app.network_id)
        caller = Caller(
            network=str(network.id),
            network_name=network.key,
            app=app.name,
            org=app.org,
            machine=machine,
        )
        return caller, network, app
