"""What a Machine's processes see of ROOST_HOME: nothing, by design. Blocks briefly.

A file is looked for at its own path, and below every mount of the Machine's that could show it.
A Machine's root may hold symbolic links made to mislead; they are resolved inside that root
(openat2), and nothing but regular files is ever opened for reading.
"""

from __future__ import annotations

import ctypes
import os
import re
import stat
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from roost.home import Home

_OPENAT2 = 437
_RESOLVE_IN_ROOT, _NO_MAGIC_LINKS = 0x10, 0x02
_FIRST_BYTES = 4096

_libc = ctypes.CDLL(None, use_errno=True)


def secrets_of(home: Home) -> tuple[Path, ...]:
    """What of a ROOST_HOME no Machine may see."""
    return (home.api_socket, *home.proxy_sockets, home.token, home.database, home.secret_key)


def seen_by(pid: int, netns: Path, paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """For each path of ours, how the process of a Machine sees it ("" when not at all).

    Nothing when the process is gone; that it is the Machine's is told by its network namespace.
    """
    try:
        root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        ours, theirs = _mounts("thread-self"), _mounts(str(pid))
        found = [(path, _seen(root, path, ours, theirs)) for path in paths]
    except OSError:
        return
    finally:
        os.close(root)
    if _lives_in(pid, netns):
        yield from found


@dataclass(frozen=True, slots=True)
class Mount:
    """A file system (by device), which folder of it is shown, and where."""

    device: str
    root: PurePosixPath
    point: PurePosixPath


def read_mounts(text: str) -> list[Mount]:
    """The mounts in a /proc/<pid>/mountinfo. Pure."""
    fields = (line.split() for line in text.splitlines())
    return [
        Mount(words[2], PurePosixPath(_plain(words[3])), PurePosixPath(_plain(words[4])))
        for words in fields
        if len(words) > 4
    ]


def places(path: Path, ours: Iterable[Mount], theirs: Iterable[Mount]) -> list[Path]:
    """Where a file of ours could be seen through others' mounts: at its own path, and wherever
    the folder that holds it is shown. Pure.
    """
    over = [mount for mount in ours if path.is_relative_to(mount.point)]
    if not over:
        return [path]
    mine = max(reversed(over), key=lambda mount: len(mount.point.parts))
    inside = mine.root / path.relative_to(mine.point)
    shown = (
        Path(mount.point / inside.relative_to(mount.root))
        for mount in theirs
        if mount.device == mine.device and inside.is_relative_to(mount.root)
    )
    return list(dict.fromkeys([path, *shown]))


def _seen(root: int, path: Path, ours: list[Mount], theirs: list[Mount]) -> str:
    for place in places(path, ours, theirs):
        if how := visible(root, place, path):
            return how
    return ""


def _mounts(process: str) -> list[Mount]:
    return read_mounts(Path(f"/proc/{process}/mountinfo").read_text(encoding="utf-8"))


def _plain(text: str) -> str:
    """Without the octal escapes of mountinfo."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _lives_in(pid: int, netns: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino == netns.stat().st_ino
    except OSError:
        return False


def visible(root: int, place: Path, path: Path) -> str:
    """How a file of ours is there at a place below another root: "" when it is not.

    A file of the same name that is not ours does not count.
    """
    try:
        fd = _open_below(root, place)
    except OSError:
        return ""
    try:
        how = _same(fd, path)
    finally:
        os.close(fd)
    return f"{how} at {place}" if how else ""


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
