"""The cgroups of one ROOST_HOME's containers: `roost-<8 hex of the home>/<container>`.

File operations on cgroupfs only; each takes microseconds, except where it says that it waits.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
from collections.abc import Iterator
from pathlib import Path

from roost.runtime.hierarchy import CGROUP, CgroupMode, Hierarchy
from roost.runtime.limits import Limits, v1_values


def group_name(home: Path) -> str:
    """The name of our own group, different for every ROOST_HOME: pure."""
    return f"roost-{hashlib.sha256(os.fsencode(home)).hexdigest()[:8]}"


class Groups:
    """Makes, fills, freezes and removes the groups. `mode` none: every call does nothing."""

    def __init__(self, hierarchy: Hierarchy, home: Path) -> None:
        self.mode = hierarchy.mode
        name = group_name(home)
        self._top = hierarchy.parent / name if hierarchy.parent else None
        self._v1 = {controller: path / name for controller, path in hierarchy.v1.items()}

    # --- whole subtree

    def setup(self) -> None:
        """Make our group and hand controllers down as far as the host lets us."""
        if self._top is None:
            return
        self._top.mkdir(exist_ok=True)
        if self.mode is CgroupMode.UNIFIED:
            for folder in (self._top.parent, self._top):
                for controller in ("cpu", "memory", "pids"):
                    with contextlib.suppress(OSError):
                        (folder / "cgroup.subtree_control").write_text(f"+{controller}")
        for path in self._v1.values():
            path.mkdir(exist_ok=True)

    def controllers(self) -> frozenset[str]:
        """v2 controllers that containers' groups have."""
        text = "" if self._top is None else _read(self._top / "cgroup.subtree_control")
        return frozenset(text.split())

    def teardown(self) -> None:
        """Remove our group and what is left below it."""
        for top in self._tops():
            if top.is_dir():
                for folder in [entry for entry in top.iterdir() if entry.is_dir()]:
                    _remove(folder)
                _remove(top)

    def _tops(self) -> Iterator[Path]:
        if self._top is not None:
            yield self._top
        yield from self._v1.values()

    # --- one container

    def oci_path(self, container: str) -> str | None:
        """`linux.cgroupsPath` of config.json."""
        folder = self._folder(container)
        return None if folder is None else "/" + str(folder.relative_to(CGROUP))

    def place(self, container: str, pid: int, limits: Limits) -> None:
        """Hybrid: put the not yet started container into v1 groups with its limits."""
        for controller, path in self._v1.items():
            (path / container).mkdir(exist_ok=True)
            for wanted, file, value in v1_values(limits):
                if wanted == controller:
                    (path / container / file).write_text(value)
            (path / container / "cgroup.procs").write_text(str(pid))

    def joinable(self, container: str) -> list[Path]:
        """The cgroup.procs files that a process to be run inside must write itself into."""
        return [path / container / "cgroup.procs" for path in self._v1.values()]

    def freeze(self, container: str, timeout: float) -> bool:
        """Freeze and wait (normally under a millisecond) until all tasks are; False: too late."""
        folder = self._folder(container)
        if folder is None:
            return False
        events = os.open(folder / "cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
        try:
            poll = select.poll()
            poll.register(events, select.POLLPRI)
            (folder / "cgroup.freeze").write_text("1")
            while "frozen 1" not in os.pread(events, 4096, 0).decode():
                if not poll.poll(timeout * 1000):
                    return False
            return True
        finally:
            os.close(events)

    def thaw(self, container: str) -> None:
        """Let the tasks run on. One write."""
        if folder := self._folder(container):
            (folder / "cgroup.freeze").write_text("0")

    def frozen(self, container: str) -> bool:
        """Whether all tasks are frozen now."""
        return "frozen 1" in self._read(container, "cgroup.events")

    def kill(self, container: str) -> None:
        """SIGKILL to every task, frozen or not."""
        folder = self._folder(container)
        if folder is None:
            return
        with contextlib.suppress(FileNotFoundError, OSError):
            (folder / "cgroup.kill").write_text("1")
            return
        for pid in self.pids(container):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)

    def pids(self, container: str) -> list[int]:
        """Process ids in it, as this host counts."""
        return [int(pid) for pid in self._read(container, "cgroup.procs").split()]

    def oom_killed(self, container: str) -> bool:
        """Whether the kernel ever killed a task of it for want of memory."""
        if memory := self._v1.get("memory"):
            text = _read(memory / container / "memory.oom_control")
        else:
            text = self._read(container, "memory.events")
        return any(line.split() != [line.split()[0], "0"] for line in _lines(text, "oom_kill"))

    def memory(self, container: str) -> tuple[int, int] | None:
        """(resident, swapped) bytes, or None when no v2 memory controller counts them."""
        current = self._read(container, "memory.current")
        if not current:
            return None
        return int(current), int(self._read(container, "memory.swap.current") or 0)

    def reclaim(self, container: str, amount: int) -> bool:
        """memory.reclaim (blocks for the work); False where the kernel has none."""
        folder = self._folder(container)
        if folder is None or not (folder / "memory.reclaim").exists():
            return False
        with contextlib.suppress(OSError):  # EAGAIN: less than `amount` could be had
            (folder / "memory.reclaim").write_text(str(amount))
        return True

    def remove(self, container: str) -> None:
        """Remove its groups. All tasks must have been killed; waits until they are gone."""
        for top in self._tops():
            _remove(top / container)

    def names(self) -> list[str]:
        """Containers that have a group, also ones nobody knows any more."""
        if self._top is None or not self._top.is_dir():
            return []
        return [entry.name for entry in self._top.iterdir() if entry.is_dir()]

    def _folder(self, container: str) -> Path | None:
        return None if self._top is None else self._top / container

    def _read(self, container: str, file: str) -> str:
        folder = self._folder(container)
        return "" if folder is None else _read(folder / file)


def _lines(text: str, key: str) -> list[str]:
    return [line for line in text.splitlines() if line.split(" ", 1)[0] == key]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


_REMOVE_WAIT_MS = 2000


def _remove(folder: Path) -> None:
    """rmdir, waiting for the last task's end as the kernel announces it (cgroup.events)."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        return
    except OSError:
        _wait_empty(folder)
        with contextlib.suppress(FileNotFoundError):
            folder.rmdir()


def _wait_empty(folder: Path) -> None:
    with contextlib.suppress(OSError), (folder / "cgroup.kill").open("w") as kill:
        kill.write("1")
    try:
        events = os.open(folder / "cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        poll = select.poll()
        poll.register(events, select.POLLPRI)
        while "populated 1" in os.pread(events, 4096, 0).decode():
            if not poll.poll(_REMOVE_WAIT_MS):
                return
    finally:
        os.close(events)
