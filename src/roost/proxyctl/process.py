"""The roost-proxy process: found alive, or started; watched, and started again when it dies.

It runs in a session of its own and outlives the daemon, so that open connections do.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
from pathlib import Path

from roost.clock import Clock
from roost.errors import UnavailableError
from roost.home import Home
from roost.proxyctl.find import find_proxy

log = logging.getLogger("roost.proxy")

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0
_HEALTHY_SECONDS = 10.0


class ProxyProcess:
    """Keeps one roost-proxy running for a ROOST_HOME."""

    def __init__(self, home: Home, clock: Clock) -> None:
        self._home = home
        self._clock = clock
        self._pid_path = home.run / "proxy.pid"

    @property
    def pid(self) -> int | None:
        """Its pid while it lives."""
        try:
            pid = int(self._pid_path.read_text())
            cmdline = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if str(self._home.proxy_socket).encode() in cmdline else None

    async def supervise(self) -> None:
        """Start it when it is not there and whenever it ends; for ever. A crash loop slows down.

        Raises UnavailableError when the first one cannot be started; later it is tried again, since
        a daemon that leaves helps nobody.
        """
        pause = _FIRST_PAUSE
        pid: int | None = self.pid or self._spawn()
        while True:
            began = self._clock.monotonic()
            try:
                pid = pid or self.pid or self._spawn()
                await _wait_end(pid)
                log.error("roost-proxy (pid %d) ended; starting a new one", pid)
            except (UnavailableError, OSError) as error:
                log.error("roost-proxy is away: %s", error)
            pid = None
            if self._clock.monotonic() - began > _HEALTHY_SECONDS:
                pause = _FIRST_PAUSE
            await self._clock.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def end(self) -> None:
        """Kill it, if it lives (its connections end)."""
        pid = self.pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        self._pid_path.unlink(missing_ok=True)

    def _spawn(self) -> int:
        program = find_proxy()
        with (self._home.run / "proxy.log").open("ab") as output:
            try:
                process = subprocess.Popen(
                    [program, "--control", self._home.proxy_socket],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    cwd="/",
                )
            except OSError as error:
                raise UnavailableError(f"cannot start {program}: {error}") from error
        self._pid_path.write_text(str(process.pid))
        # Reaped by _wait_end; Popen must not warn about a child that lives on purpose.
        process.returncode = 0
        log.info("roost-proxy started (pid %d)", process.pid)
        return process.pid


async def _wait_end(pid: int) -> None:
    """Wait until the process ends, whether or not it is our child (pidfd_open(2))."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(fd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)
    try:
        os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222 - WNOHANG does not wait
    except ChildProcessError:
        log.debug("roost-proxy %d was another process's child", pid)
