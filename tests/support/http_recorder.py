"""A Machine's program that keeps the raw bytes of each request, and answers as a test says."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Iterator

from tests.support.http_peer import DEADLINE_S, Peer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Recorder:
    """Reads requests as strictly as RFC 9112 asks for; one that breaks off is kept as `cut`."""

    def __init__(self) -> None:
        self.requests: queue.Queue[bytes] = queue.Queue()
        self.cut: queue.Queue[bytes] = queue.Queue()
        self.answers: dict[bytes, bytes] = {}
        """By path; all others are answered `ok`."""
        self.closing: set[bytes] = set()
        """After whose answer the connection is closed."""

    def take(self) -> list[bytes]:
        """The requests that came since the last call."""
        taken = []
        with contextlib.suppress(queue.Empty):
            while True:
                taken.append(self.requests.get_nowait())
        return taken

    def serve(self, connection: socket.socket) -> None:
        """Serves one connection to its end."""
        with Peer(connection) as peer:
            while True:
                try:
                    request = _read(peer)
                except (AssertionError, OSError):
                    if peer.buffer:
                        self.cut.put(peer.buffer)
                    return
                self.requests.put(request)
                path = request.split(b" ", 2)[1]
                with contextlib.suppress(OSError):
                    peer.send(self.answers.get(path, OK))
                if path in self.closing:
                    return

    @contextlib.contextmanager
    def running(self, listener: socket.socket) -> Iterator[None]:
        """Serves every connection until the block ends."""
        threads: list[threading.Thread] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    threads.append(threading.Thread(target=self.serve, args=(connection,)))
                    threads[-1].start()

        listener.settimeout(None)
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for thread in threads:
                thread.join(DEADLINE_S)


def _read(peer: Peer) -> bytes:
    """One whole request, raw; AssertionError when the connection ends in it."""
    while b"\r\n\r\n" not in peer.buffer:
        peer.more()
    head_end = peer.buffer.index(b"\r\n\r\n") + 4
    fields = [line.split(b":", 1) for line in peer.buffer[:head_end].split(b"\r\n")[1:-2]]
    values = {name.lower(): value.strip() for name, value in fields}
    end = head_end + int(values.get(b"content-length", b"0"))
    if values.get(b"transfer-encoding") == b"chunked":
        end = _after_chunks(peer, head_end)
    while len(peer.buffer) < end:
        peer.more()
    return peer.take(end)


def _after_chunks(peer: Peer, at: int) -> int:
    while True:
        line, at = _line(peer, at)
        size = int(line.split(b";")[0], 16)
        if size == 0:
            break
        at += size + 2
    while line:
        line, at = _line(peer, at)
    return at


def _line(peer: Peer, at: int) -> tuple[bytes, int]:
    while b"\r\n" not in peer.buffer[at:]:
        peer.more()
    end = peer.buffer.index(b"\r\n", at)
    return peer.buffer[at:end], end + 2
