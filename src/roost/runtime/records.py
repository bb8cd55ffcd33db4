"""The files of one container on this host, from which any later process finds it again.

| file                    | written by, when                                                |
|-------------------------|-----------------------------------------------------------------|
| `<id>/config.json`      | us, first                                                       |
| `<id>/roost.json`       | us, before conmon: runtime, labels, the process for exec        |
| `<id>/pid, conmon.pid`  | conmon                                                          |
| `<id>/main`             | us, last: pid and start time of the main process and of conmon  |
| `<id>/frozen`           | us, where no cgroup tells                                       |
| `.exits/<id>`           | conmon, at the end: the exit code                               |
| `.crun/<id>, .runc/<id>`| the OCI runtime; `exec.fifo` in it until the program is started |

A container without `main` is half-made. Everything here is worthless after a reboot.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roost.errors import InvalidError

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """roost.json: what we must remember. `process` has the shape of `process` in config.json."""

    runtime: str
    labels: Mapping[str, str] = field(default_factory=dict)
    process: Mapping[str, Any] = field(default_factory=dict)
    host_layer: str = ""
    trust_layer: str = ""


@dataclass(frozen=True, slots=True)
class Main:
    """The main process and its conmon, safe against reused process ids by their start times."""

    pid: int
    started: int
    conmon: int
    conmon_started: int

    @property
    def alive(self) -> bool:
        """Whether the main process runs (a dead one that is not reaped does not)."""
        return self.started >= 0 and start_time(self.pid) == self.started

    @property
    def conmon_alive(self) -> bool:
        """Whether its conmon runs."""
        return self.conmon_started >= 0 and start_time(self.conmon) == self.conmon_started


class Records:
    """Paths and files below `folder` (Home.containers)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.exits = folder / ".exits"
        self.sockets = folder / ".s"

    def setup(self) -> None:
        """Make the folders (0700: nobody else may talk to consoles)."""
        for folder in (self.folder, self.exits, self.sockets):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for runtime in ("crun", "runc"):
            self.runtime_root(runtime).mkdir(exist_ok=True, mode=0o700)

    def runtime_root(self, runtime: str) -> Path:
        """The OCI runtime's own state."""
        return self.folder / f".{runtime}"

    def bundle(self, container: str) -> Path:
        """The container's folder. Raises InvalidError for what cannot be an id."""
        if not _ID.fullmatch(container):
            raise InvalidError(f"container id {container!r} is not valid")
        return self.folder / container

    def names(self) -> list[str]:
        """All containers, complete or not."""
        if not self.folder.is_dir():
            return []
        return [entry.name for entry in self.folder.iterdir() if not entry.name.startswith(".")]

    # --- writing

    def begin(self, container: str, config: Mapping[str, object], record: Record) -> Path:
        """Make the bundle; returns its folder."""
        bundle = self.bundle(container)
        bundle.mkdir(mode=0o700)
        (bundle / "config.json").write_text(json.dumps(config))
        document = {
            "runtime": record.runtime,
            "labels": dict(record.labels),
            "process": dict(record.process),
            "host_layer": record.host_layer,
            "trust_layer": record.trust_layer,
        }
        (bundle / "roost.json").write_text(json.dumps(document))
        return bundle

    def complete(self, container: str, pid: int) -> Main:
        """Write `main`: from here on the container is whole."""
        bundle = self.bundle(container)
        conmon = _number(bundle / "conmon.pid")
        main = Main(pid, start_time(pid), conmon, start_time(conmon))
        text = f"{main.pid} {main.started} {main.conmon} {main.conmon_started}"
        partial = bundle / "main.new"
        partial.write_text(text)
        partial.rename(bundle / "main")
        return main

    def write_exit(self, container: str, code: int) -> None:
        """Write the exit file that a killed conmon could not write."""
        (self.exits / container).write_text(str(code))

    def mark_frozen(self, container: str, *, frozen: bool) -> None:
        """Remember a freeze that no cgroup shows."""
        path = self.bundle(container) / "frozen"
        if frozen:
            path.touch()
        else:
            path.unlink(missing_ok=True)

    def remove(self, container: str) -> None:
        """Remove every file of it."""
        bundle = self.bundle(container)
        with contextlib.suppress(FileNotFoundError):
            (self.sockets / container).unlink()
        for runtime in ("crun", "runc"):
            shutil.rmtree(self.runtime_root(runtime) / container, ignore_errors=True)
        # The bundle before the exit file: an exit without a bundle is invisible, the other way
        # round a dead container would look half-made.
        shutil.rmtree(bundle, ignore_errors=True)
        (self.exits / container).unlink(missing_ok=True)

    def keep_filter(self, container: str, key: str) -> None:
        """Keep the seccomp program that crun compiled for this container, under `key`."""
        compiled = self.runtime_root("crun") / container / "seccomp.bpf"
        partial = self._filter(f"{key}.{container}")
        with contextlib.suppress(OSError):
            partial.write_bytes(compiled.read_bytes())
            partial.rename(self._filter(key))

    def filter_program(self, key: str) -> str:
        """A kept seccomp program in base64, "" when there is none."""
        try:
            return base64.b64encode(self._filter(key).read_bytes()).decode()
        except OSError:
            return ""

    def _filter(self, name: str) -> Path:
        return self.folder / f".filter-{name}"

    # --- reading

    def record(self, container: str) -> Record | None:
        """roost.json, or None when the container is not that far (or gone)."""
        try:
            document = json.loads((self.bundle(container) / "roost.json").read_text())
        except (OSError, ValueError):
            return None
        return Record(**document)

    def main(self, container: str) -> Main | None:
        """`main`, or None for a half-made container (also a file that a power loss left empty)."""
        try:
            numbers = (self.bundle(container) / "main").read_text().split()
            return Main(*(int(number) for number in numbers))
        except (OSError, ValueError, TypeError):
            return None

    def half_made(self, container: str) -> list[int]:
        """Process ids of a conmon (and of what it started) that never got a `main` file."""
        bundle = self.bundle(container)
        conmon = _number(bundle / "conmon.pid")
        try:
            ours = os.fsencode(bundle) in Path(f"/proc/{conmon}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return []
        if not conmon or not ours:
            return []
        pid = _number(bundle / "pid")
        return [pid, conmon] if pid and parent_of(pid) == conmon else [conmon]

    def exit(self, container: str) -> tuple[int, int] | None:
        """(exit code, time in ms since the epoch), or None while it has not ended."""
        path = self.exits / container
        try:
            return int(path.read_text()), path.stat().st_mtime_ns // 1_000_000
        except (OSError, ValueError):
            return None

    def waiting(self, container: str, runtime: str) -> bool:
        """Whether it is created and not yet started."""
        return (self.runtime_root(runtime) / container / "exec.fifo").exists()

    def marked_frozen(self, container: str) -> bool:
        """See `mark_frozen`."""
        return (self.bundle(container) / "frozen").exists()


def start_time(pid: int) -> int:
    """When a live process started, in clock ticks since boot; -1 when there is none."""
    fields = _stat(pid)
    return int(fields[19]) if fields and fields[0] not in ("Z", "X") else -1


def parent_of(pid: int) -> int:
    """The parent of a process, 0 when there is none."""
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def _stat(pid: int) -> list[str]:
    """/proc/PID/stat from the state on (proc(5) field 3)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return []


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0
