"""Answers the proxy's requests for certificates: one at a time for each app and audience.

The proxy repeats a request each second while somebody waits, so one that finds too many under way
is dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from roost.agent.proxy_link import ProxyLink
from roost.control.certificate_desk import CertificateDesk
from roost.errors import RoostError

log = logging.getLogger("roost.agent")

MAX_AT_ONCE = 64
"""Requests under way; each takes about a millisecond and a flush of the disk."""


class CertificateRequests:
    """See the module."""

    def __init__(self, desk: Callable[[], CertificateDesk], link: ProxyLink) -> None:
        self._desk = desk
        self._link = link
        self._busy: set[tuple[str, str]] = set()

    def asked(self, app: str, audience: str, group: asyncio.TaskGroup) -> None:
        """The proxy wants a certificate. Never blocks."""
        key = (app, audience)
        if key not in self._busy and len(self._busy) < MAX_AT_ONCE:
            self._busy.add(key)
            group.create_task(self._answer(app, audience), name=f"certificate:{app}/{audience}")

    async def _answer(self, app: str, audience: str) -> None:
        try:
            await self._desk().issue(app, audience)
            # The store's watch tells of a new one, but the proxy may lack one that was kept. As it
            # is now: it may have been replaced or removed since.
            if (issued := self._desk().issued(app, audience)) is not None:
                self._link.put_certificate(issued)
        except RoostError as error:
            self._link.certificate_failed(app, audience, str(error))
        except Exception as error:
            log.exception("certificate of %s for %s", app, audience)
            self._link.certificate_failed(app, audience, f"it could not be made: {error}")
        finally:
            self._busy.discard((app, audience))
