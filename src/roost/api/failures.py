"""Wrong tokens: counted for each source and in all, logged, and slowed down when there are many.

Only calls without a valid token are ever held up. The table of sources is bounded: the one that
failed longest ago goes first, and what hides in a crowd of sources meets the bound on all.
"""

from __future__ import annotations

import ipaddress
import logging
import math
from collections import OrderedDict, deque

from roost.api.errors import TooManyFailuresError
from roost.clock import Clock

log = logging.getLogger("roost.api")

PER_SOURCE = 20
IN_ALL = 200
WINDOW_S = 10.0
MAX_SOURCES = 1024
_SHOWN = 200


class _Window:
    """The last `limit` failures."""

    def __init__(self, limit: int) -> None:
        self._times: deque[float] = deque(maxlen=limit)

    def left(self, now: float) -> float:
        """Seconds until one more is counted; 0 when it is counted now."""
        full = len(self._times) == self._times.maxlen
        return max(0.0, self._times[0] + WINDOW_S - now) if full else 0.0

    def add(self, now: float) -> bool:
        """Count one; whether the next will be one too many."""
        self._times.append(now)
        return self.left(now) > 0


class Failures:
    """Counts. Lives on the event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._all = _Window(IN_ALL)
        self._sources: OrderedDict[str, _Window] = OrderedDict()

    def add(self, source: str, path: str) -> None:
        """Note a failure of a source. Raises TooManyFailuresError when it is one too many; such
        are neither counted nor logged.
        """
        now = self._clock.monotonic()
        key = _neighbourhood(source)
        window = self._sources.pop(key, None) or _Window(PER_SOURCE)
        self._sources[key] = window
        if len(self._sources) > MAX_SOURCES:
            self._sources.popitem(last=False)
        if left := max(window.left(now), self._all.left(now)):
            raise TooManyFailuresError(
                "too many wrong tokens", hint="wait a few seconds", retry_after=math.ceil(left)
            )
        log.warning("refused a call without a valid token from %s: %.*r", source, _SHOWN, path)
        if window.add(now):
            log.warning("more refused calls from %s are not logged for a while", source)
        if self._all.add(now):
            log.warning("more refused calls are not logged for a while")


def _neighbourhood(source: str) -> str:
    """An IPv6 client has a whole /64 to call from, so that counts as one source."""
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return source
    if address.version == 4:
        return source
    mapped = address.ipv4_mapped
    return str(mapped or ipaddress.ip_network((int(address), 64), strict=False))
