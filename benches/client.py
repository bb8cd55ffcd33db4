"""Measures from inside a Machine's network: one JSON request a line in, one reply out.

Uses sockets directly, so that what is measured is the path and not a client library.
"""

from __future__ import annotations

import json
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


def main() -> None:
    """Answer until the input ends."""
    kinds = {"fresh": fresh, "kept": kept, "paired": paired, "own_start": own_start}
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
