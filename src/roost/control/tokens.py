"""Bearer tokens: 32 random bytes as text, kept only as their SHA-256.

The text begins `roost_`, which no client of Fly's takes for a macaroon.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path

from roost.control.context import Context
from roost.control.private_file import write_private
from roost.model.access import Token
from roost.model.ids import ulid
from roost.store.base import Put

PREFIX = "roost_"
MAX_LENGTH = 256


class Tokens:
    """Make and check tokens."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._store = context.store

    def check(self, text: str) -> Token | None:
        """The token of this text, or None when there is none, or it was revoked or has expired.

        The look-up is by hash and the comparison takes constant time, so nothing about other
        tokens can be learned from how long it takes.
        """
        if not text.startswith(PREFIX) or len(text) > MAX_LENGTH:
            return None
        digest = _digest(text)
        for stored in self._store.find(Token, "sha256", digest, limit=1):
            token = stored.record
            if hmac.compare_digest(token.sha256, digest) and token.valid_at(self._now()):
                return token
        return None

    def any(self) -> bool:
        """Whether there is any token."""
        return self._store.count(Token) > 0

    def make_text(self) -> str:
        """The text of a new token, not yet valid: `keep` makes it so."""
        return PREFIX + base64.urlsafe_b64encode(self._context.random(32)).decode().rstrip("=")

    async def keep(self, name: str, text: str, *, expires_at: int | None = None) -> Token:
        """Make a token's text valid, until `expires_at` (ms) if given."""
        now = self._now()
        token = Token(
            id=ulid(now, self._context.random(10)),
            name=name,
            sha256=_digest(text),
            created_at=now,
            expires_at=expires_at,
        )
        await self._store.commit(Put(token, expect=0))
        return token

    def _now(self) -> int:
        return self._context.clock.now_ms()


def write_token_file(path: Path, text: str) -> None:
    """Write a token for the command line, readable by its owner only. Raises UnavailableError."""
    write_private(path, text.encode() + b"\n")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
