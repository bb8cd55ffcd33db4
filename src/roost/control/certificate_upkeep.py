"""Keeps certificates in step with what they are for: follows the store, and looks over all of
them now and then. Events make it fast, the sweep makes it right.
"""

from __future__ import annotations

import asyncio
import logging

from roost.control.acting import acting_as, roost_itself
from roost.control.authorities import Authorities
from roost.control.certificates import SOON_MS, Certificates
from roost.control.context import Context
from roost.control.issuing import Issuing
from roost.errors import ConflictError, RoostError
from roost.model.certificates import Certificate, IssuedCertificate
from roost.model.records import App
from roost.store.base import Change, Put

log = logging.getLogger("roost.control")

EVERY_SECONDS = 3600.0
REMIND_MS = 24 * 3_600_000
"""An app's log is reminded that often of a certificate that ends."""


class CertificateUpkeep:
    """See the module. Has to be run."""

    def __init__(
        self,
        context: Context,
        authorities: Authorities,
        issuing: Issuing,
        certificates: Certificates,
    ) -> None:
        self._context = context
        self._store = context.store
        self._authorities = authorities
        self._issuing = issuing
        self._certificates = certificates
        self._reminded: dict[str, int] = {}

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(), name="certificates-follow")
            group.create_task(self._sweep_often(), name="certificates-sweep")

    async def sweep(self) -> None:
        """Remove what has ended, replace roots that will, remind of what users have to renew."""
        await self._issuing.sweep()
        with acting_as(roost_itself("keep the private CAs")):
            await self._authorities.succeed()
        now = self._context.clock.now_ms()
        for stored in self._store.scan(Certificate):
            if stored.record.not_after - SOON_MS < now:
                self._remind(stored.record, now)

    def _remind(self, record: Certificate, now: int) -> None:
        if now - self._reminded.get(record.hostname, -REMIND_MS) < REMIND_MS:
            return
        self._reminded[record.hostname] = now
        text = f"certificate for {record.hostname}: {self._certificates.warnings(record)[0]}"
        self._context.logs.write(record.app, text, level="warning")
        log.warning("%s (app %s)", text, record.app)

    async def _follow(self) -> None:
        while True:
            revision = self._store.revision()
            for app in {stored.record.app for stored in self._store.scan(IssuedCertificate)}:
                await self._look(app)
            try:
                async for commit in self._store.watch(revision):
                    for name in {app for change in commit.changes for app in _changed(change)}:
                        await self._look(name)
            except ConflictError:
                log.info("fell behind the store; looking at all certificates again")

    async def _look(self, app: str) -> None:
        try:
            await self._issuing.look(app)
        except RoostError as error:
            log.warning("certificates of app %s: %s", app, error)

    async def _sweep_often(self) -> None:
        while True:
            try:
                await self.sweep()
            except RoostError as error:
                log.warning("certificates: %s; trying again", error)
            await self._context.clock.sleep(EVERY_SECONDS)


def _changed(change: Change) -> tuple[str, ...]:
    """An address that is given or taken comes with a Put of its app."""
    match change:
        case Put(record=App() as app):
            return (app.name,)
        case _:
            return ()
