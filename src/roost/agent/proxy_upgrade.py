"""One upgrade of the proxy: a new process is started, told everything, and takes over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from roost.agent.proxy_link import ProxyLink
from roost.clock import Clock
from roost.errors import DeadlineError, RoostError, UnavailableError
from roost.plan.handover import Outcome, Stage, after
from roost.proxyctl.process import ProxyProcess

log = logging.getLogger("roost.proxy")

_PATIENCE_SECONDS = 30.0
_HINT = "look into run/proxy.log in ROOST_HOME"


class ProxyUpgrade:
    """See the module. At every point before its end the old process serves, or does so again as
    soon as the new one has ended.
    """

    def __init__(
        self,
        link: ProxyLink,
        clock: Clock,
        old: ProxyProcess,
        new: ProxyProcess,
        drain_ms: int,
    ) -> None:
        self._link = link
        self._clock = clock
        self._old = old
        self._new = new
        self._drain_ms = drain_ms
        self.stage = Stage.STARTING
        self.taking = False
        """Whether the old process was asked for anything."""

    async def run(self) -> int:
        """Do it; gives how many sockets came.

        Raises UnavailableError or DeadlineError after the new process was ended.
        """
        sockets = 0
        try:
            while self.stage not in (Stage.SERVING, Stage.FAILED):
                sockets = await self._step() or sockets
                self._turn(Outcome.DONE)
        except RoostError:
            self._turn(Outcome.BROKEN)
            await self._new.killed()
            self._link.drop(self._new.socket)
            raise
        return sockets

    async def _step(self) -> int:
        match self.stage:
            case Stage.STARTING:
                self._link.drop(self._new.socket)  # What had this socket before has ended.
                self._new.start(standby=True)
            case Stage.TELLING:
                await told(self._link, self._new, self._clock)
            case _:
                self.taking = True
                peer = self._link.peer(self._new.socket)
                return await self._link.take_over(peer, [self._old.socket], self._drain_ms)
        return 0

    def _turn(self, outcome: Outcome) -> None:
        self.stage = after(self.stage, outcome)
        log.info("upgrade of the proxy: %s", self.stage)


async def told(link: ProxyLink, process: ProxyProcess, clock: Clock) -> None:
    """Wait until a process knows everything. Raises UnavailableError (it ended), DeadlineError."""
    peer, first = link.peer(process.socket), asyncio.Event()

    async def after(wait: Coroutine[Any, Any, Any]) -> None:
        await wait
        first.set()

    waits = (process.ended(), peer.connected.wait(), clock.sleep(_PATIENCE_SECONDS))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(after(wait), name="proxy-told") for wait in waits]
        await first.wait()
        for task in tasks:
            task.cancel()
    if process.pid is None:
        raise UnavailableError("the new roost-proxy ended at once", hint=_HINT)
    if not peer.connected.is_set():
        why = f": {peer.trouble}" if peer.trouble else ""
        raise DeadlineError(
            f"the new roost-proxy was not ready within {_PATIENCE_SECONDS:.0f} s{why}", hint=_HINT
        )


async def adopt(
    link: ProxyLink, heir: ProxyProcess, elders: list[ProxyProcess], drain_ms: int
) -> None:
    """Count what older processes have under way; one that cannot tell is ended."""
    for elder in elders:
        try:
            await link.take_over(link.peer(heir.socket), [elder.socket], drain_ms)
        except RoostError as error:
            if elder.pid is not None:
                log.warning("roost-proxy %s: %s; ending it", elder.pid, error)
                await elder.killed()
