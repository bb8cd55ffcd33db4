"""Releases: one numbered record for each deploy of an app."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from roost.control.app_lookup import get_app, must_be_same
from roost.control.context import Context
from roost.control.numbers import Numbers
from roost.errors import ConflictError, NotFoundError
from roost.model.ids import ulid
from roost.model.records import Release
from roost.store.base import Change, Delete, Put

ReleaseStatus = Literal["pending", "running", "complete", "failed", "interrupted"]

KEPT = 100
"""Releases kept for an app; older ones are dropped when a new one is made."""
_MAX_TRIES = 8


class Releases:
    """Write and list releases."""

    def __init__(self, context: Context, numbers: Numbers) -> None:
        self._context = context
        self._store = context.store
        self._numbers = numbers

    async def create(
        self,
        app: str,
        *,
        strategy: str,
        image: str,
        user: str,
        config: dict[str, Any],
        description: str = "",
    ) -> Release:
        """The next release of an app, `running`. Raises NotFoundError."""
        owner = get_app(self._store, app)
        name = owner.name
        version = await self._numbers.take(f"release/{name}")
        now = self._context.clock.now_ms()
        release = Release(
            id=ulid(now, self._context.random(10)),
            app=name,
            version=version,
            status="running",
            strategy=strategy,
            image=image,
            user=user,
            description=description,
            config=config,
            created_at=now,
        )
        must_be_same(self._context, owner)
        await self._store.commit(Put(release, expect=0), *self._drop_old(name))
        return release

    async def finish(self, app: str, version: int, status: ReleaseStatus) -> Release:
        """Set a release's status. Raises NotFoundError."""
        for _ in range(_MAX_TRIES):
            stored = self._store.get(Release, f"{app}/{version:08d}")
            if stored is None:
                raise NotFoundError(f'app "{app}" has no release v{version}')
            changed = stored.record.model_copy(update={"status": status})
            try:
                await self._store.commit(Put(changed, expect=stored.revision))
            except ConflictError:
                continue
            return changed
        raise ConflictError(f"release v{version} is changed by too many at once", hint="try again")

    def list(self, app: str) -> list[Release]:
        """An app's releases, newest first. Raises NotFoundError."""
        name = get_app(self._store, app).name
        return [stored.record for stored in reversed(self._store.find(Release, "app", name))]

    def _drop_old(self, app: str) -> Sequence[Change]:
        old = self._store.find(Release, "app", app)[: -(KEPT - 1)]
        return [Delete(Release, stored.record.key) for stored in old]
