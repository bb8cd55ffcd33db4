"""System calls that Python 3.11 has no name for; each raises OSError with the kernel's errno.

Nothing here decides anything. All calls may block for as long as the kernel needs (microseconds,
but for `reclaim` work), so mounts belong into a worker thread.
"""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MNT_DETACH = 2
CLONE_NEWCGROUP = 0x02000000

RESOLVE_IN_ROOT = 0x10
MADV_PAGEOUT = 21

_SYS_OPENAT2 = 437
_SYS_PROCESS_MADVISE = 440
_CGROUP2_MAGIC = 0x63677270
_IOV_MAX = 1024

_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: Path, fstype: str, flags: int = 0, data: str = "") -> None:
    """mount(2). `data` may be at most one page long."""
    result = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        os.fsencode(fstype),
        ctypes.c_ulong(flags),
        os.fsencode(data),
    )
    _check(result, target)


def unmount(target: Path) -> None:
    """umount2(2), lazily: those who still use the mount keep it."""
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), target)


def unshare(flags: int) -> None:
    """unshare(2) for the calling thread only."""
    _check(_libc.unshare(ctypes.c_int(flags)), None)


def is_cgroup2(path: Path) -> bool:
    """Whether the file system at `path` is the unified cgroup hierarchy."""
    buffer = ctypes.create_string_buffer(256)
    if _libc.statfs(os.fsencode(path), buffer) != 0:
        return False
    return bool(struct.unpack_from("l", buffer.raw)[0] == _CGROUP2_MAGIC)


def open_in_root(root: int, path: str, flags: int, mode: int = 0) -> int:
    """openat2(2) with RESOLVE_IN_ROOT: no symlink and no `..` leads out of the folder `root`.

    Returns a descriptor (close-on-exec). A `mode` must be 0 unless O_CREAT is among the flags.
    """
    how = struct.pack("QQQ", flags | os.O_CLOEXEC, mode, RESOLVE_IN_ROOT)
    result = _libc.syscall(
        ctypes.c_long(_SYS_OPENAT2),
        ctypes.c_int(root),
        os.fsencode(path),
        ctypes.c_char_p(how),
        ctypes.c_size_t(len(how)),
    )
    _check(result, path)
    return int(result)


def process_madvise(pidfd: int, ranges: list[tuple[int, int]], advice: int) -> int:
    """process_madvise(2) over (start, length) ranges of another process; bytes advised.

    Splits into calls of at most 1024 ranges. Raises OSError when the kernel refuses the first
    one; a later refusal ends the work with what was done.
    """
    done = 0
    for first in range(0, len(ranges), _IOV_MAX):
        part = ranges[first : first + _IOV_MAX]
        vector = b"".join(struct.pack("QQ", *span) for span in part)
        result = _libc.syscall(
            ctypes.c_long(_SYS_PROCESS_MADVISE),
            ctypes.c_int(pidfd),
            ctypes.c_char_p(vector),
            ctypes.c_size_t(len(part)),
            ctypes.c_int(advice),
            ctypes.c_uint(0),
        )
        if result < 0 and done:
            break
        _check(result, None)
        done += int(result)
    return done


def _check(result: int, path: Path | str | None) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), None if path is None else str(path))
