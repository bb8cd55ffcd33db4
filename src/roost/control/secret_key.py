"""The key of this ROOST_HOME that seals secrets: made once, 32 random bytes, mode 0600."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from roost.control.private_file import write_private
from roost.errors import UnavailableError

SIZE = 32


def ensure_key(path: Path, random: Callable[[int], bytes]) -> bytes:
    """The key, made when there is none. Raises UnavailableError (damaged, not readable)."""
    try:
        if not path.exists():
            write_private(path, random(SIZE))
        return read_key(path)
    except OSError as error:
        raise UnavailableError(f"cannot read {path}: {error.strerror}") from error


def read_key(path: Path) -> bytes:
    """The key. Raises UnavailableError when it is missing or has another length."""
    try:
        key = path.read_bytes()
    except OSError as error:
        raise UnavailableError(
            f"the key of the secrets, {path}, cannot be read: {error.strerror}",
            hint="restore it from a backup: without it the secrets are lost",
        ) from error
    if len(key) != SIZE:
        raise UnavailableError(
            f"the key of the secrets, {path}, has {len(key)} bytes instead of {SIZE}",
            hint="restore it from a backup: without it the secrets are lost",
        )
    return key
