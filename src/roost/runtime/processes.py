"""Processes of a container as /proc tells them, and stopping them where there is no freezer."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from roost.runtime.base import Process

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_ROUNDS = 16
_COMMAND_LIMIT = 4096


def describe(pids: list[int]) -> list[Process]:
    """What each process is and uses; those that ended meanwhile are left out."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError, IndexError):
            found.append(_process(Path(f"/proc/{pid}")))
    return found


def _process(folder: Path) -> Process:
    name, _, rest = (folder / "stat").read_text().rpartition(") ")
    fields = rest.split()
    line = (
        (folder / "cmdline")
        .read_bytes()[:_COMMAND_LIMIT]
        .replace(b"\0", b" ")
        .decode(errors="replace")
    )
    return Process(
        pid=_inner_pid((folder / "status").read_text()),
        command=line.strip() or f"[{name.partition('(')[2]}]",
        cpu_seconds=(int(fields[11]) + int(fields[12])) / _TICKS,
        rss=int(fields[21]) * _PAGE,
    )


def _inner_pid(status: str) -> int:
    """The process id in the innermost namespace (status, NSpid)."""
    for line in status.splitlines():
        if line.startswith("NSpid:"):
            return int(line.split()[-1])
    return 0


def same_namespace(pid: int) -> list[int]:
    """All processes in the pid namespace of `pid`. Reads one link per process of the host."""
    try:
        wanted = Path(f"/proc/{pid}/ns/pid").readlink()
    except OSError:
        return []
    found = []
    for entry in os.listdir("/proc"):  # noqa: PTH208 - thousands of entries
        if entry.isdecimal():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{entry}/ns/pid").readlink() == wanted:
                    found.append(int(entry))
    return found


def stop_all(main: int) -> None:
    """SIGSTOP all processes in the pid namespace of `main`, again until no new one appears."""
    stopped: set[int] = set()
    for _ in range(_ROUNDS):
        fresh = set(same_namespace(main)) - stopped
        for pid in fresh:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        if not fresh:
            return
        stopped |= fresh


def continue_all(pids: list[int]) -> None:
    """SIGCONT each."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
