"""Ends of containers as they happen: one pidfd per living conmon, one queue.

conmon writes the exit file before it ends itself, so its end is the moment to read it. A conmon
that was killed leaves no file; its container is then without output and status, so it is ended,
and the file written in its place, so that everybody sees the same end.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable

from roost.runtime.base import Exit
from roost.runtime.records import Main, start_time


class ExitWatch:
    """Watches conmons; `ended` (called on the loop) makes the Exit of one whose conmon is gone."""

    def __init__(self, ended: Callable[[str], Exit]) -> None:
        self._ended = ended
        self._watched: dict[str, int] = {}
        self._queue: asyncio.Queue[Exit] = asyncio.Queue()

    def watch(self, container: str, main: Main) -> bool:
        """Start watching; False when its conmon is already gone."""
        if container in self._watched:
            return True
        try:
            pidfd = os.pidfd_open(main.conmon)
        except OSError:
            return False
        if start_time(main.conmon) != main.conmon_started:
            os.close(pidfd)
            return False
        self._watched[container] = pidfd
        asyncio.get_running_loop().add_reader(pidfd, self._fire, container)
        return True

    def forget(self, container: str) -> None:
        """Stop watching: its end is our own doing."""
        pidfd = self._watched.pop(container, None)
        if pidfd is not None:
            asyncio.get_running_loop().remove_reader(pidfd)
            os.close(pidfd)

    def close(self) -> None:
        """Forget all."""
        for container in list(self._watched):
            self.forget(container)

    def _fire(self, container: str) -> None:
        self.forget(container)
        self._queue.put_nowait(self._ended(container))

    async def events(self) -> AsyncIterator[Exit]:
        """Ends in their order, for ever."""
        while True:
            yield await self._queue.get()


def exit_of(container: str, code: int, at_ms: int, *, oom_killed: bool) -> Exit:
    """An Exit from a shell-like code: 128+n is taken for signal n. Pure."""
    number = code - 128
    known = 0 < number <= max(signal.valid_signals())
    return Exit(
        id=container,
        exit_code=code,
        signal=number if known else 0,
        oom_killed=oom_killed,
        at_ms=at_ms,
    )
