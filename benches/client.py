"""Measures from inside a Machine's network: one JSON request a line in, one reply out.

Uses sockets directly, so that what is measured is the path and not a client library.
"""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import sys
import time
from typing import Any


def connect(host: str, port: int) -> socket.socket:
    """A connected TCP socket without delay."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(30)
    sock.connect((host, port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def get(sock: socket.socket, *, close: bool) -> None:
    """One request of the static file, read to its end."""
    more = b"Connection: close\r\n" if close else b""
    sock.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\n" + more + b"\r\n")
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            raise ConnectionError(f"closed after {data!r}")
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(data[:200].decode(errors="replace"))
    while len(body) < 100:
        body += sock.recv(65536)


def fresh(host: str, port: int, count: int) -> list[float]:
    """A new connection and one request, each time."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        with connect(host, port) as sock:
            get(sock, close=False)
            times.append((time.perf_counter() - start) * 1000)
    return times


def kept(host: str, port: int, count: int) -> list[float]:
    """Requests on one kept connection."""
    times = []
    with connect(host, port) as sock:
        get(sock, close=False)
        for _ in range(count):
            start = time.perf_counter()
            get(sock, close=False)
            times.append((time.perf_counter() - start) * 1000)
    return times


def paired(one: list[Any], other: list[Any], count: int, rounds: int) -> list[float]:
    """Kept requests on two paths in turn: all times of the one, then of the other."""
    first: list[float] = []
    second: list[float] = []
    for _ in range(rounds):
        first += kept(one[0], one[1], count)
        second += kept(other[0], other[1], count)
    return first + second


def own_start(command: list[str], port: int, count: int) -> list[float]:
    """From exec of the program to its port accepting, without Roost."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while True:
            try:
                connect("127.0.0.1", port).close()
                break
            except OSError:
                if process.poll() is not None:
                    raise ConnectionError("the server ended") from None
        times.append((time.perf_counter() - start) * 1000)
        process.terminate()
        process.wait()
    return times


HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
held: list[socket.socket] = []


def websockets(host: str, port: int, count: int) -> list[float]:
    """Open so many WebSockets and keep them."""
    times = []
    for _ in range(count):
        start = time.perf_counter()
        sock = connect(host, port)
        held.append(sock)
        sock.sendall(HANDSHAKE)
        answer = sock.recv(65536)
        if not answer.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(answer[:200].decode(errors="replace"))
        times.append((time.perf_counter() - start) * 1000)
    return times


def drop_websockets() -> list[float]:
    """Close them."""
    while held:
        held.pop().close()
    return []


def datagrams(host: str, port: int, count: int) -> list[float]:
    """Send a datagram and wait for its echo, on one flow."""
    times = []
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.connect((host, port))
        for number in range(count):
            sent = number.to_bytes(4, "big") * 16
            start = time.perf_counter()
            sock.send(sent)
            if sock.recv(2048) != sent:
                raise ConnectionError("another datagram came back")
            times.append((time.perf_counter() - start) * 1000)
    return times


def storm(hosts: list[str], port: int) -> list[float]:
    """Call all hosts at the same moment; when each had its answer, in milliseconds after that."""
    waiting = selectors.DefaultSelector()
    start = time.perf_counter()
    for host in hosts:
        sock = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.connect_ex((host, port))
        waiting.register(sock, selectors.EVENT_WRITE)
    times = []
    while waiting.get_map():
        for key, events in waiting.select(timeout=120) or [(None, 0)]:
            if key is None:
                raise ConnectionError(f"{len(waiting.get_map())} had no answer for two minutes")
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            if events & selectors.EVENT_WRITE:
                sock.send(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
                waiting.modify(sock, selectors.EVENT_READ)
                continue
            answer = sock.recv(65536)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise ConnectionError(answer[:200].decode(errors="replace"))
            times.append((time.perf_counter() - start) * 1000)
            waiting.unregister(sock)
            sock.close()
    return times


def main() -> None:
    """Answer until the input ends."""
    kinds = {
        "fresh": fresh,
        "kept": kept,
        "paired": paired,
        "own_start": own_start,
        "websockets": websockets,
        "drop_websockets": drop_websockets,
        "datagrams": datagrams,
        "storm": storm,
    }
    for line in sys.stdin:
        request = json.loads(line)
        what = kinds[request.pop("what")]
        try:
            reply: dict[str, Any] = {"ms": what(**request)}
        except (OSError, ConnectionError) as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
