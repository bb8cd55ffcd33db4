"""Quick moves between cgroups while containers are being made.

Moving a process waits for an RCU grace period (5 to 15 ms) so that forks need not wait for moves
(cgroup_threadgroup_rwsem in kernel/cgroup/cgroup.c; the mount option `favordynmods` turns it the
other way, for the whole host). A move within about 10 ms of another one waits for nothing, so a
"move" to where we are already is repeated meanwhile: the OCI runtime's and our own, which are in
the way of somebody's first byte, find the waiting done.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

_PAUSE_SECONDS = 0.008


class Moves:
    """`group` is the v2 group this process is in, or None: then nothing is done. Thread-safe."""

    def __init__(self, group: Path | None) -> None:
        self._procs = None if group is None else group / "cgroup.procs"
        self._lock = threading.Lock()
        self._expecting = 0
        self._working = False

    @contextlib.contextmanager
    def expected(self) -> Iterator[None]:
        """Moves within are quick. Does not block; one thread works for all, and ends after."""
        with self._lock:
            self._expecting += 1
            begin = not self._working
            self._working = True
        if begin and self._procs is not None:
            work, procs = self._work, self._procs
            threading.Thread(target=work, args=(procs,), name="cgroup-moves", daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                self._expecting -= 1

    def _work(self, procs: Path) -> None:
        """Write ourselves (0) into our own group as long as it is wanted. Once refused it counts as
        working for ever: nobody tries again, and moves wait as they would.
        """
        with contextlib.suppress(OSError):
            while self._wanted():
                procs.write_text("0", encoding="ascii")
                time.sleep(_PAUSE_SECONDS)

    def _wanted(self) -> bool:
        with self._lock:
            self._working = self._expecting > 0
            return self._working
