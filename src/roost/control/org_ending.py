"""Deleting an organization: only when it owns no apps, and then with everything it was given.

Its networks stay: an id is bound to its organization and name for ever, so that whoever makes an
organization of the same slug later gets the same prefixes, and nobody else ever does. What was let
in goes: addresses of others' apps on its networks, grants, tokens, its private CA, and its place
among replay sources.
"""

from __future__ import annotations

from roost.control.apps import Apps
from roost.control.authorities import Authorities
from roost.control.context import Context
from roost.control.networks import Networks
from roost.control.orgs import Orgs
from roost.control.releasing import release_changes
from roost.control.replays import without_source
from roost.control.tokens import Tokens
from roost.errors import ConflictError, PreconditionError
from roost.model.grants import Grant, GrantEvent, GrantState, transition
from roost.model.ids import PERSONAL_ORG
from roost.model.records import Address, Org
from roost.store.base import Change, Delete, Put, Stored


class OrgEnding:
    """Deletes organizations."""

    def __init__(
        self,
        context: Context,
        orgs: Orgs,
        networks: Networks,
        apps: Apps,
        tokens: Tokens,
        *,
        authorities: Authorities,
    ) -> None:
        self._context = context
        self._store = context.store
        self._orgs = orgs
        self._networks = networks
        self._apps = apps
        self._tokens = tokens
        self._authorities = authorities
        self._ending: set[str] = set()

    async def delete(self, slug: str, *, actor: str) -> Org:
        """Delete an organization without apps; asked again after a crash in the middle, it
        completes.

        Raises NotFoundError, PreconditionError (the personal one, or it has apps), ConflictError
        (another call is deleting it, or something of it was changed at this moment: nothing was
        deleted).
        """
        org = self._orgs.get(slug)
        if org.slug == PERSONAL_ORG:
            raise PreconditionError("the personal organization cannot be deleted")
        if slug in self._ending:
            raise ConflictError(f"organization {slug!r} is being deleted by another call")
        self._ending.add(slug)
        try:
            await self._delete(slug, actor)
        except BaseException:
            await self._set_closed(slug, False)
            raise
        finally:
            self._ending.discard(slug)
        return org

    async def _delete(self, slug: str, actor: str) -> None:
        self._refuse_apps(slug)
        # From here on nothing is begun in it. What was begun before is in the store when the
        # second commit is: they are made in order. So what is looked at below stays so.
        await self._set_closed(slug, True)
        await self._set_closed(slug, True)
        await self._end_consoles(slug)
        self._refuse_apps(slug)
        await self._store.commit(*self._changes(self._orgs.find(slug), actor))

    async def _end_consoles(self, slug: str) -> None:
        """Roost's own apps of the organization's networks, which nobody else would remove."""
        for app in self._apps.list(slug, internal=True):
            if app.internal:
                await self._apps.destroy(app.name)

    def _refuse_apps(self, slug: str) -> None:
        names = [app.name for app in self._apps.list(slug)]
        if names:
            raise PreconditionError(
                f"organization {slug!r} still owns {len(names)} app(s): {', '.join(names[:5])}",
                hint="destroy them first: roost apps destroy NAME",
            )

    def _changes(self, org: Stored[Org], actor: str) -> list[Change]:
        slug, now = org.record.slug, self._context.clock.now_ms()
        changes: list[Change] = [Delete(Org, slug, expect=org.revision)]
        seen: set[str] = set()
        for network in self._networks.list(slug):
            for address in self._store.find(Address, "network", str(network.id)):
                for change in release_changes(
                    self._store, address, GrantEvent.RELEASE, now=now, actor=actor
                ):
                    # An app with two addresses here is told once.
                    name = f"{type(change).__name__} {_key(change)}"
                    if name not in seen:
                        seen.add(name)
                        changes.append(change)
        for grant in self._store.find(Grant, "org", slug):
            if grant.record.state is GrantState.PENDING:
                state = transition(grant.record.state, GrantEvent.REJECT)
                ended = {"state": state, "decided_at": now, "decided_by": actor}
                changes.append(Put(grant.record.model_copy(update=ended), expect=grant.revision))
        changes += without_source(self._store, slug)
        return [*changes, *self._tokens.of_org(slug), *self._authorities.ended(slug)]

    async def _set_closed(self, slug: str, closed: bool) -> None:
        stored = self._store.get(Org, slug)
        if stored is not None and (closed or stored.record.closed):
            changed = stored.record.model_copy(update={"closed": closed})
            await self._store.commit(Put(changed, expect=stored.revision))


def _key(change: Change) -> str:
    match change:
        case Put(record=record):
            return f"{record.kind} {record.key}"
        case Delete(kind=kind, key=key):
            return f"{kind.kind} {key}"
