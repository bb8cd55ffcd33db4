"""One roost-proxy process: started, watched, ended.

It runs in a session of its own and outlives the daemon, so that open connections do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

from roost.errors import UnavailableError
from roost.home import Home
from roost.pidfile import PidFile
from roost.proxyctl.find import find_proxy

log = logging.getLogger("roost.proxy")

_UCRED = struct.Struct("3i")
"""struct ucred: pid, uid, gid."""


class ProxyProcess:
    """The process with one of a ROOST_HOME's control sockets, if it lives."""

    def __init__(self, home: Home, number: int) -> None:
        self._home = home
        self.socket = home.proxy_sockets[number]
        self._pid_file = PidFile(home.run / f"proxy-{number + 1}.pid")
        self._child: int | None = None
        """Its pid when we started it, until it is reaped: so long nobody else has that pid."""

    @property
    def pid(self) -> int | None:
        """Its pid while it lives."""
        return self._pid_file.alive()

    def claim(self) -> None:
        """Note who listens on its socket, should a daemon have ended before it noted it (or have
        noted it elsewhere). Who was connected there is not any more.
        """
        if self.pid is None and (pid := _listener(self.socket)) is not None:
            with contextlib.suppress(ProcessLookupError):
                self._pid_file.write(pid)

    def start(self, *, standby: bool) -> int:
        """Start it; a standby one serves nothing until it has taken over. Its pid.

        Raises UnavailableError when it cannot be started.
        """
        program = find_proxy()
        command: list[str | Path] = [program, "--control", self.socket]
        if standby:
            command.append("--standby")
        try:
            with (self._home.run / "proxy.log").open("ab") as output:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    cwd="/",
                )
        except OSError as error:
            raise UnavailableError(f"cannot start {program}: {error}") from error
        try:
            self._pid_file.write(process.pid)
        except OSError as error:
            process.kill()
            status = process.wait()
            if not isinstance(error, ProcessLookupError):
                raise UnavailableError(f"cannot write {self._pid_file.path}: {error}") from error
            raise UnavailableError(
                f"{program} ended at once (status {status})",
                hint="look into run/proxy.log in ROOST_HOME",
            ) from None
        # Reaped by `ended`; Popen must not warn about a child that lives on purpose.
        process.returncode = 0
        self._child = process.pid
        log.info("roost-proxy started (pid %d)", process.pid)
        return process.pid

    def end(self) -> None:
        """Kill it, if it lives (its connections end)."""
        self._pid_file.end(signal.SIGKILL)

    async def killed(self) -> None:
        """Kill it, if it lives, and wait until it has ended."""
        await self._ended(self.end)

    async def ended(self) -> None:
        """Wait until it has ended, whether or not it is our child (pidfd_open(2))."""
        await self._ended(lambda: None)

    async def _ended(self, first: Callable[[], None]) -> None:
        pid = self._child or self.pid
        if pid is None:
            return
        try:
            fd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(fd, ended.set)
        try:
            first()
            await ended.wait()
        finally:
            loop.remove_reader(fd)
            os.close(fd)
        self._reap(pid)

    def _reap(self, pid: int) -> None:
        if self._child == pid:
            self._child = None
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            log.debug("roost-proxy %d was another process's child, or is reaped", pid)


def processes(home: Home) -> list[ProxyProcess]:
    """All there may be, alive or not."""
    return [ProxyProcess(home, number) for number in range(len(home.proxy_sockets))]


def _listener(path: Path) -> int | None:
    """The process of ours that listens on a Unix socket (SO_PEERCRED, unix(7))."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
        try:
            sock.connect(str(path))
        except OSError:
            return None
        who = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, _ = _UCRED.unpack(who)
    return int(pid) if pid > 0 and uid == os.geteuid() else None
