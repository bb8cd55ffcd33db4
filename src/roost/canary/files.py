"""What a Machine's processes see of ROOST_HOME: nothing, by design. Blocks briefly.

A Machine's root may hold symbolic links made to mislead; they are resolved inside that root
(openat2), and nothing but regular files is ever opened for reading.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

from roost.home import Home

_OPENAT2 = 437
_RESOLVE_IN_ROOT, _NO_MAGIC_LINKS = 0x10, 0x02
_FIRST_BYTES = 4096

_libc = ctypes.CDLL(None, use_errno=True)


def secrets_of(home: Home) -> tuple[Path, ...]:
    """What of a ROOST_HOME no Machine may see."""
    return (home.api_socket, home.proxy_socket, home.token, home.database, home.secret_key)


def seen_by(pid: int, netns: Path, paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """For each path of ours, how the process of a Machine sees it ("" when not at all).

    Nothing when the process is gone; that it is the Machine's is told by its network namespace.
    """
    try:
        fd = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        found = [(path, visible(fd, path)) for path in paths]
    finally:
        os.close(fd)
    if _lives_in(pid, netns):
        yield from found


def _lives_in(pid: int, netns: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino == netns.stat().st_ino
    except OSError:
        return False


def visible(root: int, path: Path) -> str:
    """How an absolute path of ours is there below another root: "" when it is not.

    A file of the same name that is not ours does not count.
    """
    try:
        fd = _open_below(root, path)
    except OSError:
        return ""
    try:
        return _same(fd, path)
    finally:
        os.close(fd)


def _same(fd: int, path: Path) -> str:
    try:
        there, ours = os.fstat(fd), path.stat()
    except OSError:
        return ""
    if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
        return "it is there"
    if stat.S_ISREG(there.st_mode) and stat.S_ISREG(ours.st_mode) and ours.st_size:
        return "a copy is there" if _first(Path(f"/proc/self/fd/{fd}")) == _first(path) else ""
    return ""


def _first(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_FIRST_BYTES)


def _open_below(root: int, path: Path) -> int:
    how = struct.pack("=QQQ", os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT | _NO_MAGIC_LINKS)
    name = os.fsencode(str(path).lstrip("/"))
    fd: int = _libc.syscall(_OPENAT2, root, name, how, len(how))
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return fd
