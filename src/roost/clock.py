"""Time as an argument: the only room-0 source of now and of waiting."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Wall time in milliseconds since the epoch, monotonic time in seconds, and sleep."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch (may jump)."""
        ...

    def monotonic(self) -> float:
        """Seconds from an arbitrary start (never goes back)."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; cancelled like any other await."""
        ...


class SystemClock:
    """The host's own clock."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds of CLOCK_MONOTONIC."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """`asyncio.sleep`."""
        await asyncio.sleep(seconds)
