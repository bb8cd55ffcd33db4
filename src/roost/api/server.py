"""Serving the API: uvicorn inside the daemon's own loop, on a Unix socket and on given TCP sockets.

Signals stay the daemon's. Being cancelled is the way to stop: requests under way get a moment to
end.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from roost.errors import UnavailableError

GRACE_S = 2
"""Seconds that requests under way have to end when the server stops."""
BACKLOG = 512


class _Server(uvicorn.Server):
    """Tells when it listens, and leaves signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing: the daemon handles signals."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets)
        self.listening.set()


async def serve(
    app: FastAPI,
    *,
    unix_socket: Path,
    tcp: Sequence[socket.socket] = (),
    tls: ssl.SSLContext | None = None,
    ready: asyncio.Event | None = None,
) -> None:
    """Serve until cancelled. `ready` is set once all sockets listen.

    Makes `unix_socket` (mode 0600), taking the place of a stale one, and removes it at the end;
    `tcp` are bound sockets, which speak TLS when there is `tls`. Raises UnavailableError when the
    Unix socket cannot be made.
    """
    listener = _listen(unix_socket)
    local, remote = _Server(_config(app)), _Server(_config(app, tls))
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_run(local, [listener]), name="api:unix")
            if tcp:
                group.create_task(_run(remote, list(tcp)), name="api:tcp")
                await remote.listening.wait()
            await local.listening.wait()
            if ready is not None:
                ready.set()
    finally:
        listener.close()
        _remove(unix_socket)


def _config(app: FastAPI, tls: ssl.SSLContext | None = None) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="websockets-sansio",
        ws_max_size=1024 * 1024,
        ws_ping_interval=None,  # a reader that is slow on purpose (`… | less`) is not gone
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACE_S,
    )
    config.load()
    config.ssl = tls
    return config


async def _run(server: _Server, sockets: list[socket.socket]) -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server.serve(sockets), name="api:uvicorn")
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            server.should_exit = True
            await asyncio.wait({task}, timeout=GRACE_S + 1)
            raise


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


def _listen(path: Path) -> socket.socket:
    """A Unix socket that only its owner can open, from its first moment on."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            if stat.S_ISSOCK(path.lstat().st_mode):
                path.unlink()
        before = os.umask(0o177)
        try:
            listener.bind(str(path))
        finally:
            os.umask(before)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise UnavailableError(
            f"the API cannot listen on {path}: {error.strerror or error}",
            hint="check who owns ROOST_HOME",
        ) from error
    listener.setblocking(False)
    return listener
