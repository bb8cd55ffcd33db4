"""The daemon itself: wires the rooms and runs them in one TaskGroup tree."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import signal
import socket
from collections.abc import Mapping

from roost import log as logs_setup
from roost.agent.agent import Agent
from roost.agent.parts import Parts
from roost.agent.proxies import Proxies
from roost.api.app import create_app
from roost.api.server import serve
from roost.api.tls import Certificate
from roost.clock import SystemClock
from roost.control.audited import AuditedStore
from roost.control.context import Context
from roost.control.host import HostIdentity
from roost.control.key_file import ensure_key, public_half
from roost.control.logs import AppLogs
from roost.control.service import Control
from roost.daemon import lock
from roost.daemon.down import STOP_ALL
from roost.daemon.drivers import Drivers, make_drivers
from roost.daemon.identity import identify, resolvers
from roost.daemon.log_files import keep_bounded
from roost.daemon.options import Options
from roost.daemon.up import FDS, Fds
from roost.deploy.deployer import Deployer
from roost.deploy.scaler import Scaler
from roost.errors import RoostError
from roost.home import Home
from roost.plan import wake_budget
from roost.store.sqlite import SqliteStore

log = logging.getLogger("roost.daemon")


class _Ended(Exception):  # noqa: N818 - not an error: how the tree is left
    """A signal asked the daemon to leave."""


def run(home: Home, options: Options) -> int:
    """Run until a signal. Returns the exit status; a failed start is told to who waits for it."""
    logs_setup.configure(verbose=options.verbose)
    fds: Fds = json.loads(os.environ.pop(FDS, "{}"))
    for fd in fds.get("lock", []):
        lock.note_pid(fd)
    for fd in (fd for group in fds.values() for fd in group):
        # Children must not inherit them: one that outlives us would hold the lock.
        os.set_inheritable(fd, False)
    ready = _Ready(next(iter(fds.get("ready", [])), None))
    listening = [socket.socket(fileno=fd) for fd in fds.get("listen", [])]
    status = 0
    try:
        asyncio.run(_Daemon(home, options, listening, ready).main())
    except* _Ended:
        log.info("the daemon has ended")
    except* RoostError as group:
        sentence = str(_first(group))
        log.error("%s", sentence)
        ready.say(sentence)
        status = 1
    return status


class _Ready:
    """The pipe to the process that waits for us, if there is one."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd

    def say(self, text: str) -> None:
        """One line, once."""
        if self._fd is not None:
            os.write(self._fd, text.replace("\n", " ").encode() + b"\n")
            os.close(self._fd)
            self._fd = None


class _Daemon:
    """One run."""

    def __init__(
        self, home: Home, options: Options, listening: list[socket.socket], ready: _Ready
    ) -> None:
        self._home = home
        self._options = options
        self._listening = listening
        self._ready = ready
        self._clock = SystemClock()
        self._drivers: Drivers = make_drivers(home, host_paths=options.host_paths)
        self._store = SqliteStore(home.database)
        self._agent, self._control = self._wire()
        self._proxies = Proxies(home, self._clock, self._agent.link)

    def _wire(self) -> tuple[Agent, Control]:
        identity = identify(self._home, self._options.region)
        logs = AppLogs(self._home, self._clock, region=self._options.region)
        drivers = self._drivers
        source_key = ensure_key(self._home.source_key, os.urandom)
        parts = Parts(
            store=self._store,
            clock=self._clock,
            random=os.urandom,
            identity=identity,
            home=self._home,
            runtime=drivers.runtime,
            network=drivers.network,
            images=drivers.images,
            logs=logs,
            reveal=self._reveal,
            certificates=lambda: self._control.certificate_desk,
            prepared=self._options.prepared,
            public=self._options.public,
            source_key=public_half(source_key),
            prober=drivers.prober,
            canary_every=self._options.canary_every,
            host_ports=tuple(sock.getsockname()[1] for sock in self._listening),
            wakes=self._wakes(identity),
        )
        patience = self._options.wake_timeout_ms
        settings = {
            "resolvers": resolvers(),
            "wake_timeout_ms": patience,
            "queue_timeout_ms": patience,
            "src_key": base64.b64encode(source_key).decode(),
            **self._options.proxy_limits,
        }
        agent = Agent(parts, settings)
        context = Context(
            # The agent has the plain one: what it writes is nobody's change.
            store=AuditedStore(self._store, self._clock),
            clock=self._clock,
            random=os.urandom,
            host=identity,
            agent=agent,
            logs=logs,
            home=self._home,
            public=self._options.public,
        )
        return agent, Control(context)

    def _wakes(self, host: HostIdentity) -> wake_budget.Limits:
        """Who waits for memory hears of it a little before the proxy gives up."""
        options = self._options
        at_once, floor = options.wakes_at_once, options.memory_floor
        if at_once is None:
            at_once = wake_budget.default_at_once(host.cpus)
        if floor is None:
            floor = wake_budget.default_floor(host.memory_mb * wake_budget.MIB)
        patience = options.wake_timeout_ms * 9 // 10
        return wake_budget.Limits(at_once=at_once, floor=floor, patience_ms=patience)

    def _reveal(self, app: str) -> Mapping[str, str]:
        """The agent is made before control, so it reaches control's secrets through us."""
        return self._control.secrets.reveal(app)

    async def main(self) -> None:
        """Set the host up, adopt, serve; ends by raising _Ended inside the group."""
        try:
            await self._drivers.runtime.setup()
            await self._drivers.network.setup()
            await self._drivers.network.own_outside(self._options.public.networks)
            await self._control.first_start()
            self._tell_of_lost_addresses()
            await self._proxies.find()
            async with asyncio.TaskGroup() as group:
                self._watch_signals(group)
                group.create_task(self._proxies.supervise(), name="proxy-process")
                group.create_task(keep_bounded(self._home, self._clock), name="log-files")
                group.create_task(self._control.expiry.run(), name="expiry")
                group.create_task(self._control.certificate_upkeep.run(), name="certificates")
                adopted = asyncio.Event()
                group.create_task(self._agent.run(adopted), name="agent")
                await adopted.wait()
                await self._serve(group)
                self._say_ready()
        finally:
            await self._store.close()

    def _tell_of_lost_addresses(self) -> None:
        for address in self._control.addresses.outside_pool():
            log.warning(
                "public address %s of app %s is not in --public-pool any more: nobody outside "
                "reaches it; add its network again, or release it",
                address.ip,
                address.app,
            )

    async def _serve(self, group: asyncio.TaskGroup) -> None:
        control = self._control
        app = create_app(
            control,
            Deployer(control),
            Scaler(control),
            self._agent.canary,
            self._agent.parts.identity,
            proxies=self._proxies,
            group=group,
        )
        listening = asyncio.Event()
        context = None
        if self._options.tls is not None:
            certificate = Certificate(self._options.tls, self._clock)
            group.create_task(certificate.keep_fresh(), name="certificate")
            context = certificate.context
        serving = serve(
            app,
            unix_socket=self._home.api_socket,
            tcp=self._listening,
            tls=context,
            ready=listening,
        )
        group.create_task(serving, name="api")
        await listening.wait()

    def _say_ready(self) -> None:
        log.info(
            "Roost is up: ROOST_HOME=%s region=%s, the admin token is in %s",
            self._home.root,
            self._options.region,
            self._home.token,
        )
        self._ready.say("ready")

    def _watch_signals(self, group: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()

        def leave(*, stop_all: bool) -> None:
            group.create_task(self._leave(stop_all=stop_all), name="leave")

        for signo in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signo, lambda: leave(stop_all=False))
        loop.add_signal_handler(STOP_ALL, lambda: leave(stop_all=True))

    async def _leave(self, *, stop_all: bool) -> None:
        if stop_all:
            log.info("stopping all Machines")
            await self._agent.halt_all()
        else:
            log.info("leaving; Machines go on (`roost down` stops them)")
        raise _Ended


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first single exception of a group of groups."""
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
