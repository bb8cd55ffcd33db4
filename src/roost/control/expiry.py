"""Ends what was given until a date: addresses and grants.

The date itself is what counts: an address past it is left out of the proxy's table whenever that
is built, so a late look (the daemon was away) opens nothing. This loop makes the records follow.
"""

from __future__ import annotations

import logging

from roost.control.acting import acting_as, roost_itself
from roost.control.context import Context
from roost.control.grants import Grants
from roost.control.releasing import release_changes
from roost.errors import ConflictError, RoostError
from roost.model.grants import Grant, GrantEvent
from roost.model.records import Address

log = logging.getLogger("roost.control")

EVERY_SECONDS = 1.0
"""How often the few records that carry a date are looked at."""
ACTOR = "roost"


class Expiry:
    """See the module."""

    def __init__(self, context: Context, grants: Grants) -> None:
        self._context = context
        self._store = context.store
        self._grants = grants

    async def run(self) -> None:
        """Look, and look again, for ever. A failure is logged and tried again."""
        while True:
            try:
                with acting_as(roost_itself("end what has expired")):
                    await self.sweep()
            except RoostError as error:
                log.warning("ending what has expired: %s; trying again", error)
            await self._context.clock.sleep(EVERY_SECONDS)

    async def sweep(self) -> int:
        """End what is past its date now; how many ended. Raises ConflictError when contended."""
        ended = 0
        for address in self._store.find(Address, "expiring", "yes"):
            if self._is_due(address.record.expires_at) and not address.record.grant:
                ended += await self._end(address.record)
        for grant in self._store.find(Grant, "expiring", "yes"):
            if self._is_due(grant.record.expires_at):
                await self._grants.expire(grant.record.id)
                log.info("grant %s of app %s has expired", grant.record.id, grant.record.app)
                ended += 1
        return ended

    async def _end(self, address: Address) -> int:
        stored = self._store.get(Address, address.key)
        if stored is None:
            return 0
        now = self._context.clock.now_ms()
        changes = release_changes(self._store, stored, GrantEvent.EXPIRE, now=now, actor=ACTOR)
        try:
            await self._store.commit(*changes)
        except ConflictError:
            return 0  # changed meanwhile: the next look decides anew
        log.info("address %s of app %s has expired", address.ip, address.app)
        return 1

    def _is_due(self, expires_at: int | None) -> bool:
        return expires_at is not None and expires_at <= self._context.clock.now_ms()
