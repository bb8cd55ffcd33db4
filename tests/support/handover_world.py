"""Proxies that take over from each other, all told the same, for tests of hot restart."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.support.proxy_control import (
    DEADLINE_S,
    Control,
    Line,
    app,
    network,
    running_proxy,
)
from tests.support.proxy_world import World, ip

LONG_MS = 600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A running proxy and the agent's connection to it."""

    process: subprocess.Popen[bytes]
    control: Control
    socket: Path

    def kill(self) -> None:
        """As kill -9; returns when it is gone."""
        self.process.kill()
        self.process.wait(DEADLINE_S)

    def left(self) -> int:
        """Its exit status, once its last connection has ended."""
        return self.process.wait(DEADLINE_S)

    def stats(self) -> Line:
        """Its counters."""
        return dict(self.control.call("stats")["stats"])


@dataclass(slots=True, kw_only=True)
class Handovers:
    """One network with what was put so far, and the proxies that serve it one after the other."""

    world: World
    folder: Path
    stack: contextlib.ExitStack
    puts: list[tuple[str, Line]] = field(default_factory=list)
    proxies: list[Proxy] = field(default_factory=list)

    def put(self, kind: str, value: Line) -> None:
        """Tells every proxy that lives, and those to come."""
        self.puts.append((kind, value))
        for proxy in self.proxies:
            if proxy.process.poll() is None:
                proxy.control.put(kind, value)

    def start(self, *, threads: int = 2, standby: bool = True, **settings: Any) -> Proxy:
        """A proxy that knows everything; a standby one serves nothing yet."""
        path = self.folder / f"proxy-{len(self.proxies) + 1}.sock"
        running = running_proxy(path, threads=threads, standby=standby)
        process = self.stack.enter_context(running)
        control = Control(path)
        self.stack.callback(control.close)
        control.hello(**settings)
        control.call("snapshot", stage="begin")
        for kind, value in self.puts:
            control.put(kind, value)
        control.call("snapshot", stage="end")
        proxy = Proxy(process=process, control=control, socket=path)
        self.proxies.append(proxy)
        return proxy


class Heir:
    """What a proxy that takes over says, by hand; leaving the block is its death."""

    def __init__(self, elder: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(DEADLINE_S)
        self._socket.connect(str(elder.with_suffix(".hand")))
        self._buffer = b""
        self._descriptors: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._socket.close()

    def say(self, **line: Any) -> None:
        """Says a line."""
        self._socket.sendall(json.dumps(line).encode() + b"\n")

    def hear(self, elder: str) -> Line:
        """The next line of this kind."""
        while True:
            while b"\n" not in self._buffer:
                data, descriptors, _, _ = socket.recv_fds(self._socket, 65536, 253)
                assert data
                self._buffer += data
                self._descriptors += descriptors
            line, _, self._buffer = self._buffer.partition(b"\n")
            parsed: Line = json.loads(line)
            if parsed["elder"] == elder:
                return parsed

    def take(self) -> None:
        """Takes everything."""
        self.say(heir="take", handover=1, version="test", drain_ms=LONG_MS)
        self.hear("given")


def waits(proxy: Proxy, count: int) -> None:
    """Returns when so many calls wait in a proxy."""
    deadline = time.monotonic() + DEADLINE_S
    while proxy.stats()["waiting"] != count:
        assert time.monotonic() < deadline, proxy.stats()


def take_over(heir: Proxy, *elders: Proxy, drain_ms: int = LONG_MS) -> int:
    """Has ``heir`` take over; gives how many sockets came. Raises ControlError when it did not."""
    paths = [str(elder.socket) for elder in elders]
    return int(heir.control.call("take_over", **{"from": paths}, drain_ms=drain_ms)["sockets"])


def handovers(stack: contextlib.ExitStack, folder: Path) -> Handovers:
    """A network with the app `a` at address 2 and no Machine, and its DNS address."""
    world = World(stack)
    ip(world.router, "addr add fdaa::3/128 dev lo", "addr add fdaa:0:1::3/128 dev lo")
    made = Handovers(world=world, folder=folder, stack=stack)
    made.put("network", network(str(world.router)))
    made.put("app", app("a", "fdaa:0:1:0:1::2"))
    return made
