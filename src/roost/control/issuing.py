"""Certificates that apps show to their callers, issued by the callers' organization on demand.

Nothing is made until the proxy asks: a sleeping app with a TLS port costs nothing until somebody
speaks TLS to it. What was made is kept, and replaced (with a new key) when it is asked for past
two thirds of its life, or when the app's names change. Roost issues only for what the app has now:
its name and its addresses on networks of that organization.
"""

from __future__ import annotations

from roost.control.app_lookup import get_app, must_be_same
from roost.control.authorities import Authorities, Signer
from roost.control.context import Context
from roost.control.orgs import Orgs
from roost.control.sealer import Sealer
from roost.errors import ConflictError, NotFoundError, PreconditionError, RoostError
from roost.model.certificates import IssuedCertificate
from roost.model.machine_state import MachineState
from roost.model.records import Address, AddressType, App, Machine
from roost.pki.leaf import new_leaf
from roost.pki.root import FLYCAST, scope_of
from roost.proxyctl.ways import current
from roost.store.base import Delete, Put, Stored

TLS_HANDLERS = frozenset({"tls", "pg_tls"})
_MAX_TRIES = 8


class Issuing:
    """See the module."""

    def __init__(
        self, context: Context, orgs: Orgs, authorities: Authorities, sealer: Sealer
    ) -> None:
        self._context = context
        self._store = context.store
        self._orgs = orgs
        self._authorities = authorities
        self._sealer = sealer

    async def issue(self, app: str, audience: str, *, used: bool = True) -> IssuedCertificate:
        """The kept one, or a new one: when its names or its root are others, it is due for renewal
        and `used`, or it has ended.

        Raises NotFoundError, PreconditionError (the app is not called with TLS from there),
        ConflictError (it is being destroyed), UnavailableError (key file).
        """
        for _ in range(_MAX_TRIES):
            owner = get_app(self._store, app)
            self._must_speak_tls(owner)
            self._called(owner, audience)
            signer = await self._authorities.signer(audience)
            stored = self._stored(owner.name, audience)
            names = self._names(owner, audience, signer)
            if stored is not None and self._is_good(stored.record, names, signer, used):
                return stored.record
            made = self._make(owner, audience, names, signer)
            must_be_same(self._context, owner)
            self._orgs.must_be_open(audience)
            try:
                await self._store.commit(Put(made, expect=stored.revision if stored else 0))
            except ConflictError:
                continue
            return made
        raise ConflictError(f'certificates of app "{app}" are changed by too many at once')

    def issued(self, app: str, audience: str) -> IssuedCertificate | None:
        """What is kept now, good or not."""
        stored = self._stored(app, audience)
        return stored.record if stored is not None else None

    def key_of(self, record: IssuedCertificate) -> str:
        """Its private key, PEM. Raises UnavailableError."""
        what = f'the key of the certificate of app "{record.app}" for {record.audience!r}'
        return self._sealer.open(_place(record), record.sealed, what=what)

    async def look(self, app: str) -> None:
        """The app may have changed: certificates whose names it has no longer are replaced, those
        that nobody can ask for any more removed. What is only due for renewal is left to who uses
        it: an app that nobody calls costs nothing.
        """
        now = self._context.clock.now_ms()
        for stored in self._store.find(IssuedCertificate, "app", app):
            if stored.record.not_after <= now:
                await self._drop(stored)
                continue
            try:
                await self.issue(app, stored.record.audience, used=False)
            except (NotFoundError, PreconditionError):
                await self._drop(stored)
            except RoostError:
                # What is there goes on for its days; the next look, or handshake, tries again.
                continue

    async def sweep(self) -> None:
        """Remove what has ended, and what an app that is gone has left."""
        now = self._context.clock.now_ms()
        for stored in self._store.scan(IssuedCertificate):
            if stored.record.not_after <= now or self._store.get(App, stored.record.app) is None:
                await self._drop(stored)

    def _stored(self, app: str, audience: str) -> Stored[IssuedCertificate] | None:
        return self._store.get(IssuedCertificate, f"{app}/{audience}")

    async def _drop(self, stored: Stored[IssuedCertificate]) -> None:
        try:
            await self._store.commit(
                Delete(IssuedCertificate, stored.record.key, expect=stored.revision)
            )
        except ConflictError:
            return  # issued anew meanwhile

    def _make(
        self, owner: App, audience: str, names: tuple[str, ...], signer: Signer
    ) -> IssuedCertificate:
        now = self._context.clock.now_ms()
        leaf = new_leaf(signer.root, owner.name, names, now, signer.crosses)
        record = IssuedCertificate(
            app=owner.name,
            audience=audience,
            issuer=signer.fingerprint,
            names=names,
            chain=leaf.chain,
            sealed="",
            not_before=leaf.not_before,
            not_after=leaf.not_after,
            renew_at=leaf.renew_at,
        )
        return record.model_copy(update={"sealed": self._sealer.seal(_place(record), leaf.key)})

    def _is_good(
        self, record: IssuedCertificate, names: tuple[str, ...], signer: Signer, used: bool
    ) -> bool:
        # One that has not begun was made by a clock that was ahead, and nobody believes it.
        until = record.renew_at if used else record.not_after
        fresh = record.not_before <= self._context.clock.now_ms() < until
        return fresh and record.names == names and record.issuer == signer.fingerprint

    def _must_speak_tls(self, owner: App) -> None:
        for stored in self._store.find(Machine, "app", owner.name):
            machine = stored.record
            if machine.state is not MachineState.DESTROYED and any(
                TLS_HANDLERS & set(port.handlers)
                for service in machine.config.services
                for port in service.ports
            ):
                return
        raise PreconditionError(
            f'app "{owner.name}" has no port with the tls handler',
            hint='give one handlers = ["tls", "http"] and deploy',
        )

    def _called(self, owner: App, audience: str) -> list[Address]:
        """The app's addresses on the organization's networks; those outside count as its own's.

        Raises PreconditionError when there is none.
        """
        now = self._context.clock.now_ms()
        found = [s.record for s in self._store.find(Address, "app", owner.name)]
        called = [one for one in found if current(one, now) and _is_for(one, owner, audience)]
        if not called:
            raise PreconditionError(
                f'app "{owner.name}" has no address on a network of organization {audience!r}',
                hint=f"`roost ips list -a {owner.name}` shows those that it has",
            )
        return called

    def _names(self, owner: App, audience: str, signer: Signer) -> tuple[str, ...]:
        """What the app is called by there, as far as the root may sign for it."""
        called = self._called(owner, audience)
        names = [f"{owner.name}.{FLYCAST}"]
        if any(one.type.public for one in called):
            names.append(self._context.public.host(owner.name))
        # An address that apps share says nothing of whose it is.
        names += sorted(one.ip for one in called if one.type is not AddressType.SHARED_V4)
        scope = scope_of(signer.root.certificate)
        return tuple(name for name in names if name and name in scope)


def _is_for(address: Address, owner: App, audience: str) -> bool:
    return (owner.org if address.type.public else address.org) == audience


def _place(record: IssuedCertificate) -> str:
    return f"issued:{record.app}/{record.audience}/{record.not_before}"
