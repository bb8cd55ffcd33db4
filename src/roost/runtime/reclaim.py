"""Pushing a frozen container's memory out to swap, and counting what it holds.

Where the cgroup has `memory.reclaim`, that is one write. Elsewhere each process is advised with
process_madvise(MADV_PAGEOUT) over its private writable memory: shared library text stays, since
other Machines use it too, and only anonymous memory can go to swap.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from roost.runtime import linux

MAX_PROCESSES = 4096

_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+ *(.*)")
_NOT_MEMORY = ("[vvar", "[vdso", "[vsyscall")


def swap_total() -> int:
    """Bytes of swap this host has (SwapTotal)."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("SwapTotal:"):
            return int(line.split()[1]) * 1024
    return 0


def private_ranges(maps: str) -> list[tuple[int, int]]:
    """(start, length) of private writable mappings in /proc/PID/maps: pure."""
    ranges = []
    for line in maps.splitlines():
        match = _MAPPING.match(line)
        if (
            match
            and match[3][1] == "w"
            and match[3][3] == "p"
            and not match[4].startswith(_NOT_MEMORY)
        ):
            start, end = int(match[1], 16), int(match[2], 16)
            ranges.append((start, end - start))
    return ranges


def page_out(pids: list[int]) -> None:
    """Advise the kernel to page out these (frozen) processes. Blocks while it does."""
    for pid in pids[:MAX_PROCESSES]:
        with contextlib.suppress(OSError):
            pidfd = os.pidfd_open(pid)
            try:
                ranges = private_ranges(Path(f"/proc/{pid}/maps").read_text())
                linux.process_madvise(pidfd, ranges, linux.MADV_PAGEOUT)
            finally:
                os.close(pidfd)


def footprint(pids: list[int]) -> tuple[int, int]:
    """(resident, swapped) bytes of processes, each page counted by its share (smaps_rollup)."""
    resident = swapped = 0
    for pid in pids[:MAX_PROCESSES]:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    resident += int(line.split()[1]) * 1024
                elif line.startswith("SwapPss:"):
                    swapped += int(line.split()[1]) * 1024
    return resident, swapped
