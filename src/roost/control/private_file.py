"""Files that only their owner may read: written whole or not at all, and flushed."""

from __future__ import annotations

import os
from pathlib import Path

from roost.errors import UnavailableError


def write_private(path: Path, content: bytes) -> None:
    """Put `content` at `path` with mode 0600, replacing what is there. Blocks on the disk.

    Raises UnavailableError.
    """
    fresh = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        raise UnavailableError(
            f"cannot write {path}: {error.strerror}", hint="check who owns ROOST_HOME"
        ) from error


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
