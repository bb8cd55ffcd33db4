"""Keys of this ROOST_HOME: made once, 32 random bytes, mode 0600.

One seals secrets, one (an Ed25519 seed, RFC 8032) signs `Fly-Src`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

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
            f"the key {path} cannot be read: {error.strerror}", hint=_hint(path)
        ) from error
    if len(key) != SIZE:
        raise UnavailableError(
            f"the key {path} has {len(key)} bytes instead of {SIZE}", hint=_hint(path)
        )
    return key


def public_half(seed: bytes) -> bytes:
    """The 32-byte public key of an Ed25519 seed. Pure."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def _hint(path: Path) -> str:
    if path.name == "secret.key":
        return "restore it from a backup: without it the secrets are lost"
    return "restore it from a backup, or remove it: a new one is made at the next start"
