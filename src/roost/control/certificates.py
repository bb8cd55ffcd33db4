"""Certificates that users bring: each makes a host name its app's, on the whole Roost.

First come, first served: a name that another app has is refused, whatever certificate comes with
it, and so is one below another organization's wildcard. Names below the public domain and
`.flycast` belong to the apps that are called so.
"""

from __future__ import annotations

import asyncio

from roost.control.app_lookup import find_app, get_app, must_be_same
from roost.control.context import Context
from roost.control.sealer import Sealer
from roost.errors import ConflictError, InvalidError, NotFoundError, PreconditionError
from roost.model.certificates import Certificate
from roost.model.records import App
from roost.pki import given
from roost.pki.hostnames import hostname as checked
from roost.pki.hostnames import wildcard_over
from roost.pki.root import DAY_MS, FLYCAST
from roost.store.base import Delete, Put, Stored

MAX_CERTIFICATES = 50
SOON_MS = 30 * DAY_MS
"""A certificate that ends within this is warned of."""
RESERVED = (FLYCAST, "internal")
_MAX_TRIES = 8


class Certificates:
    """List, add, replace and remove."""

    def __init__(self, context: Context, sealer: Sealer) -> None:
        self._context = context
        self._store = context.store
        self._sealer = sealer

    def list(self, app: str) -> list[Certificate]:
        """An app's, by host name. Raises NotFoundError."""
        name = get_app(self._store, app).name
        return [stored.record for stored in self._store.find(Certificate, "app", name)]

    def get(self, app: str, hostname: str) -> Certificate:
        """One. Raises InvalidError, NotFoundError."""
        return self._find(get_app(self._store, app).name, hostname).record

    async def put(self, app: str, hostname: str, chain: str, key: str) -> Certificate:
        """Add a certificate, or replace the one that the app has for the host name.

        Raises InvalidError (see `pki.given`), NotFoundError (app), ConflictError (the name is
        another app's: `hostname_taken`), PreconditionError (too many), UnavailableError (key file).
        """
        owner, name = get_app(self._store, app), checked(hostname)
        self._refuse_reserved(owner, name)
        now = self._context.clock.now_ms()
        found = await asyncio.to_thread(given.check, name, chain, key, now)
        for _ in range(_MAX_TRIES):
            stored = self._store.get(Certificate, name)
            self._refuse_taken(owner, name, stored)
            record = self._record(owner.name, name, found, stored)
            must_be_same(self._context, owner)
            try:
                await self._store.commit(
                    Put(record, expect=stored.revision if stored else 0), self._still(owner.name)
                )
            except ConflictError:
                continue
            return record
        raise ConflictError(f"certificates of {app!r} are changed by too many", hint="try again")

    async def remove(self, app: str, hostname: str) -> Certificate:
        """The host name is free again. Raises InvalidError, NotFoundError, ConflictError."""
        name = get_app(self._store, app).name
        for _ in range(_MAX_TRIES):
            stored = self._find(name, hostname)
            gone = Delete(Certificate, stored.record.key, expect=stored.revision)
            try:
                await self._store.commit(gone, self._still(name))
            except ConflictError:
                continue
            return stored.record
        raise ConflictError(f"certificates of {app!r} are changed by too many", hint="try again")

    def key_of(self, record: Certificate) -> str:
        """Its private key, PEM. Raises UnavailableError."""
        what = f"the key of the certificate for {record.hostname}"
        return self._sealer.open(_place(record.hostname), record.sealed, what=what)

    def warnings(self, record: Certificate) -> tuple[str, ...]:
        """What its owner should see to."""
        left = record.not_after - self._context.clock.now_ms()
        if left <= 0:
            return ("it has expired: add a renewed one", *record.remarks)
        if left < SOON_MS:
            return (f"it expires in {left // DAY_MS} days: add a renewed one", *record.remarks)
        return record.remarks

    def _record(
        self, app: str, name: str, found: given.Given, stored: Stored[Certificate] | None
    ) -> Certificate:
        now = self._context.clock.now_ms()
        return Certificate(
            hostname=name,
            app=app,
            chain=found.chain,
            sealed=self._sealer.seal(_place(name), found.key),
            issuer=found.issuer,
            key_type=found.key_type,
            remarks=found.remarks,
            not_before=found.not_before,
            not_after=found.not_after,
            created_at=stored.record.created_at if stored else now,
            updated_at=now,
        )

    def _refuse_reserved(self, owner: App, name: str) -> None:
        domain = self._context.public.domain
        for suffix in (*RESERVED, domain) if domain else RESERVED:
            below = name == suffix or name.endswith(f".{suffix}")
            if below and (name != f"{owner.name}.{suffix}" or suffix == "internal"):
                raise InvalidError(
                    f"{name} is not a name that app {owner.name!r} can have",
                    hint=f"names below {suffix} are those of the apps themselves",
                )

    def _refuse_taken(self, owner: App, name: str, stored: Stored[Certificate] | None) -> None:
        if stored is None:
            if self._store.count(Certificate, "app", owner.name) >= MAX_CERTIFICATES:
                raise PreconditionError(
                    f'app "{owner.name}" has {MAX_CERTIFICATES} certificates already',
                    hint=f"remove one first: roost certs remove HOSTNAME -a {owner.name}",
                )
            over = self._store.get(Certificate, wildcard_over(name))
            taken = over is not None and self._org_of(over.record.app) != owner.org
        else:
            taken = stored.record.app != owner.name
        if taken:
            raise ConflictError(
                f"the host name {name} is taken by another app",
                hint="it has to be removed there first",
                code="hostname_taken",
            )

    def _org_of(self, app: str) -> str:
        stored = self._store.get(App, app)
        return stored.record.org if stored else ""

    def _still(self, app: str) -> Put:
        """The app written as it is: it is not destroyed in between, and the proxy, which is told
        of apps, learns the names that this one has.
        """
        current = find_app(self._store, app)
        return Put(current.record, expect=current.revision)

    def _find(self, app: str, hostname: str) -> Stored[Certificate]:
        name = checked(hostname)
        stored = self._store.get(Certificate, name)
        if stored is None or stored.record.app != app:
            raise NotFoundError(
                f'app "{app}" has no certificate for {name}',
                hint=f"`roost certs list -a {app}` shows them",
            )
        return stored


def _place(hostname: str) -> str:
    return f"certificate:{hostname}"
