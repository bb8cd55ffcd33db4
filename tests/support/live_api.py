"""The real API over a control plane whose host is a fake, served on a Unix socket from a thread.

So the CLI is tested against the routes, bodies and errors that it will really meet.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from roost.api.app import create_app
from roost.api.server import serve
from roost.deploy.deployer import Deployer
from roost.deploy.scaler import Scaler
from tests.support.control_bench import Bench, make_bench
from tests.support.scripted_canary import ScriptedCanary
from tests.support.scripted_proxies import ScriptedProxies


@dataclass
class LiveApi:
    """What is served, once it listens."""

    home: Path
    tls: ssl.SSLContext | None = None
    port: int = 0
    """Of the TLS listener on 127.0.0.1, when there is `tls`."""
    bench: Bench | None = None

    @property
    def fake(self) -> Bench:
        """Control, store and fake host behind the API; look, but change only between calls."""
        assert self.bench is not None
        return self.bench


@contextmanager
def live_api(folder: Path, tls: ssl.SSLContext | None = None) -> Iterator[LiveApi]:
    """Serve as the API of ROOST_HOME=`folder` for the block; with `tls` on a TCP port, too."""
    live = LiveApi(folder, tls)
    listening = threading.Event()
    ending = threading.Event()
    thread = threading.Thread(
        target=lambda: asyncio.run(_serve(live, listening, ending)), name="live-api"
    )
    thread.start()
    try:
        assert listening.wait(timeout=60)
        yield live
    finally:
        ending.set()
        thread.join(timeout=60)


async def _serve(live: LiveApi, listening: threading.Event, ending: threading.Event) -> None:
    live.home.mkdir(parents=True, exist_ok=True)
    live.bench = await make_bench(live.home)
    control = live.bench.control
    ready = asyncio.Event()
    tcp = [socket.create_server(("127.0.0.1", 0))] if live.tls else []
    for listener in tcp:
        live.port = listener.getsockname()[1]
    with suppress(asyncio.CancelledError):
        async with asyncio.TaskGroup() as group:
            app = create_app(
                control,
                Deployer(control),
                Scaler(control),
                ScriptedCanary(),
                control.context.host,
                proxies=ScriptedProxies(),
                group=group,
            )
            server = group.create_task(
                serve(
                    app,
                    unix_socket=live.bench.home.api_socket,
                    tcp=tcp,
                    tls=live.tls,
                    ready=ready,
                ),
                name="serve",
            )
            await ready.wait()
            listening.set()
            await asyncio.to_thread(ending.wait)
            server.cancel()
