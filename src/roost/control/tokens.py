"""Bearer tokens: 32 random bytes as text, shown once, kept only as their SHA-256.

The text begins `roost_`, which no client of Fly's takes for a macaroon. What a token may do is
`roost.plan.authority`'s; here they are made, found, listed and ended.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from roost.control.context import Context
from roost.control.private_file import write_private
from roost.control.token_scope import NewToken, ended, name_of, scope_of
from roost.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    PreconditionError,
)
from roost.model.access import Token, TokenKind
from roost.model.ids import ulid
from roost.model.records import Machine
from roost.plan import authority
from roost.store.base import Change, Delete, Put

PREFIX = "roost_"
MAX_LENGTH = 256
MAX_TOKENS = 10_000
"""Tokens of one organization, dead ones included."""
KEPT_DEAD = 1000
"""Revoked and expired tokens that stay listed, newest first, for an organization."""


@dataclass(frozen=True, slots=True)
class Made:
    """A new token and its text, which nobody can find out later."""

    token: Token
    text: str


class Tokens:
    """Make, check, list and end tokens."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._store = context.store
        self._revoking = asyncio.Lock()

    def check(self, text: str) -> Token | None:
        """The valid token of this text, or None.

        The look-up is by hash and the comparison takes constant time, so nothing about other
        tokens can be learned from how long it takes.
        """
        if not text.startswith(PREFIX) or len(text) > MAX_LENGTH:
            return None
        digest = _digest(text)
        for stored in self._store.find(Token, "sha256", digest, limit=1):
            if hmac.compare_digest(stored.record.sha256, digest) and self._good(stored.record):
                return stored.record
        return None

    def valid(self, token_id: str) -> bool:
        """Whether a token that was valid still is: for calls that take long."""
        stored = self._store.get(Token, token_id)
        return stored is not None and self._good(stored.record)

    async def end_of(self, token: Token) -> None:
        """Return when the token is no longer valid: revoked, removed with what it was for, or
        expired.
        """
        ends = token.expires_at
        left = None if ends is None else max(0, ends - self._now()) / 1000
        try:
            async with asyncio.timeout(left):
                while self.valid(token.id):
                    try:
                        async for commit in self._store.watch(self._store.revision()):
                            if any(_touches(change, token) for change in commit.changes):
                                break
                        else:
                            return  # The store is closed.
                    except ConflictError:
                        continue  # Fell behind the history: look again.
        except TimeoutError:
            return

    def any_operator(self) -> bool:
        """Whether somebody can administer this Roost."""
        return any(self._good(token) for token in self.list(None))

    async def create(self, new: NewToken, *, by: Token) -> Made:
        """Make a token of at most the maker's own rights, scope and life.

        Raises InvalidError (what was named does not fit the kind), NotFoundError (organization,
        app, Machine), ForbiddenError (greater than `by`), PreconditionError (organization is being
        deleted, or has too many), ConflictError (app is being destroyed).
        """
        text = self.make_text()
        token = self._token(new, text, by)
        if not authority.within(by, token):
            raise ForbiddenError(
                f"token {authority.describe_token(by)} cannot make one that may do more than it: "
                f"{authority.describe_token(token)}"
            )
        if self._store.count(Token, "org", token.org or "") >= MAX_TOKENS:
            raise PreconditionError(
                f"there are {MAX_TOKENS} tokens already", hint="revoke those that nobody uses"
            )
        if token.app is not None:
            self._context.closing.refuse(token.app)
        await self._store.commit(Put(token, expect=0), *self._old(token.org))
        return Made(token, text)

    def list(self, org: str | None) -> list[Token]:
        """An organization's tokens, or (None) the operators', oldest first; dead ones included."""
        return [stored.record for stored in self._store.find(Token, "org", org or "")]

    async def revoke(self, org: str | None, token_id: str) -> Token:
        """End a token of an organization, or (None) an operator's; again changes nothing.

        Raises NotFoundError, and PreconditionError for the last operator token that is valid.
        """
        async with self._revoking:
            stored = self._store.get(Token, token_id)
            if stored is None or stored.record.org != org:
                raise NotFoundError(
                    f"token {token_id!r} not found",
                    hint="`roost tokens list` shows an organization's (--org), or the operators' "
                    "(--operator)",
                )
            token = stored.record
            if token.revoked_at is not None:
                return token
            if token.grade is TokenKind.OPERATOR:
                self._refuse_last(token)
            dead = token.model_copy(update={"revoked_at": self._now()})
            await self._store.commit(Put(dead, expect=stored.revision), *self._old(org))
            return dead

    def of_org(self, slug: str) -> Sequence[Change]:
        """Deletions of all tokens of an organization, for the commit that deletes it."""
        return [Delete(Token, stored.record.id) for stored in self._store.find(Token, "org", slug)]

    def make_text(self) -> str:
        """The text of a new token, not yet valid."""
        return PREFIX + base64.urlsafe_b64encode(self._context.random(32)).decode().rstrip("=")

    async def keep(self, name: str, text: str, *, expires_at: int | None = None) -> Token:
        """Make a text an operator's token, until `expires_at` (ms) if given."""
        token = self._stamp(NewToken(grade=TokenKind.OPERATOR, name=name), text, expires_at, {})
        await self._store.commit(Put(token, expect=0))
        return token

    def _token(self, new: NewToken, text: str, by: Token) -> Token:
        """Nothing outlives who made it: a short-lived token must not leave a long-lived one."""
        ends = self._now() + new.life_ms
        expires_at = ends if by.expires_at is None else min(ends, by.expires_at)
        token = self._stamp(new, text, expires_at, scope_of(self._store, new))
        return token.model_copy(update={"created_by": by.name})

    def _stamp(
        self, new: NewToken, text: str, expires_at: int | None, scope: dict[str, str | int]
    ) -> Token:
        now = self._now()
        return Token(
            id=ulid(now, self._context.random(10)),
            name=name_of(new),
            grade=new.grade,
            sha256=_digest(text),
            created_at=now,
            expires_at=expires_at,
            **scope,
        )

    def _refuse_last(self, token: Token) -> None:
        others = [one for one in self.list(None) if one.id != token.id and self._good(one)]
        if self._good(token) and not others:
            raise PreconditionError(
                f"token {token.name!r} is the last operator token that is valid",
                hint="make another one first: roost tokens create operator",
            )

    def _old(self, org: str | None) -> Sequence[Change]:
        """Deletions of the oldest dead tokens beyond KEPT_DEAD."""
        if self._store.count(Token, "org", org or "") <= KEPT_DEAD:
            return []
        dead = [token for token in self.list(org) if not token.valid_at(self._now())]
        return [Delete(Token, token.id) for token in dead[: max(0, len(dead) - KEPT_DEAD)]]

    def _good(self, token: Token) -> bool:
        """Valid now, and what it is for is there; a Machine's token dies with its Machine."""
        if not token.valid_at(self._now()):
            return False
        if token.machine is None:
            return True
        stored = self._store.get(Machine, token.machine)
        return stored is not None and not ended(stored.record)

    def _now(self) -> int:
        return self._context.clock.now_ms()


def write_token_file(path: Path, text: str) -> None:
    """Write a token for the command line, readable by its owner only. Raises UnavailableError."""
    write_private(path, text.encode() + b"\n")


def _touches(change: Change, token: Token) -> bool:
    """Whether a change may have ended the token."""
    match change:
        case Put(record=record):
            return record.key in (token.id, token.machine)
        case Delete(key=key):
            return key in (token.id, token.machine)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
