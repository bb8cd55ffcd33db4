"""An app's log: the output of its Machines, and what Roost itself says about it, merged by time.

conmon writes one file per Machine while Roost may be away; Roost writes `platform.jsonl`. Following
looks at the files a few times a second while somebody listens, which survives rotation,
truncation and files that come and go, and needs nothing of the host.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from roost.clock import Clock
from roost.control.log_lines import (
    MAX_MESSAGE,
    LogLine,
    OutputJoiner,
    format_platform,
    parse_platform,
)
from roost.control.log_tail import FileTail
from roost.home import Home

MAX_PLATFORM = 1024 * 1024
"""Bytes of platform.jsonl before it is moved aside (one older file is kept)."""
MAX_READ = 1024 * 1024
"""Bytes read from the end of one file."""
POLL = 0.2
"""Seconds between looks at the files while somebody follows."""
PLATFORM = "platform.jsonl"
_MACHINE = re.compile(r"[A-Za-z0-9_-]{1,64}")


class AppLogs:
    """Writes and reads the logs below `home.logs`. App names are valid ones (model.ids)."""

    def __init__(self, home: Home, clock: Clock, *, region: str = "") -> None:
        self._home = home
        self._clock = clock
        self._region = region
        self._followed: dict[str, set[_Reader]] = {}

    def write(
        self,
        app: str,
        message: str,
        *,
        machine: str | None = None,
        source: str = "runner",
        level: str = "info",
        region: str = "",
        code: str | None = None,
    ) -> None:
        """Add a line of Roost's own. Never raises: a full disk must not stop a Machine."""
        line = LogLine(
            at_ns=self._clock.now_ms() * 1_000_000,
            app=app,
            message=message[:MAX_MESSAGE],
            instance=machine or "",
            region=region or self._region,
            level=level,
            source=source,
            code=code,
        )
        with suppress(OSError):
            self._append(self._home.platform_log(app), format_platform(line).encode() + b"\n")

    def read(self, app: str, *, machine: str | None = None, limit: int = 100) -> list[LogLine]:
        """The last `limit` lines, oldest first, of an app or of one Machine. Blocks on the disk."""
        return _Reader(self._home, app, machine, self._region).backlog(limit)

    async def follow(
        self,
        app: str,
        *,
        machine: str | None = None,
        backlog: int = 0,
        going_on: Callable[[], bool] = lambda: True,
    ) -> AsyncIterator[LogLine]:
        """The last `backlog` lines, then new ones as they come; ends when the app is removed, and
        when `going_on` (asked before each look at the files) says no.
        """
        reader = _Reader(self._home, app, machine, self._region)
        followers = self._followed.setdefault(app, set())
        followers.add(reader)
        try:
            for line in await asyncio.to_thread(reader.backlog, backlog):
                yield line
            while not reader.gone and going_on():
                lines = await asyncio.to_thread(reader.more)
                for line in lines:
                    yield line
                if not lines:
                    await self._clock.sleep(POLL)
        finally:
            followers.discard(reader)
            if not followers and self._followed.get(app) is followers:
                del self._followed[app]

    def tail(self, app: str, machine: str, lines: int) -> list[str]:
        """The last output lines of one Machine, without Roost's own. Blocks on the disk."""
        source = _output(self._home, app, machine, self._region)
        found = source.parse(source.file.last(lines * 2, MAX_READ)) if source else []
        return [line.message for line in found[-lines:]] if lines > 0 else []

    def forget(self, app: str, machine: str) -> None:
        """Remove the output of a Machine that is gone. Never raises."""
        if _MACHINE.fullmatch(machine):
            path = self._home.machine_log(app, machine)
            for file in (path, path.with_name(path.name + ".1")):
                with suppress(OSError):
                    file.unlink(missing_ok=True)

    def remove(self, app: str) -> None:
        """Remove all logs of an app and let its followers go. Never raises. Blocks on the disk."""
        for reader in tuple(self._followed.get(app, ())):
            reader.gone = True
        shutil.rmtree(self._home.logs / app, ignore_errors=True)

    def _append(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(path, flags, 0o600)
        try:
            os.write(descriptor, data)
            full = os.fstat(descriptor).st_size > MAX_PLATFORM
        finally:
            os.close(descriptor)
        if full:
            path.replace(path.with_name(path.name + ".1"))


@dataclass(slots=True)
class _Source:
    """One file and how its lines are read; `joiner` is None for Roost's own."""

    app: str
    file: FileTail
    joiner: OutputJoiner | None = None
    only: str | None = None

    def parse(self, texts: list[str]) -> list[LogLine]:
        lines = [
            self.joiner.feed(text) if self.joiner else parse_platform(self.app, text)
            for text in texts
        ]
        return [line for line in lines if line and (not self.only or line.instance == self.only)]


@dataclass(slots=True, eq=False)
class _Reader:
    """All files of an app (or of one Machine), those that appear later included."""

    home: Home
    app: str
    machine: str | None
    region: str
    sources: dict[str, _Source] = field(default_factory=dict)
    gone: bool = False

    def backlog(self, limit: int) -> list[LogLine]:
        """The last lines of what is there; `more` goes on behind them."""
        self._discover()
        lines = [
            line
            for source in self.sources.values()
            for line in source.parse(source.file.last(max(limit, 0), MAX_READ))
        ]
        lines.sort(key=lambda line: line.at_ns)
        return lines[-limit:] if limit > 0 else []

    def more(self) -> list[LogLine]:
        """Lines written since."""
        self._discover()
        lines = [
            line for source in self.sources.values() for line in source.parse(source.file.more())
        ]
        lines.sort(key=lambda line: line.at_ns)
        return lines

    def _discover(self) -> None:
        folder = self.home.logs / self.app
        try:
            names = set(os.listdir(folder))  # noqa: PTH208 - names only
        except OSError:
            return
        for name in self.sources.keys() - names:
            del self.sources[name]
        for name in names - self.sources.keys():
            source = self._source(name)
            if source is not None:
                self.sources[name] = source

    def _source(self, name: str) -> _Source | None:
        if name == PLATFORM:
            file = FileTail(self.home.platform_log(self.app))
            return _Source(self.app, file, only=self.machine)
        if not name.endswith(".log"):
            return None
        machine = name.removesuffix(".log")
        if self.machine not in (None, machine):
            return None
        return _output(self.home, self.app, machine, self.region)


def _output(home: Home, app: str, machine: str, region: str) -> _Source | None:
    if not _MACHINE.fullmatch(machine):
        return None
    joiner = OutputJoiner(app, machine, region)
    return _Source(app, FileTail(home.machine_log(app, machine)), joiner=joiner)
