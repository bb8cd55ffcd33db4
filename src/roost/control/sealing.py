"""Sealing of secrets: AES-256-GCM, bound to app, name and version.

A sealed value moved to another app, name or version does not open. The digest shown to users is a
keyed hash, so that a value cannot be guessed from it. Pure but for the nonce, an argument.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from roost.errors import UnavailableError

NONCE = 12


def seal(key: bytes, app: str, name: str, version: int, *, value: str, nonce: bytes) -> str:
    """Base64 of nonce and ciphertext. `nonce` is 12 fresh random bytes."""
    sealed = AESGCM(key).encrypt(nonce, value.encode(), _context(app, name, version))
    return base64.b64encode(nonce + sealed).decode()


def unseal(key: bytes, app: str, name: str, version: int, sealed: str) -> str:
    """The value. Raises UnavailableError when key, place or content is not what it was."""
    try:
        data = base64.b64decode(sealed, validate=True)
        plain = AESGCM(key).decrypt(data[:NONCE], data[NONCE:], _context(app, name, version))
    except (InvalidTag, binascii.Error, ValueError) as error:
        raise UnavailableError(
            f'secret {name} of app "{app}" cannot be opened',
            hint="the key file is not the one it was sealed with; restore it, or set it again",
        ) from error
    return plain.decode()


def digest(key: bytes, app: str, name: str, value: str) -> str:
    """16 hex digits that change with the value and tell nothing about it without the key."""
    derived = hmac.digest(key, b"roost secret digest", hashlib.sha256)
    text = f"{app}\0{name}\0{value}".encode()
    return hmac.new(derived, text, hashlib.sha256).hexdigest()[:16]


def _context(app: str, name: str, version: int) -> bytes:
    return f"{app}/{name}/{version}".encode()
