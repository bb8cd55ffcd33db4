"""The network driver that only remembers: for tests of everything above this room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from roost.errors import PreconditionError
from roost.home import Home
from roost.network.base import Attachment, ObservedNetwork, Router
from roost.network.names import machine_file, router_file
from roost.network.steps import nobody


class FakeNetwork:
    """`NetworkDriver` in memory; namespace files are names only.

    `on_call` hears of each call ("attach 17ab…") before it has any effect; what it raises is the
    call's outcome. `routers` and `machines` may be read, and changed to play a loss.
    """

    def __init__(self, home: Home, *, on_call: Callable[[str], None] = nobody) -> None:
        self._folder = home.netns
        self._on_call = on_call
        self.egress_off: str | None = None
        self.routers: dict[int, Router] = {}
        self.machines: dict[str, Attachment] = {}
        self.outside: tuple[IPv4Network | IPv6Network, ...] = ()

    async def setup(self) -> None:
        """Nothing to prepare."""
        self._on_call("setup")

    async def own_outside(self, pools: Sequence[IPv4Network | IPv6Network]) -> None:
        """Remember them."""
        self._on_call("own_outside")
        self.outside = tuple(pools)

    async def ensure_router(self, router: Router) -> Path:
        """Remember the router."""
        self._on_call(f"ensure_router {router.network_id}")
        self.routers[router.network_id] = router
        return self._folder / router_file(router.network_id)

    async def remove_router(self, network_id: int) -> None:
        """Forget the router. Raises PreconditionError while Machines are attached to it."""
        self._on_call(f"remove_router {network_id}")
        count = sum(
            attachment.router.network_id == network_id for attachment in self.machines.values()
        )
        if count and network_id in self.routers:
            raise PreconditionError(
                f"network {network_id} still has {count} Machine(s) attached on this host",
                hint="detach them first",
            )
        self.routers.pop(network_id, None)

    async def attach(self, attachment: Attachment) -> Path:
        """Remember the Machine and its router. Raises InvalidError for what is no Machine id."""
        self._on_call(f"attach {attachment.machine_id}")
        path = self._folder / machine_file(attachment.machine_id)
        self.routers[attachment.router.network_id] = attachment.router
        self.machines[attachment.machine_id] = attachment
        return path

    async def detach(self, machine_id: str) -> None:
        """Forget the Machine. Raises InvalidError for what is no Machine id."""
        self._on_call(f"detach {machine_id}")
        machine_file(machine_id)
        self.machines.pop(machine_id, None)

    async def observe(self) -> ObservedNetwork:
        """What is remembered."""
        self._on_call("observe")
        return ObservedNetwork(
            routers={number: self._folder / router_file(number) for number in self.routers},
            machines={name: self._folder / machine_file(name) for name in self.machines},
        )

    async def teardown(self) -> None:
        """Forget everything."""
        self._on_call("teardown")
        self.machines.clear()
        self.outside = ()
        self.routers.clear()
