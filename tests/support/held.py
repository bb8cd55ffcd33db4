"""A connection to redis that a program inside a Machine holds open until the test ends it."""

from __future__ import annotations

import sys

from tests.support.rig import Caller

_PROGRAM = """
import socket, sys
s = socket.create_connection((sys.argv[1], 6379), timeout=60)
print("open", flush=True)
for line in sys.stdin:
    try:
        s.sendall(b"PING\\r\\n")
        print(s.recv(64).decode().strip() or "ended", flush=True)
    except OSError:
        print("ended", flush=True)
"""


class HeldConnection:
    """Open once this is made; `address` is what the program connects to, on redis's port."""

    def __init__(self, caller: Caller, address: str) -> None:
        self.process = caller.popen(sys.executable, "-c", _PROGRAM, address)
        assert self.process.stdout is not None
        assert "open\n" == self.process.stdout.readline()

    def ping(self) -> str:
        """`+PONG`, or `ended`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("x\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def close(self) -> None:
        """End the program."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
