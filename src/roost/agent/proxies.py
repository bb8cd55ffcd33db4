"""The proxy processes of a host: one that serves, kept alive; others whose connections go on.

A new process takes over from the one that serves (`upgrade`), from those that still drain when the
serving one has died, or from nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass

from roost.agent.proxy_found import find, role_of, settled_role
from roost.agent.proxy_link import ProxyLink
from roost.agent.proxy_upgrade import ProxyUpgrade, adopt, told
from roost.clock import Clock
from roost.errors import ConflictError, RoostError, UnavailableError
from roost.home import Home
from roost.pidfile import PidFile
from roost.proxyctl.process import ProxyProcess, processes
from roost.tasks import SingleFlight

log = logging.getLogger("roost.proxy")

DEFAULT_DRAIN_MS = 3_600_000
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0
_HEALTHY_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyStatus:
    """One process, as it is now."""

    pid: int
    version: str
    role: str
    connections: int
    waiting: int
    left_ms: int | None
    """How long its connections may still go on; None for the one that serves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """What an upgrade did."""

    before: ProxyStatus
    after: ProxyStatus
    sockets: int
    took_ms: int


class Proxies:
    """See the module. `find` comes first, then `supervise` must be running."""

    def __init__(self, home: Home, clock: Clock, link: ProxyLink) -> None:
        self._all = processes(home)
        self._pid_file = PidFile(home.proxy_pid)
        self._clock = clock
        self._link = link
        self._serving = self._all[0]
        self._found = False
        """Whether an earlier daemon's process serves."""
        self._changing = asyncio.Lock()
        """Held while another process comes to serve."""
        self._ends: asyncio.Queue[ProxyProcess] = asyncio.Queue()
        self._group: asyncio.TaskGroup | None = None
        self._upgrades: SingleFlight[str, Upgrade] | None = None

    # What users ask

    async def status(self) -> list[ProxyStatus]:
        """Every process that lives, the serving one first."""
        return [await self._status(one) for one in (self._serving, *self._others())]

    async def upgrade(self, drain_ms: int) -> Upgrade:
        """Start a new process beside the serving one and let it take over; about a second.

        Goes on when the caller leaves. Raises ConflictError (one is under way; too many old ones
        still have connections), UnavailableError or DeadlineError (nothing has changed then).
        """
        if self._upgrades is None or self._changing.locked():
            raise ConflictError(
                "another proxy is coming to serve at this moment", hint="look at roost proxy status"
            )
        return await self._upgrades.run("proxy-upgrade", lambda: self._upgrade(drain_ms))

    async def _upgrade(self, drain_ms: int) -> Upgrade:
        async with self._changing:
            old, new, elders = self._serving, await self._free(), self._others()
            if old.pid is None or not self._link.connected.is_set():
                raise UnavailableError(
                    "roost-proxy is not running at this moment", hint="try again"
                )
            began, before = self._clock.monotonic(), await self._status(old)
            upgrade = ProxyUpgrade(self._link, self._clock, old, new, drain_ms)
            try:
                sockets = await upgrade.run()
            except RoostError:
                if upgrade.taking:
                    await self._make_sure(old, new)
                raise
            self._serve_by(new)
            await adopt(self._link, new, elders, drain_ms)
            return Upgrade(
                before=before,
                after=await self._status(new),
                sockets=sockets,
                took_ms=round((self._clock.monotonic() - began) * 1000),
            )

    async def _make_sure(self, old: ProxyProcess, new: ProxyProcess) -> None:
        """The new process was ended. Should it have served for a moment, it is the serving one
        that has ended, and another takes its place like any other time.
        """
        if await settled_role(old, self._clock) == "draining":
            self._serve_by(new)

    # Details

    def _others(self) -> list[ProxyProcess]:
        return [one for one in self._all if one.pid is not None and one is not self._serving]

    async def _free(self) -> ProxyProcess:
        for process in self._all:
            if process.pid is None:
                return process
        rest = "; ".join(
            f"pid {one.pid} has {one.connections} connections left, "
            f"for at most {(one.left_ms or 0) // 1000} s"
            for one in (await self.status())[1:]
        )
        raise ConflictError(
            f"{len(self._all)} proxies run, and the old ones still have connections: {rest}",
            hint="wait for one of them, or end it with kill (its connections end too)",
        )

    async def _status(self, process: ProxyProcess) -> ProxyStatus:
        peer = self._link.peer(process.socket)
        stats, said = await peer.stats(), peer.greeting
        left_ms = stats.get("left_ms")
        role = str(said.get("role", "")) if left_ms is None else "draining"
        return ProxyStatus(
            pid=process.pid or 0,
            version=str(said.get("version", "")),
            role="serving" if process is self._serving else role,
            connections=stats.get("connections", 0),
            waiting=stats.get("waiting", 0),
            left_ms=left_ms,
        )

    # Keeping one alive

    async def supervise(self) -> None:
        """Start a process when none serves and whenever it ends; for ever. A crash loop slows down.

        Raises UnavailableError when the first one cannot be started; later it is tried again, since
        a daemon that leaves helps nobody.
        """
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._upgrades = SingleFlight(group, "proxy")
            for process in self._all:
                if process.pid is not None:
                    self._watch(process)
            async with self._changing:
                await self._begin()
            pause, began = _FIRST_PAUSE, self._clock.monotonic()
            while True:
                ended = await self._ends.get()
                if self._clock.monotonic() - began > _HEALTHY_SECONDS:
                    pause = _FIRST_PAUSE
                if await self._replaced(ended, pause):
                    pause, began = min(pause * 2, _LONGEST_PAUSE), self._clock.monotonic()

    async def _replaced(self, ended: ProxyProcess, pause: float) -> bool:
        """A process has ended; whether that was the serving one and another had to be started."""
        async with self._changing:
            if ended.pid is not None:
                return False  # Its socket is another process's by now.
            if ended is not self._serving:
                self._link.drop(ended.socket)
                return False
            log.error("roost-proxy (%s) ended; starting a new one", ended.socket.stem)
            await self._clock.sleep(pause)
            try:
                await self._start()
            except (RoostError, OSError) as error:
                log.error("roost-proxy is away: %s", error)
                self._ends.put_nowait(ended)
        return True

    async def _begin(self) -> None:
        """Have a process serve, and count what all others have under way: a daemon that ended in
        the middle of an upgrade may have left one whose heir was another one than that.
        """
        if not self._found or self._serving.pid is None:
            await self._start()
        elif elders := self._others():
            try:
                await told(self._link, self._serving, self._clock)
            except RoostError as error:
                log.warning("roost-proxy: %s", error)
            else:
                await adopt(self._link, self._serving, elders, DEFAULT_DRAIN_MS)

    async def _start(self) -> None:
        """Have a new process serve, which counts what those that drain have under way."""
        elders = [one for one in self._all if one.pid is not None]
        new = next((one for one in self._all if one.pid is None), self._serving)
        new.start(standby=bool(elders))
        self._serve_by(new)
        for gone in self._all:
            if gone.pid is None:
                self._link.drop(gone.socket)
        if not elders:
            return
        try:
            await told(self._link, new, self._clock)
            await self._inherit(new, elders)
        except RoostError as error:
            if new.pid is None:
                log.error("%s", error)  # Nobody counts, but nobody serves either: tried again.
                return
            log.error("%s; the old ones are ended, so that limits hold", error)
            for process in (*elders, new):
                await process.killed()

    async def _inherit(self, new: ProxyProcess, elders: list[ProxyProcess]) -> None:
        """Count what others have under way, then serve; some may leave at that very moment."""
        while True:
            paths = [one.socket for one in elders]
            try:
                await self._link.take_over(self._link.peer(new.socket), paths, DEFAULT_DRAIN_MS)
            except RoostError:
                roles = [(one, await role_of(one)) for one in elders]
                rest = [one for one, role in roles if role == "draining"]
                if new.pid is None or len(rest) == len(elders):
                    raise
                for one in set(elders) - set(rest):
                    await one.killed()
                elders = rest
            else:
                return

    def _serve_by(self, process: ProxyProcess) -> None:
        self._name(process)
        self._watch(process)

    def _name(self, process: ProxyProcess) -> None:
        """That process serves: everybody is told."""
        self._serving = process
        self._link.serve_by(process.socket)
        with contextlib.suppress(OSError):  # It may have ended, or the disk be full.
            self._pid_file.write(process.pid or 0)

    async def find(self) -> None:
        """See what an earlier daemon left. Before the link connects, since the first socket may be
        that of a process that drains.
        """
        found = await find(self._all, self._clock)
        for process in found.draining:
            self._link.peer(process.socket)
        if found.serving is not None:
            self._found = True
            self._name(found.serving)

    def _watch(self, process: ProxyProcess) -> None:
        async def watch() -> None:
            await process.ended()
            self._ends.put_nowait(process)

        assert self._group is not None
        self._group.create_task(watch(), name=f"proxy-alive:{process.socket.stem}")
