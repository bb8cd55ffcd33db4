"""Threads that wander between network namespaces, kept for nothing else.

A job may leave its thread in any namespace; the worker brings it home afterwards. Two workers
exist because removing a link takes the kernel some 20 ms of waiting (without holding its
locks), which making one must not stand behind.
"""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from roost.errors import UnavailableError
from roost.network.namespaces import OWN_NETWORK, enter_network

T = TypeVar("T")


class Worker:
    """`threads` threads in the namespaces of whoever first asks them for something."""

    def __init__(self, name: str, *, threads: int) -> None:
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=f"roost-{name}")

    async def run(self, what: str, job: Callable[[], T]) -> T:
        """Do a blocking job, in turn. An OSError becomes an UnavailableError naming `what`.

        A job whose waiter is cancelled is still done to its end, before the waiter goes on: a
        turn (below) held around this call really covers the job.
        """
        future = asyncio.get_running_loop().run_in_executor(self._pool, self._at_home, what, job)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            await asyncio.wait([future])
            raise

    def _at_home(self, what: str, job: Callable[[], T]) -> T:
        if not hasattr(self._local, "home"):
            self._local.home = _Descriptor(os.open(OWN_NETWORK, os.O_RDONLY | os.O_CLOEXEC))
        try:
            return job()
        except OSError as error:
            raise _unavailable(what, error) from error
        finally:
            enter_network(self._local.home.fd)


class _Descriptor:
    """Closed when its thread ends and the thread's locals go with it."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        os.close(self.fd)


class Turns:
    """One at a time for each key, first come first served; keys nobody uses take no room."""

    def __init__(self) -> None:
        self._locks: dict[Hashable, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def of(self, key: Hashable) -> AsyncIterator[None]:
        """Wait for the turn of this key and hold it within the block."""
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(key)
            if users > 1:
                self._locks[key] = (lock, users - 1)


def _unavailable(what: str, error: OSError) -> UnavailableError:
    hint = None
    if error.errno in {errno.EPERM, errno.EACCES}:
        hint = "run Roost as root, or where user namespaces are allowed"
    elif error.errno == errno.ENOSPC:
        hint = "raise the sysctl user.max_net_namespaces"
    elif error.errno in {errno.EMFILE, errno.ENFILE}:
        hint = "raise the limit of open files"
    return UnavailableError(f"cannot {what}: {error}", hint=hint)
