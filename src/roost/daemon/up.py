"""`roost up`: lock, holder, listening sockets, then the daemon inside the holder's namespaces."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from roost.api import tls
from roost.clock import SystemClock
from roost.daemon import holder, lock
from roost.daemon.options import Options
from roost.errors import InvalidError, UnavailableError
from roost.home import Home

Fds = dict[str, list[int]]

FDS = "ROOST_UP_FDS"
"""Environment of the inner process: JSON of the descriptors it inherits, by purpose (`Fds`)."""

ROOTLESS = "ROOST_ROOTLESS"
"""Environment of the inner process: set when its root is only a user namespace's."""

_START_SECONDS = 60


def up(home: Home, options: Options, arguments: list[str], *, detach: bool) -> int:
    """Start the daemon. In the foreground this never returns (it becomes the daemon).

    Detached: returns 0 once the API answers. Raises ConflictError (already running),
    UnavailableError (cannot start; its log is quoted), InvalidError (address in use, certificate).
    """
    make_folders(home)
    lock_fd = lock.acquire(home)
    if options.tls is not None:
        # Here too, where the user sees the sentence at once.
        tls.load(options.tls, SystemClock().now_ms())
    sockets = [_bind(host, port) for host, port in options.listen]
    inside = holder.ensure(home)
    command = [*inside.enter_command(), sys.executable, "-m", "roost.daemon", "run", *arguments]
    fds: Fds = {"lock": [lock_fd], "listen": [item.fileno() for item in sockets]}
    for item in sockets:
        item.set_inheritable(True)
    if detach:
        return _detached(home, command, fds, rootless=inside.rootless)
    environment = _environment(home, fds, rootless=inside.rootless)
    os.execve(command[0], command, environment)  # noqa: S606 - becomes the daemon
    raise AssertionError  # execve does not return


def make_folders(home: Home) -> None:
    """Make ROOST_HOME and its parts, closed to others. Raises UnavailableError."""
    try:
        for folder in (home.root, home.run, home.netns, home.containers, home.images, home.logs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        home.root.chmod(0o711)
    except OSError as error:
        raise UnavailableError(
            f"cannot make ROOST_HOME {home.root}: {error.strerror}",
            hint="choose a folder that you may write to with ROOST_HOME=…",
        ) from error


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        raise InvalidError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    sock.listen(128)
    return sock


def _environment(home: Home, fds: Fds, *, rootless: bool) -> dict[str, str]:
    """Inside a user namespace the daemon looks like root: it must be told what it is."""
    mode = {ROOTLESS: "1"} if rootless else {}
    return {**os.environ, **mode, "ROOST_HOME": str(home.root), FDS: json.dumps(fds)}


def _detached(home: Home, command: list[str], fds: Fds, *, rootless: bool) -> int:
    log_path = home.run / "roostd.log"
    read_end, write_end = os.pipe()
    os.set_inheritable(write_end, True)
    numbers = [fd for group in fds.values() for fd in group]
    with log_path.open("ab") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            pass_fds=[*numbers, write_end],
            env=_environment(home, fds | {"ready": [write_end]}, rootless=rootless),
            cwd="/",
        )
    os.close(write_end)
    message = _read_ready(read_end)
    if message == "ready":
        print(f"Roost is up (pid {process.pid}, ROOST_HOME={home.root}).")  # noqa: T201
        process.returncode = 0
        return 0
    process.kill()
    process.wait()
    raise UnavailableError(message or f"Roost did not start: {_last_line(log_path)}")


def _read_ready(fd: int) -> str:
    """What the daemon says of itself: "ready", a sentence, or "" when it died silently."""
    import select

    with os.fdopen(fd) as pipe:
        readable, _, _ = select.select([pipe], [], [], _START_SECONDS)
        return pipe.readline().strip() if readable else f"no answer within {_START_SECONDS} s"


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"see {path}"
