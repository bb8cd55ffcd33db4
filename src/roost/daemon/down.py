"""`roost down`: stop all Machines of this host in their own manner, then everything else.

What users wanted stays in the store: the next `roost up` starts the Machines that were started.
"""

from __future__ import annotations

import asyncio
import os
import select
import shutil
import signal
import subprocess
import sys

from roost.daemon import holder, lock
from roost.daemon.drivers import make_drivers
from roost.errors import DeadlineError, UnavailableError
from roost.home import Home
from roost.proxyctl.process import processes

STOP_ALL = signal.SIGUSR1
"""Tells the daemon to stop all Machines, then to leave."""

_MARGIN_SECONDS = 30
_LONGEST_STOP_SECONDS = 300 + _MARGIN_SECONDS


def down(home: Home, *, keep_machines: bool) -> int:
    """Stop this home's Roost. Returns 0 also when none runs (leftovers are cleared then)."""
    pid = lock.holder_pid(home)
    if keep_machines and pid is None:
        raise UnavailableError(f"no Roost is running for ROOST_HOME={home.root}")
    if pid is not None:
        _end_daemon(pid, signal.SIGTERM if keep_machines else STOP_ALL)
    if keep_machines:
        print("The daemon has ended; Machines and the proxy go on.")  # noqa: T201
        return 0
    inside = holder.find(home)
    if inside is not None:
        command = [*inside.enter_command(), sys.executable, "-m", "roost.daemon", "teardown"]
        environment = os.environ | {"ROOST_HOME": str(home.root)}
        subprocess.run(command, check=True, env=environment, cwd="/")
        holder.end(home)
    else:
        # Without its holder nothing can be entered, but a proxy must not stay without an owner.
        end_proxies(home)
    if home.run.is_dir():
        shutil.rmtree(home.run, ignore_errors=True)
    said = "Roost is down." if pid or inside else "No Roost was running."
    print(f"{said} (ROOST_HOME={home.root})")  # noqa: T201
    return 0


def teardown(home: Home) -> int:
    """Inside the holder's namespaces: take away everything that is left. Returns 0."""
    end_proxies(home)
    asyncio.run(_teardown_drivers(home))
    return 0


def end_proxies(home: Home) -> None:
    """The one that serves, and those whose connections still go on."""
    for process in processes(home):
        process.claim()
        process.end()


async def _teardown_drivers(home: Home) -> None:
    drivers = make_drivers(home, host_paths=())
    try:
        await drivers.runtime.setup()
        await drivers.runtime.teardown()
    finally:
        await drivers.network.teardown()


def _end_daemon(pid: int, signo: int) -> None:
    """Signal the daemon and wait until it has left. Raises DeadlineError."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(fd, signo)
        ended, _, _ = select.select([fd], [], [], _LONGEST_STOP_SECONDS)
    finally:
        os.close(fd)
    if not ended:
        raise DeadlineError(
            f"the daemon (pid {pid}) did not end within {_LONGEST_STOP_SECONDS} s",
            hint="look into run/roostd.log; ending it by kill -9 leaves Machines running",
        )
