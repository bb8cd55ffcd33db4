"""The Linux driver: namespaces pinned under ROOST_HOME, veth links, nftables.

Files and kernel objects are the only memory that counts. `_complete` spares work on routers this
process has completed before; losing it costs time, nothing else. See LIFECYCLE.md beside this
file for the order of steps and what a crash leaves behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

from roost.errors import RoostError, UnavailableError
from roost.home import Home
from roost.network import egress, machine, nft, outside, router, rtnl, sysctl, uplink
from roost.network.addressed import router_of
from roost.network.base import Attachment, ObservedNetwork, Router
from roost.network.names import home_tag
from roost.network.namespaces import is_namespace, unpin, unshare_network
from roost.network.netlink import Conversation
from roost.network.rules import router_rules
from roost.network.steps import Place, nobody
from roost.network.worker import Turns, Worker

_REMOVERS = 4
"""Removals wait for the kernel together: four take hardly longer than one."""


class NetnsNetwork:
    """`NetworkDriver` on Linux, for the mount and network namespaces of the calling thread.

    Needs root, or to be root of an own user namespace. `on_step` hears of every step made, on a
    worker thread; what it raises stops the job there, as a crash would.
    """

    def __init__(self, home: Home, *, on_step: Callable[[str], None] = nobody) -> None:
        self._place = Place(folder=home.netns, tag=home_tag(home.root), done=on_step)
        self._maker = Worker("net-make", threads=1)
        self._remover = Worker("net-remove", threads=_REMOVERS)
        self._turns = Turns()
        self._complete: dict[int, tuple[Router, int]] = {}
        self._egress = egress.Egress(off="setup() was not called", off6="setup() was not called")

    @property
    def egress_off(self) -> str | None:
        """Why no network has IPv4 egress on this host, or None; known after setup()."""
        return self._egress.off

    @property
    def egress6_off(self) -> str | None:
        """Why no network has IPv6 egress on this host, or None; known after setup()."""
        return self._egress.off6

    async def setup(self) -> None:
        """Prepare the host; again after each start. Raises UnavailableError with the fix."""
        await self._maker.run("try out network namespaces", _probe)
        await self._maker.run("prepare the network", self._setup)

    async def own_outside(self, pools: Sequence[IPv4Network | IPv6Network]) -> None:
        """Give the host these addresses. Raises UnavailableError."""
        await self._maker.run("own the public addresses", lambda: self._own(pools))

    async def ensure_router(self, wanted: Router) -> Path:
        """Make the router complete. Raises UnavailableError."""
        async with self._turns.of(wanted.network_id):
            return await self._maker.run(
                f"make the router of network {wanted.network_id}", lambda: self._ensure(wanted)
            )

    async def remove_router(self, network_id: int) -> None:
        """Take the router and its uplink away. Raises PreconditionError with Machines on it."""
        async with self._turns.of(network_id):
            what = f"remove the router of network {network_id}"
            await self._maker.run(what, lambda: self._remove(network_id))
            await self._remover.run(what, lambda: self._disconnect(network_id))

    async def attach(self, attachment: Attachment) -> Path:
        """Make the Machine's namespace and its router complete. Raises UnavailableError."""
        machine.file_of(self._place, attachment.machine_id)
        what = f"attach Machine {attachment.machine_id}"
        async with (
            self._turns.of(attachment.machine_id),
            self._turns.of(attachment.router.network_id),
        ):
            return await self._maker.run(what, lambda: self._attach(attachment))

    async def detach(self, machine_id: str) -> None:
        """Take the Machine's namespace and link away; some 20 ms. Raises UnavailableError."""
        machine.file_of(self._place, machine_id)
        async with self._turns.of(machine_id):
            await self._remover.run(
                f"detach Machine {machine_id}", lambda: machine.detach(self._place, machine_id)
            )

    async def observe(self) -> ObservedNetwork:
        """List the namespaces that are pinned now."""
        return await self._maker.run("list the namespaces", self._observe)

    async def teardown(self) -> None:
        """Remove everything; goes on past failures and raises them as one ExceptionGroup."""
        seen = await self.observe()
        failures: list[Exception] = []
        async with asyncio.TaskGroup() as group:
            for name in seen.machines:
                group.create_task(_noting(self.detach(name), failures), name=f"detach:{name}")
        async with asyncio.TaskGroup() as group:
            for number in seen.routers:
                job = self.remove_router(number)
                group.create_task(_noting(job, failures), name=f"remove_router:{number}")
        await _noting(self._remover.run("clear the host's network", self._clear), failures)
        if failures:
            raise ExceptionGroup("the network was not removed completely", failures)

    def _setup(self) -> None:
        self._place.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self._place.folder.iterdir():
            if not is_namespace(path):
                path.unlink()
        self._complete.clear()
        self._egress = egress.prepare(self._place.tag)

    def _own(self, pools: Sequence[IPv4Network | IPv6Network]) -> None:
        if pools and egress.without_root():
            raise UnavailableError(
                "public addresses need root: without it nothing from outside arrives here",
                hint="run Roost as root, or leave --public-pool out",
            )
        outside.own(self._place.tag, pools)

    def _ensure(self, wanted: Router) -> Path:
        path = router.file_of(self._place, wanted.network_id)
        if not self._is_complete(wanted, path):
            with self._completing(wanted, path):
                pass
        return path

    def _attach(self, attachment: Attachment) -> Path:
        wanted = attachment.router
        path = router.file_of(self._place, wanted.network_id)
        if self._is_complete(wanted, path):
            return machine.attach(self._place, attachment)
        with self._completing(wanted, path):
            return machine.attach(self._place, attachment)

    @contextmanager
    def _completing(self, wanted: Router, path: Path) -> Iterator[None]:
        self._complete.pop(wanted.network_id, None)
        ways = {
            "egress": wanted.egress and self._egress.off is None,
            "egress6": wanted.egress and self._egress.off6 is None,
        }
        with router.completed(self._place, wanted, **ways):
            yield
        self._complete[wanted.network_id] = (wanted, path.stat().st_ino)

    def _is_complete(self, wanted: Router, path: Path) -> bool:
        known = self._complete.get(wanted.network_id)
        return (
            known is not None
            and known[0] == wanted
            and is_namespace(path)
            and known[1] == path.stat().st_ino
        )

    def _remove(self, network_id: int) -> None:
        router.remove(self._place, network_id)
        self._complete.pop(network_id, None)

    def _disconnect(self, network_id: int) -> None:
        with Conversation() as host:
            uplink.disconnect(self._place.tag, network_id, host)

    def _observe(self) -> ObservedNetwork:
        if not self._place.folder.is_dir():
            return ObservedNetwork(routers={}, machines={})
        files = [path for path in self._place.folder.iterdir() if is_namespace(path)]
        return ObservedNetwork(
            routers={int(path.name[1:]): path for path in files if path.name[0] == "n"},
            machines={path.name[1:]: path for path in files if path.name[0] == "m"},
        )

    def _clear(self) -> None:
        with Conversation() as host:
            for name in uplink.leftover(self._place.tag, host):
                host.ask([rtnl.delete_link("remove an uplink", name)])
        egress.undo(self._place.tag)
        outside.own(self._place.tag, ())
        if self._place.folder.is_dir():
            for path in self._place.folder.iterdir():
                unpin(path)
            self._place.folder.rmdir()


def _probe() -> None:
    """Try what every router needs in a namespace that is dropped at once."""
    unshare_network()
    sysctl.write(sysctl.IP_FORWARD, "1")
    nft.load("load a router's rules", router_rules(router_of(1), egress=True, replace=False))


async def _noting(job: Coroutine[Any, Any, None], failures: list[Exception]) -> None:
    try:
        await job
    except RoostError as error:
        failures.append(error)
