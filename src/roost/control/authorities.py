"""The private CA of each organization: its roots, made when they are first needed.

The newest root signs. After `rotate` the older ones stay trusted, and the newer is certified by
them (`cross`), so that Machines which were started before go on believing what is issued; `remove`
ends that. Keys are sealed and never leave this process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cryptography import x509

from roost.control.context import Context
from roost.control.orgs import Orgs
from roost.control.sealer import Sealer
from roost.errors import InvalidError, NotFoundError, PreconditionError, UnavailableError
from roost.model.certificates import Authority, IssuedCertificate
from roost.pki import pem
from roost.pki.root import DAY_MS, FLYCAST, INSIDE, SKEW_MS, Root, Scope, new_root
from roost.store.base import Change, Delete, Put

MAX_ROOTS = 4
"""Roots of one organization at a time."""
SUCCEED_MS = 365 * DAY_MS
"""The newest root gets a successor that long before its end."""
SHORTEST_PREFIX = 8


@dataclass(frozen=True, slots=True)
class Signer:
    """The root that signs now, and what goes along for those who trust an older one."""

    fingerprint: str
    root: Root
    crosses: tuple[x509.Certificate, ...]


class Authorities:
    """Make, show, replace and remove roots."""

    def __init__(self, context: Context, orgs: Orgs, sealer: Sealer) -> None:
        self._context = context
        self._store = context.store
        self._orgs = orgs
        self._sealer = sealer
        self._making = asyncio.Lock()
        self._opened: dict[str, Root] = {}

    def trusted(self, org: str) -> Sequence[Authority]:
        """The roots to trust, the one that signs first. Raises NotFoundError (organization).

        One that has not begun, since it was made while the host's clock was ahead, is none yet.
        """
        now = self._context.clock.now_ms()
        return [one for one in self._kept(org) if one.created_at - SKEW_MS <= now < one.not_after]

    async def ensure(self, org: str) -> Sequence[Authority]:
        """The same, with one made when there is none. Raises also PreconditionError (the
        organization is being deleted), UnavailableError (key file).
        """
        found = self.trusted(org)
        if not found:
            async with self._making:
                if not self.trusted(org):
                    await self._make(org)
            found = self.trusted(org)
        return found

    async def rotate(self, org: str) -> Authority:
        """Make a new root that signs from now on; the older ones stay trusted.

        Raises NotFoundError, PreconditionError (too many), UnavailableError.
        """
        async with self._making:
            if len(self.trusted(org)) >= MAX_ROOTS:
                raise PreconditionError(
                    f"organization {org!r} has {MAX_ROOTS} roots already",
                    hint=f"remove one first: roost ca remove FINGERPRINT -o {org}",
                )
            return await self._make(org)

    async def remove(self, org: str, fingerprint: str) -> Authority:
        """Trust a root no longer, nor what it issued. `fingerprint` may be cut to 8 digits.

        Raises InvalidError, NotFoundError, PreconditionError (it is the one that signs).
        """
        found = self.trusted(org)
        wanted = self._chosen(org, found, fingerprint)
        if wanted == found[0]:
            raise PreconditionError(
                f"root {wanted.fingerprint[:16]} of organization {org!r} is the one that signs",
                hint=f"make another one first: roost ca rotate -o {org}",
            )
        issued = self._store.find(IssuedCertificate, "audience", wanted.org)
        await self._store.commit(
            Delete(Authority, wanted.key),
            # All of them: their chains lead to it. They are issued anew when they are asked for.
            *(Delete(IssuedCertificate, stored.record.key) for stored in issued),
        )
        self._opened.pop(wanted.key, None)
        return wanted

    async def signer(self, org: str) -> Signer:
        """What issues certificates for callers of an organization. Raises as `ensure`."""
        newest, *older = await self.ensure(org)
        return Signer(newest.fingerprint, self._open(newest), tuple(_crosses(newest, older)))

    async def succeed(self) -> None:
        """Give each root that ends within a year a successor, and drop those that have ended."""
        now = self._context.clock.now_ms()
        newest: dict[str, Authority] = {}
        for stored in self._store.scan(Authority):
            one = stored.record
            if one.not_after <= now:
                await self._store.commit(Delete(Authority, one.key))
            elif one.org not in newest or newest[one.org].number < one.number:
                newest[one.org] = one
        for one in newest.values():
            if one.not_after - SUCCEED_MS <= now:
                await self.rotate(one.org)

    def ended(self, org: str) -> Sequence[Change]:
        """Deletions of all that an organization's CA has, for the commit that deletes it."""
        roots = self._store.find(Authority, "org", org)
        issued = self._store.find(IssuedCertificate, "audience", org)
        return [
            *(Delete(Authority, stored.record.key) for stored in roots),
            *(Delete(IssuedCertificate, stored.record.key) for stored in issued),
        ]

    @property
    def scope(self) -> Scope:
        """What this Roost gives out, and so what roots made now may sign for."""
        public = self._context.public
        return Scope(
            domains=(FLYCAST, public.domain) if public.domain else (FLYCAST,),
            networks=(INSIDE, *public.networks),
        )

    async def _make(self, org: str) -> Authority:
        found, now = self.trusted(org), self._context.clock.now_ms()
        before = self._open(found[0]) if found else None
        mark = self._context.random(4).hex()
        root = new_root(org, self.scope, mark=mark, now_ms=now, before=before)
        fingerprint = pem.fingerprint(root.certificate)
        made = Authority(
            org=org,
            number=max((one.number for one in self._kept(org)), default=0) + 1,
            fingerprint=fingerprint,
            certificate=pem.chain_text([root.certificate]),
            cross=pem.chain_text([root.cross]) if root.cross else "",
            sealed=self._sealer.seal(_place(org, fingerprint), pem.key_text(root.key)),
            not_after=pem.milliseconds(root.certificate.not_valid_after_utc),
            created_at=now,
        )
        self._orgs.must_be_open(org)
        await self._store.commit(Put(made, expect=0))
        return made

    def _kept(self, org: str) -> Sequence[Authority]:
        """All of an organization, the newest first. Raises NotFoundError."""
        slug = self._orgs.get(org).slug
        found = [stored.record for stored in self._store.find(Authority, "org", slug)]
        return sorted(found, key=lambda one: one.number, reverse=True)

    def _open(self, record: Authority) -> Root:
        if record.key not in self._opened:
            place = _place(record.org, record.fingerprint)
            what = f"the key of root {record.fingerprint[:16]} of organization {record.org!r}"
            key = self._sealer.open(place, record.sealed, what=what)
            try:
                self._opened[record.key] = Root.load(record.certificate, key, record.cross)
            except (ValueError, TypeError) as error:
                raise UnavailableError(
                    f"{what} is damaged", hint="restore the database from a backup"
                ) from error
        return self._opened[record.key]

    @staticmethod
    def _chosen(org: str, found: Sequence[Authority], fingerprint: str) -> Authority:
        digits = fingerprint.replace(":", "").lower()
        matching = [one for one in found if one.fingerprint.startswith(digits)]
        if len(digits) < SHORTEST_PREFIX or len(matching) > 1:
            raise InvalidError(
                f"{fingerprint!r} does not say which root",
                hint=f"give at least {SHORTEST_PREFIX} digits of a fingerprint of `roost ca show`",
            )
        if not matching:
            raise NotFoundError(
                f"organization {org!r} has no root {fingerprint}",
                hint=f"`roost ca show {org}` shows them",
            )
        return matching[0]


def _crosses(newest: Authority, older: Sequence[Authority]) -> Iterator[x509.Certificate]:
    """What leads from the newest root to those before it, as far as they are trusted."""
    by_subject = {pem.load_chain(one.certificate)[0].subject: one for one in older}
    one: Authority | None = newest
    while one is not None and one.cross:
        cross = pem.load_chain(one.cross)[0]
        one = by_subject.pop(cross.issuer, None)
        if one is not None:
            yield cross


def _place(org: str, fingerprint: str) -> str:
    return f"authority:{org}/{fingerprint}"
