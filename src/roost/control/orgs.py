"""Organizations: owners of apps and networks."""

from __future__ import annotations

import re

from roost.control.context import Context
from roost.errors import ConflictError, InvalidError, NotFoundError, PreconditionError
from roost.model.ids import PERSONAL_ORG, app_name
from roost.model.records import Org
from roost.store.base import Put, Stored

MAX_NAME = 64
_NOT_SLUG = re.compile(r"[^a-z0-9]+")


def org_not_found(slug: str) -> NotFoundError:
    """The error for an organization that does not exist, or that the caller may not know of."""
    return NotFoundError(f"organization {slug!r} not found", hint="`roost orgs list` shows yours")


class Orgs:
    """Look up and make organizations. Ending one is `org_ending`'s."""

    def __init__(self, context: Context) -> None:
        self._store = context.store
        self._clock = context.clock

    def get(self, slug: str) -> Org:
        """The organization. Raises NotFoundError."""
        return self.find(slug).record

    def find(self, slug: str) -> Stored[Org]:
        """The organization with its revision. Raises NotFoundError."""
        stored = self._store.get(Org, slug)
        if stored is None:
            raise org_not_found(slug)
        return stored

    def must_be_open(self, slug: str) -> Org:
        """The organization, in which something may be made. Raises NotFoundError,
        PreconditionError while it is being deleted.
        """
        org = self.get(slug)
        if org.closed:
            raise PreconditionError(
                f"organization {slug!r} is being deleted", hint="use another organization"
            )
        return org

    def list(self) -> list[Org]:
        """All, by slug."""
        return [stored.record for stored in self._store.scan(Org)]

    async def create(self, name: str, slug: str = "") -> Org:
        """Make an organization; without `slug` it is made from the name.

        Raises InvalidError, and ConflictError (`name_taken`) when the slug is used.
        """
        shown = " ".join(name.split())
        if not 1 <= len(shown) <= MAX_NAME:
            raise InvalidError(f"an organization's name has 1 to {MAX_NAME} characters")
        chosen = slug or slug_of(shown)
        try:
            checked = app_name(chosen)
        except InvalidError as error:
            raise InvalidError(
                f"organization slug {chosen!r} is not valid", hint=error.hint
            ) from None
        org = Org(slug=checked, name=shown, created_at=self._clock.now_ms())
        try:
            await self._store.commit(Put(org, expect=0))
        except ConflictError:
            raise ConflictError(
                f'organization "{checked}" exists already',
                hint="choose another name",
                code="name_taken",
            ) from None
        return org

    async def ensure_personal(self) -> Org:
        """The organization that every Roost has, made when missing."""
        org = Org(slug=PERSONAL_ORG, name="Personal", created_at=self._clock.now_ms())
        try:
            await self._store.commit(Put(org, expect=0))
        except ConflictError:
            return self.get(PERSONAL_ORG)
        return org


def slug_of(name: str) -> str:
    """A slug from a name: lower case, anything but letters and digits becomes a dash. Pure."""
    return _NOT_SLUG.sub("-", name.lower()).strip("-")[:63].strip("-")
