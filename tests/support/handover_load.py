"""Callers and a Machine that do not rest while proxies take over from each other.

Both sides are asyncio in a thread inside their namespace, so their sockets are too. Whatever goes
wrong for a caller is an error that the test gets: a refused or reset connection, a missing byte, an
answer that does not come.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import dns.asyncquery
import dns.message

from tests.support.namespaces import call_inside
from tests.support.proxy_control import DEADLINE_S

WHERE = "fdaa:0:1:0:1::2"
Caller = Callable[["Load"], Awaitable[None]]


class Backend:
    """A Machine's programs: HTTP that echoes bodies, and a raw echo. Counts what is under way."""

    def __init__(self, inside: Path, ports: dict[int, Any]) -> None:
        self._inside = inside
        self._ports = ports
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=lambda: call_inside(inside, self._run))
        self.now = 0
        self.most = 0

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(DEADLINE_S)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with contextlib.AsyncExitStack() as stack:
            for port, serve in self._ports.items():
                handler = self._handler(serve)
                server = await asyncio.start_server(handler, "0.0.0.0", port, backlog=4096)
                stack.callback(server.close)
            self._ready.set()
            await self._stop.wait()

    def _handler(self, serve: Any) -> Any:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                    await serve(self, reader, writer)
            finally:
                writer.close()

        return handle

    @contextlib.asynccontextmanager
    async def counted(self) -> Any:
        """Counts one piece of work, which takes a few turns of the loop."""
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            for _ in range(5):
                await asyncio.sleep(0)
            yield
        finally:
            self.now -= 1


async def http(
    backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Answers requests with their own path."""
    while head := await reader.readuntil(b"\r\n\r\n"):
        path = head.split(b" ", 2)[1]
        async with backend.counted():
            pass
        size = b"Content-Length: %d" % len(path)
        writer.write(b"HTTP/1.1 200 OK\r\n" + size + b"\r\n\r\n" + path)
        await writer.drain()


async def raw_echo(_: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends back what comes."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def websocket_echo(
    _: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Switches to WebSocket (RFC 6455) and sends each short text back, unmasked."""
    await reader.readuntil(b"\r\n\r\n")
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\n" + upgrade)
    while True:
        frame = await reader.readexactly(2)
        mask = await reader.readexactly(4)
        text = await reader.readexactly(frame[1] & 0x7F)
        plain = bytes(byte ^ mask[at % 4] for at, byte in enumerate(text))
        writer.write(bytes([0x81, len(plain)]) + plain)
        await writer.drain()


class WebSockets:
    """Many open WebSockets, each of which says something when asked to, and hears it back."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._loop: asyncio.AbstractEventLoop | None = None
        self._rounds: asyncio.Queue[bool] = asyncio.Queue()

    def again(self) -> None:
        """Each says something once more."""
        self._tell(again=True)

    def end(self) -> None:
        """All close."""
        self._tell(again=False)

    def _tell(self, *, again: bool) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._rounds.put_nowait, again)

    async def run(self, load: Load) -> None:
        """A caller of `Load`: opens all, says something on each, then waits to be told."""
        self._loop = asyncio.get_running_loop()
        opened = [await self._open() for _ in range(self._count)]
        again = True
        while again:
            for number, (_, writer) in enumerate(opened):
                text = f"message {number}".encode()
                writer.write(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
            for number, (reader, _) in enumerate(opened):
                text = f"message {number}".encode()
                async with asyncio.timeout(DEADLINE_S):
                    assert (
                        await reader.readexactly(2 + len(text)) == bytes([0x81, len(text)]) + text
                    )
                load.done()
            again = await self._rounds.get()
        for _, writer in opened:
            writer.close()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await connect(80)
        upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        writer.write(f"GET /ws HTTP/1.1\r\nHost: a.flycast\r\n{upgrade}".encode())
        async with asyncio.timeout(DEADLINE_S):
            head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        return reader, writer


class Load:
    """Callers inside a network's namespace. `reach` waits for their common count of calls."""

    def __init__(self, router: Path, callers: Sequence[Caller]) -> None:
        self._callers = callers
        self._count = 0
        self._counted = threading.Condition()
        self._errors: list[BaseException] = []
        self.over = False
        self._thread = threading.Thread(target=lambda: call_inside(router, self._run))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.over = True
        self._thread.join()
        if kind is None and self._errors:
            raise self._errors[0]

    def done(self) -> None:
        """One more call was answered."""
        with self._counted:
            self._count += 1
            self._counted.notify_all()

    def goes_on(self, calls: int) -> None:
        """Returns when so many more calls were answered."""
        with self._counted:
            until = self._count + calls
            assert self._counted.wait_for(
                lambda: self._count >= until or self._errors, DEADLINE_S
            ), (self._count, until)
            if self._errors:
                raise self._errors[0]

    def _run(self) -> None:
        asyncio.run(self._call())

    async def _call(self) -> None:
        async with asyncio.TaskGroup() as group:
            for caller in self._callers:
                group.create_task(self._guarded(caller))

    async def _guarded(self, caller: Caller) -> None:
        try:
            await caller(self)
        except Exception as error:  # noqa: BLE001 - raised in the test
            with self._counted:
                self._errors.append(error)
                self._counted.notify_all()


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to the app."""
    async with asyncio.timeout(DEADLINE_S):
        return await asyncio.open_connection(WHERE, port, family=socket.AF_INET6)


async def request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, fields: str = ""
) -> str:
    """One request and its answer, which is checked; the answer's head in lower case."""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: a.flycast\r\n{fields}\r\n".encode())
    async with asyncio.timeout(DEADLINE_S):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert head.startswith("http/1.1 200 "), head
        body = await reader.readexactly(len(path))
    assert body.decode() == path
    return head


async def new_connections(load: Load) -> None:
    """A connection for each request, one after the other."""
    number = 0
    while not load.over:
        reader, writer = await connect(80)
        await request(reader, writer, f"/new/{number}", "Connection: close\r\n")
        assert await reader.read() == b""
        writer.close()
        number += 1
        load.done()


async def kept_alive(load: Load) -> None:
    """Requests on one connection, and a new one only after an answer that said so."""
    number = 0
    while not load.over:
        reader, writer = await connect(80)
        head = ""
        while "connection: close" not in head and not load.over:
            head = await request(reader, writer, f"/kept/{number}")
            number += 1
            load.done()
        writer.close()


async def one_stream(load: Load) -> None:
    """One raw connection for the whole time, every byte of it echoed in order."""
    reader, writer = await connect(5000)
    number = 0
    while not load.over:
        data = f"{number}\n".encode() * 50
        writer.write(data)
        async with asyncio.timeout(DEADLINE_S):
            assert await reader.readexactly(len(data)) == data
        number += 1
        load.done()
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()


async def names(load: Load) -> None:
    """Queries by UDP, none of which may stay without an answer."""
    while not load.over:
        query = dns.message.make_query("a.flycast", "AAAA")
        reply = await dns.asyncquery.udp(query, "fdaa::3", timeout=DEADLINE_S)
        assert WHERE in str(reply.answer[0])
        load.done()
