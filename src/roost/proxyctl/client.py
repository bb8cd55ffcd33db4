"""The agent's end of the control socket: one connection, numbered messages, acks, events.

Pure protocol lives in protocol/control.md. This client keeps no state of its own but the sequence
number: after a reconnect the caller sends a snapshot again. Bounded: 1 MiB a line, and at most
`MAX_IN_FLIGHT` unacknowledged messages, beyond which senders wait.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from roost.errors import DeadlineError, UnavailableError

MAX_LINE = 1 << 20
MAX_IN_FLIGHT = 256
ACK_SECONDS = 10.0

Message = dict[str, Any]


class ProxyConnection:
    """One connection to roost-proxy. Use `connect`, then run `events()` in a task of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._seq = 0
        self._acks: dict[int, asyncio.Future[Message]] = {}
        self._room = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._closed = False

    @classmethod
    async def connect(cls, path: Path) -> ProxyConnection:
        """Open the Unix socket. Raises UnavailableError when nobody listens."""
        try:
            reader, writer = await asyncio.open_unix_connection(path, limit=MAX_LINE)
        except OSError as error:
            raise UnavailableError(f"roost-proxy does not answer on {path}: {error}") from error
        return cls(reader, writer)

    @property
    def closed(self) -> bool:
        """Whether it has ended: what was not acknowledged then may or may not have been taken."""
        return self._closed

    def post(self, op: str, **fields: Any) -> asyncio.Future[Message]:
        """Write a message now; the future holds its ack. For the hot path: no waiting for room.

        A message that is too long is not sent, and its ack says so. Raises UnavailableError when
        the connection is closed.
        """
        if self._closed:
            raise UnavailableError("the connection to roost-proxy is closed")
        self._seq += 1
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        line = json.dumps({"seq": self._seq, "op": op, **fields}, separators=(",", ":")).encode()
        if len(line) >= MAX_LINE:
            future.set_result({"error": f"a message of {len(line)} bytes is too long"})
            return future
        self._acks[self._seq] = future
        self._writer.write(line + b"\n")
        return future

    async def send(self, op: str, **fields: Any) -> Message:
        """Write a message and wait for its ack.

        Raises UnavailableError (connection lost, or the proxy refused it with a sentence) and
        DeadlineError (no ack within 10 s).
        """
        async with self._room:
            future = self.post(op, **fields)
            await self.flush()
            try:
                async with asyncio.timeout(ACK_SECONDS):
                    ack = await future
            except TimeoutError:
                raise DeadlineError(f"roost-proxy did not acknowledge {op!r} in time") from None
        if "error" in ack:
            raise UnavailableError(f"roost-proxy refused {op!r}: {ack['error']}")
        return ack

    async def flush(self) -> None:
        """Wait until the socket has taken most of what was posted.

        Raises UnavailableError when the connection is gone.
        """
        try:
            await self._writer.drain()
        except OSError as error:
            raise UnavailableError(f"the connection to roost-proxy was lost: {error}") from error

    async def events(self) -> AsyncIterator[Message]:
        """Yield upward events until the connection ends; acks are handed to their senders."""
        try:
            while line := await self._reader.readline():
                message = json.loads(line)
                if message.get("ev") == "ack":
                    self._acknowledge(message)
                else:
                    yield message
        except (OSError, ValueError):
            return
        finally:
            self.close()

    def _acknowledge(self, message: Message) -> None:
        future = self._acks.pop(message.get("seq", 0), None)
        if future is not None and not future.done():
            future.set_result(message)

    def close(self) -> None:
        """Close the socket; every sender that waits gets an error ack."""
        self._closed = True
        self._writer.close()
        waiting, self._acks = self._acks, {}
        for future in waiting.values():
            if not future.done():
                future.set_result({"error": "the connection to roost-proxy was lost"})


async def greeting(path: Path) -> Message:
    """What a proxy says of itself (`version`, `pid`, `role`). Who was connected is not any more.

    Raises UnavailableError when it does not answer within 10 s.
    """
    connection = await ProxyConnection.connect(path)
    try:
        async with asyncio.timeout(ACK_SECONDS):
            async for event in connection.events():
                return event
    except TimeoutError:
        pass
    finally:
        connection.close()
    raise UnavailableError(f"roost-proxy does not answer on {path}")
