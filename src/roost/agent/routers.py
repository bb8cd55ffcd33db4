"""Router namespaces: made for a network's first Machine here, taken away when its last has left.

A sleeping network has none: nothing in it could call. The proxy is told of each change before a
namespace goes, so that it closes its listeners first.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from roost.model.records import Network
from roost.network.base import NetworkDriver, Router

if TYPE_CHECKING:
    from roost.agent.proxy_link import ProxyLink

log = logging.getLogger("roost.agent")


class Routers:
    """The routers of this host."""

    def __init__(self, driver: NetworkDriver, link: ProxyLink) -> None:
        self._driver = driver
        self._link = link
        self._paths: dict[int, Path] = {}
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._users: defaultdict[int, int] = defaultdict(int)

    async def ensure(self, network: Network, router: Router) -> Path:
        """The router's namespace file, made when it is not there. Raises UnavailableError."""
        # Who asks is about to attach: the sweep that comes in between must not take it away.
        self._users[network.id] = 0
        path = self._paths.get(network.id)
        if path is not None:
            return path
        async with self._locks[network.id]:
            path = self._paths.get(network.id)
            if path is None:
                path = await self._driver.ensure_router(router)
                self._paths[network.id] = path
                self._link.router(network, path)
            return path

    def adopt(self, network: Network, path: Path) -> None:
        """It was made by an earlier process."""
        self._paths[network.id] = path
        self._link.router(network, path)

    def up(self) -> list[int]:
        """Ids of the networks that have a router now."""
        return list(self._paths)

    async def hold(self, network_id: int) -> bool:
        """Keep a router from being taken away until `release`; False when it is not there."""
        await self._locks[network_id].acquire()
        if network_id in self._paths:
            return True
        self.release(network_id)
        return False

    def release(self, network_id: int) -> None:
        """End a `hold`."""
        self._locks[network_id].release()

    async def sweep(
        self, used: Callable[[], Collection[int]], network_of: Callable[[int], Network | None]
    ) -> None:
        """Take away the routers that no attached Machine uses for the second sweep in a row."""
        for network_id in list(self._paths):
            if network_id in used():
                self._users[network_id] = 0
                continue
            self._users[network_id] += 1
            if self._users[network_id] < 2:
                continue
            async with self._locks[network_id]:
                if network_id in used():
                    continue
                network = network_of(network_id)
                if network is not None:
                    self._link.router(network, None)
                del self._paths[network_id]
                self._users.pop(network_id, None)
                await self._driver.remove_router(network_id)
                log.info("network %d is unused here; its router is gone", network_id)
