"""One daemon per ROOST_HOME: a lock that dies with its holder (flock(2))."""

from __future__ import annotations

import fcntl
import os

from roost.errors import ConflictError
from roost.home import Home


def acquire(home: Home) -> int:
    """Take the lock; returns the open descriptor (inheritable: pass it on to the daemon).

    Raises ConflictError when a daemon runs for this home.
    """
    path = home.run / "roostd.lock"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(fd, 32).decode().strip() or "unknown"
        os.close(fd)
        raise ConflictError(
            f"Roost is already running for ROOST_HOME={home.root} (pid {pid})",
            hint="use it, or stop it with `roost down`",
        ) from None
    os.set_inheritable(fd, True)
    return fd


def note_pid(fd: int) -> None:
    """Write our pid into the lock file, for those who meet it."""
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)


def holder_pid(home: Home) -> int | None:
    """The pid of the daemon that holds the lock now, or None."""
    path = home.run / "roostd.lock"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(fd, 32).decode().strip()
        return int(text) if text.isdigit() else None
    else:
        return None
    finally:
        os.close(fd)
