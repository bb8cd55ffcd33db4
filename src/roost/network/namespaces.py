"""The few system calls about namespaces that Python 3.11 lacks, through libc.

A thread that calls `unshare_network` or `enter_network` is elsewhere from then on, and so are the
threads and programs it starts: only a thread kept for that may do so (`worker.py`). The calling
thread's own view is at /proc/thread-self; /proc/self is the main thread's.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

OWN_NETWORK = Path("/proc/thread-self/ns/net")
"""The calling thread's network namespace."""

_CLONE_NEWNS = 0x0002_0000
_CLONE_NEWNET = 0x4000_0000
_MS_BIND = 0x1000
_MS_PRIVATE_RECURSIVE = 0x0004_0000 | 0x4000
_MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
)


def unshare_network() -> None:
    """Move the calling thread into a new, empty network namespace. Raises OSError."""
    _check(_libc.unshare(_CLONE_NEWNET), "unshare(CLONE_NEWNET)")


def unshare_mounts() -> None:
    """Give the calling thread a copy of the mount tree, shared with nobody. Raises OSError."""
    _check(_libc.unshare(_CLONE_NEWNS), "unshare(CLONE_NEWNS)")
    _check(_libc.mount(b"none", b"/", None, _MS_PRIVATE_RECURSIVE, None), "mount --make-rprivate /")


def enter_network(fd: int) -> None:
    """Move the calling thread into the network namespace behind a descriptor. Raises OSError."""
    _check(_libc.setns(fd, _CLONE_NEWNET), "setns")


def pin_network(path: Path) -> None:
    """Keep the calling thread's network namespace alive at `path` (made here). Raises OSError."""
    path.touch(mode=0o600)
    source = os.fsencode(OWN_NETWORK)
    _check(_libc.mount(source, os.fsencode(path), None, _MS_BIND, None), f"bind {path}")


def unpin(path: Path) -> None:
    """Take a namespace file away, mounted or not; missing is fine. Raises OSError."""
    while is_namespace(path):
        _check(_libc.umount2(os.fsencode(path), _MNT_DETACH), f"unmount {path}")
    path.unlink(missing_ok=True)


def is_namespace(path: Path) -> bool:
    """Whether a namespace is pinned at `path` in the calling thread's mount tree."""
    try:
        return path.stat().st_dev == OWN_NETWORK.stat().st_dev
    except FileNotFoundError:
        return False


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
