"""A container's root: image layers below, a writable layer above, mounted just long enough.

The overlay is mounted in our mount namespace, prepared (files written, user and command looked
up), handed to the OCI runtime and then unmounted lazily: the container's own mount namespace
keeps it, so ours does not grow with the number of Machines. The writable layer starts empty at
every create, and nobody mounts it twice, hence `volatile` (no fsync down to the disk).

Everything read from or written to an image goes through openat2(RESOLVE_IN_ROOT): an image's
symlinks lead nowhere but into the image.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from roost.errors import InvalidError, NotFoundError, UnavailableError
from roost.runtime import linux
from roost.runtime.base import Mounted
from roost.runtime.bundle import APP_DIR

_MAX_ACCOUNTS = 4 << 20
_MAX_LINKS = 40


@contextlib.contextmanager
def mounted(layers: Sequence[Path], scratch: Path, *, rootless: bool) -> Iterator[Path]:
    """Mount `layers` (lowest first) under a fresh writable layer in `scratch`; yields the root.

    Blocks for some milliseconds. Raises UnavailableError when the kernel refuses.
    """
    clear(scratch)
    root, upper, work = scratch / "root", scratch / "up", scratch / "work"
    for folder in (root, upper, work):
        folder.mkdir(parents=True)
    upper.chmod(0o755)
    flags = linux.MS_NODEV
    held = [os.open(layer, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for layer in layers]
    try:
        # Descriptor paths are short: a hundred layers fit into the one page mount(2) takes.
        lower = ":".join(f"/proc/self/fd/{descriptor}" for descriptor in reversed(held))
        options = f"lowerdir={lower},upperdir={upper},workdir={work},volatile"
        linux.mount("roost", root, "overlay", flags, options + (",userxattr" if rootless else ""))
    except OSError as error:
        raise UnavailableError(
            f"the image's layers cannot be mounted: {error.strerror}",
            hint="the kernel needs overlayfs (Linux 5.11 or newer without root), and ROOST_HOME "
            "a file system that can hold a writable layer",
        ) from error
    finally:
        for descriptor in held:
            os.close(descriptor)
    try:
        yield root
    finally:
        linux.unmount(root)


def clear(scratch: Path) -> None:
    """Remove a writable layer, mounted or not, complete or not."""
    with contextlib.suppress(OSError):
        linux.unmount(scratch / "root")
    if scratch.exists():
        # overlayfs leaves a folder without any permission in `work`.
        with contextlib.suppress(OSError):
            (scratch / "work" / "work").chmod(0o700)
        shutil.rmtree(scratch)


def read_file(root: Path, path: str) -> str:
    """Text of a small file inside, "" when there is none."""
    with _folder(root) as top, contextlib.suppress(OSError):
        descriptor = linux.open_in_root(top, path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return os.read(descriptor, _MAX_ACCOUNTS).decode(errors="replace")
        finally:
            os.close(descriptor)
    return ""


def is_folder(root: Path, path: str) -> bool:
    """Whether there is a folder of this path inside, links followed."""
    with _folder(root) as top, contextlib.suppress(OSError):
        os.close(linux.open_in_root(top, path, os.O_PATH | os.O_DIRECTORY))
        return True
    return False


def write_files(root: Path, files: Sequence[Mounted]) -> None:
    """Write files over the image; what was there (a symlink, say) is replaced.

    Raises InvalidError for a path that cannot be a file.
    """
    with _folder(root) as top:
        for file in files:
            try:
                _write(top, file)
            except OSError as error:
                raise InvalidError(
                    f"file {file.path!r} cannot be written into the Machine: {error.strerror}"
                ) from error


def make_folder(root: Path, path: str, uid: int = 0, gid: int = 0) -> None:
    """Make a folder inside with its parents (a WORKDIR that the image lacks)."""
    with _folder(root) as top:
        os.close(_walk(top, path.split("/"), owner=(uid, gid)))


def _write(top: int, file: Mounted) -> None:
    *parents, name = file.path.split("/")
    if not name or name in (".", ".."):
        raise InvalidError(f"file path {file.path!r} does not name a file")
    folder = _walk(top, parents)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(os.open(name, flags, file.mode, dir_fd=folder), "wb") as handle:
            os.fchmod(handle.fileno(), file.mode)
            handle.write(file.content)
    finally:
        os.close(folder)


def _walk(top: int, parts: Sequence[str], owner: tuple[int, int] = (0, 0)) -> int:
    """Open the folder inside, making what is missing."""
    done = "."
    for part in parts:
        parent, done = done, f"{done}/{part}"
        if part in ("", "."):
            continue
        with contextlib.suppress(FileExistsError):
            above = linux.open_in_root(top, parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.mkdir(part, 0o755, dir_fd=above)
                os.chmod(part, 0o755, dir_fd=above)  # noqa: S103 - a folder of the image  # noqa: PTH101 - whatever the umask
                os.chown(part, *owner, dir_fd=above, follow_symlinks=False)
            finally:
                os.close(above)
    return linux.open_in_root(top, done, os.O_RDONLY | os.O_DIRECTORY)


@contextlib.contextmanager
def _folder(root: Path) -> Iterator[int]:
    descriptor = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


# --- the command


def check_command(roots: Mapping[str, Path], command: str, search: str, working_dir: str) -> None:
    """Make sure that a command exists inside and may be executed.

    `roots` maps inside prefixes to folders of this host: "/" is the mounted image, and binds
    have theirs. `search` is PATH. Raises NotFoundError, which is better than an exit code that
    tells nothing.
    """
    if not command:
        raise InvalidError(
            "the Machine has no command", hint="set a command: the image brings none"
        )
    if "/" in command:
        places = [_join(working_dir, command)]
    else:
        places = [_join(working_dir, f"{part or '.'}/{command}") for part in search.split(":")]
    seen = [_executable(roots, place) for place in places]
    if "yes" in seen:
        return
    if "no" in seen:
        raise NotFoundError(
            f"command {command!r} in the image is not an executable file",
            hint="make it executable (chmod +x) or name another command",
        )
    where = command if "/" in command else f"PATH {search}"
    raise NotFoundError(
        f"command {command!r} is not in the image (looked for {where})",
        hint="check the command, or use an image that has it",
    )


def _join(folder: str, path: str) -> str:
    return path if path.startswith("/") else f"{folder.rstrip('/')}/{path}"


def _executable(roots: Mapping[str, Path], path: str) -> str:
    """ "yes", "no" (there, but not executable) or "" (absent)."""
    try:
        mode = _mode_inside(roots, path)
    except OSError:
        return ""
    return "yes" if stat.S_ISREG(mode) and mode & 0o111 else "no"


def _mode_inside(roots: Mapping[str, Path], path: str) -> int:
    """Mode of what a path leads to inside, where links cross from one root into another
    (/bin -> usr/bin, with /usr a bind; /app/python -> /usr/bin/python3). Raises OSError.
    """
    left = deque(path.split("/"))
    done, mode, links = "/", stat.S_IFDIR, 0
    while left:
        part = left.popleft()
        if part in ("", "."):
            continue
        if part == "..":
            done, mode = os.path.dirname(done), stat.S_IFDIR  # noqa: PTH120 - a path inside
            continue
        place = f"{done.rstrip('/')}/{part}"
        found = _host_place(roots, place)
        mode = os.lstat(found).st_mode
        if not stat.S_ISLNK(mode):
            done = place
            continue
        links += 1
        if links > _MAX_LINKS:
            raise OSError(errno.ELOOP, "too many links", path)
        target = os.readlink(found)  # noqa: PTH115 - as it stands, not resolved on this host
        done = "/" if target.startswith("/") else done
        left.extendleft(reversed(target.split("/")))
    return mode


def _host_place(roots: Mapping[str, Path], path: str) -> Path:
    """Where a path inside, free of links but for its last part, is on this host."""
    prefix = max((p for p in roots if _below(path, p)), key=len, default="/")
    return roots[prefix] / path[len(prefix) :].lstrip("/")


def _below(path: str, prefix: str) -> bool:
    return prefix in ("/", path) or path.startswith(prefix + "/")


def app_roots(root: Path, binds: Mapping[str, Path], app_dir: Path | None) -> dict[str, Path]:
    """The `roots` of a container: its image, read-only binds, and /app."""
    roots = {"/": root, **binds}
    if app_dir is not None:
        roots[APP_DIR] = app_dir
    return roots
