"""A pid that still means the process it was written for: pid, its start time, and this boot of the
host, after which both may come again.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PidFile:
    """One file holding `pid starttime boot`."""

    path: Path

    def write(self, pid: int) -> None:
        """Note a living process; no reader sees half a file, or none where one was.

        Raises ProcessLookupError when it has already ended.
        """
        started = _start_time(pid)
        if started is None:
            raise ProcessLookupError(pid)
        fresh = self.path.with_name(self.path.name + ".new")
        fresh.write_text(f"{pid} {started} {_boot()}\n")
        fresh.replace(self.path)

    def alive(self) -> int | None:
        """The pid, if that very process still lives (a zombie does not count)."""
        try:
            pid_text, *known = self.path.read_text().split()
            pid = int(pid_text)
        except (OSError, ValueError):
            return None
        started = _start_time(pid)
        # Older files have no boot.
        living = started is not None and known in ([started], [started, _boot()])
        return pid if living else None

    def end(self, signo: int) -> None:
        """Signal it, if it lives, and remove the file."""
        pid = self.alive()
        if pid is not None:
            os.kill(pid, signo)
        self.path.unlink(missing_ok=True)


def _start_time(pid: int) -> str | None:
    """Field 22 of /proc/PID/stat (proc(5)): clock ticks after boot; None when gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def _boot() -> str:
    """Differs after each start of the host (proc_sys_kernel(5), random/boot_id)."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "unknown"
