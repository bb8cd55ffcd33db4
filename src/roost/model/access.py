"""Who may call the API, and what was changed by whom: tokens and the audit log's entries."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from roost.model.records import Record


class TokenKind(StrEnum):
    """What a token is good for; `roost.plan.authority` says what each may do."""

    OPERATOR = "operator"
    """Everything on this Roost, organizations themselves included; made at the first start."""
    ORG = "org"
    """Everything of one organization (its admin)."""
    READONLY = "readonly"
    """Looking at everything of one organization."""
    DEPLOY = "deploy"
    """One app: deploy, look, change its Machines, secrets and addresses."""
    MACHINE = "machine"
    """One Machine: look at it, start, stop, suspend it, run commands in it."""


class Token(Record):
    """A bearer token, kept only as the SHA-256 of its text.

    `org` is None for the operator's only. A deploy token names its app and the app's number,
    which no later app of the same name has.
    """

    kind: ClassVar[str] = "token"
    id: str
    name: str
    grade: TokenKind = TokenKind.OPERATOR
    org: str | None = None
    app: str | None = None
    app_number: int | None = None
    machine: str | None = None
    sha256: str
    created_at: int
    created_by: str = ""
    expires_at: int | None = None
    revoked_at: int | None = None

    @property
    def key(self) -> str:
        """The id."""
        return self.id

    def indexes(self) -> dict[str, str]:
        """By hash, organization ("" for operators), app and Machine."""
        pairs = {"sha256": self.sha256, "org": self.org or ""}
        pairs |= {"app": self.app} if self.app else {}
        return pairs | ({"machine": self.machine} if self.machine else {})

    def valid_at(self, now_ms: int) -> bool:
        """Whether it is neither revoked nor past its end."""
        alive = self.expires_at is None or now_ms < self.expires_at
        return alive and self.revoked_at is None


class AuditEntry(Record):
    """Changes that somebody made: written in the same commit as the changes themselves.

    Keys run backwards, so that what is newest is listed first.
    """

    kind: ClassVar[str] = "audit"
    number: int
    """Counts up from 1; a commit that failed leaves a gap."""
    slot: int = 0
    """Its place among the kept entries of its organization; the entry that comes to the same one
    after all others were used takes it.
    """
    at: int
    actor: str
    """Name of the token, or `roost` for what Roost did by itself."""
    token: str = ""
    """Id of the token."""
    actor_org: str = ""
    """Organization of the token; "" for an operator's and for Roost."""
    action: str
    """What was asked: `POST /v1/apps/web/ip_assignments`."""
    source: str = ""
    """Where the call came from: an address, or `socket`."""
    org: str = ""
    """Whose things were changed; "" for those of no organization."""
    app: str = ""
    """The app that they belong to, when it is one only."""
    changes: tuple[str, ...] = ()
    """The records written, as `create address fdaa:…` or `delete app web`."""

    @property
    def key(self) -> str:
        """`audit_key` of the number."""
        return audit_key(self.number)

    def indexes(self) -> dict[str, str]:
        """By organization, by app, and by both: a later app of that name may be another's. By slot
        for the entry that takes its place.
        """
        pairs = {"org": self.org, "slot": f"{self.org}/{self.slot}"}
        return pairs | ({"app": self.app, "both": f"{self.org}/{self.app}"} if self.app else {})


def audit_key(number: int) -> str:
    """The key of an audit entry, which is its id in the API: higher numbers sort first."""
    return f"{_LAST - number:012d}"


_LAST = 10**12 - 1
