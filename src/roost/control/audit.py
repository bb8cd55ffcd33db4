"""Reading the audit log: newest first, a page at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from roost.control.context import Context
from roost.model.access import AuditEntry
from roost.model.records import Org
from roost.store.base import Stored

MAX_PAGE = 1000


class Audit:
    """Who changed what."""

    def __init__(self, context: Context) -> None:
        self._store = context.store

    def of_all(self, *, app: str = "", before: str = "", limit: int = 100) -> Sequence[AuditEntry]:
        """Entries of all organizations, of one app if named, older than the one with the key
        `before`; at most `limit`.
        """
        found: Iterable[Stored[AuditEntry]]
        if app:
            found = self._store.find(AuditEntry, "app", app, after=before, limit=limit)
        else:
            found = self._store.scan(AuditEntry, after=before, limit=limit)
        return [stored.record for stored in found]

    def of_org(
        self, org: Org, *, app: str = "", before: str = "", limit: int = 100
    ) -> Sequence[AuditEntry]:
        """Entries of one organization, as it may read them: not those of an earlier one under the
        same slug, and of who acted from another organization only which that is.
        """
        index, value = ("both", f"{org.slug}/{app}") if app else ("org", org.slug)
        found = self._store.find(AuditEntry, index, value, after=before, limit=limit)
        return [_shown(s.record, org) for s in found if s.record.at >= org.created_at]


def _shown(entry: AuditEntry, reader: Org) -> AuditEntry:
    if entry.actor_org in ("", reader.slug):
        return entry
    name = f"organization {entry.actor_org}"
    return entry.model_copy(update={"actor": name, "token": "", "action": "", "source": ""})
