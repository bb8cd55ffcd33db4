"""Sealing of secrets and private keys: AES-256-GCM, bound to the place where they are kept.

A sealed value moved to another place (for a secret: app, name, version) does not open. The digest
shown to users is a keyed hash, so that a value cannot be guessed from it. Pure but for the nonce,
an argument.
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
    return seal_at(key, _context(app, name, version), value=value, nonce=nonce)


def unseal(key: bytes, app: str, name: str, version: int, sealed: str) -> str:
    """The value. Raises UnavailableError when key, place or content is not what it was."""
    what = f'secret {name} of app "{app}"'
    return unseal_at(key, _context(app, name, version), sealed, what=what)


def seal_at(key: bytes, place: str, *, value: str, nonce: bytes) -> str:
    """As `seal`, at a place of any form: no two kinds of things may have the same."""
    sealed = AESGCM(key).encrypt(nonce, value.encode(), place.encode())
    return base64.b64encode(nonce + sealed).decode()


def unseal_at(key: bytes, place: str, sealed: str, *, what: str) -> str:
    """The value; `what` names it in the error. Raises UnavailableError as `unseal`."""
    try:
        data = base64.b64decode(sealed, validate=True)
        plain = AESGCM(key).decrypt(data[:NONCE], data[NONCE:], place.encode())
    except (InvalidTag, binascii.Error, ValueError) as error:
        raise UnavailableError(
            f"{what} cannot be opened",
            hint="the key file is not the one it was sealed with; restore it, or set it again",
        ) from error
    return plain.decode()


def digest(key: bytes, app: str, name: str, value: str) -> str:
    """16 hex digits that change with the value and tell nothing about it without the key."""
    derived = hmac.digest(key, b"roost secret digest", hashlib.sha256)
    text = f"{app}\0{name}\0{value}".encode()
    return hmac.new(derived, text, hashlib.sha256).hexdigest()[:16]


def _context(app: str, name: str, version: int) -> str:
    return f"{app}/{name}/{version}"
