"""Private mount and network namespaces for tests, and running things inside others.

A test's world is one thread: `isolated` runs an async test in a thread of its own that has left
the host's mount tree and network, so what it mounts, links or filters vanishes with it, and the
programs and threads it starts are in there too. Such a thread's own view is /proc/thread-self.
"""

from __future__ import annotations

import asyncio
import functools
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import ParamSpec, TypeVar

from roost.network.namespaces import (
    enter_network,
    pin_network,
    unpin,
    unshare_mounts,
    unshare_network,
)

P = ParamSpec("P")
T = TypeVar("T")


def isolated(
    test: Callable[P, Coroutine[None, None, None]], *, network: bool = True
) -> Callable[P, None]:
    """Make an async test a plain one that runs in private mount and network namespaces.

    With `network=False` only the mount tree is private. Loopback is up. Needs root.
    """

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        run_isolated(lambda: test(*args, **kwargs), network=network)

    return run


def run_isolated(main: Callable[[], Coroutine[None, None, T]], *, network: bool = True) -> T:
    """`asyncio.run(main())` in a thread with private namespaces; its result or exception."""

    def body() -> T:
        unshare_mounts()
        if network:
            unshare_network()
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            # a new namespace takes this over from the host's first one, whatever it is there
            Path("/proc/sys/net/ipv4/ip_forward").write_text("0", encoding="ascii")
        return asyncio.run(main())

    return _in_thread(body)


def call_inside(netns: Path, function: Callable[[], T]) -> T:
    """Run a blocking function in a thread that has entered the network namespace `netns`."""

    def body() -> T:
        fd = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
        try:
            enter_network(fd)
        finally:
            os.close(fd)
        return function()

    return _in_thread(body)


async def inside(netns: Path, function: Callable[[], T]) -> T:
    """`call_inside` for async tests: the event loop goes on meanwhile.

    The thread starts from the caller's, so its mount tree is the caller's.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def body() -> None:
        try:
            result = call_inside(netns, function)
        except BaseException as error:  # noqa: BLE001 - handed to the waiting test
            loop.call_soon_threadsafe(future.set_exception, error)
        else:
            loop.call_soon_threadsafe(future.set_result, result)

    thread = threading.Thread(target=body, name="inside")
    thread.start()
    try:
        return await future
    finally:
        thread.join()


async def run_inside(
    netns: Path, argv: Sequence[str], *, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run a program in a network namespace and wait for it; its status and output."""
    process = await asyncio.create_subprocess_exec(
        "nsenter",
        f"--net={netns}",
        "--",
        *argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await process.communicate(stdin)
    return subprocess.CompletedProcess(list(argv), process.returncode or 0, out, err)


def socket_inside(
    netns: Path, family: socket.AddressFamily, kind: socket.SocketKind, protocol: int = 0
) -> socket.socket:
    """A non-blocking socket that lives in the network namespace `netns`, wherever it is used."""
    sock = call_inside(netns, lambda: socket.socket(family, kind, protocol))
    sock.setblocking(False)
    return sock


def make_network(path: Path) -> Path:
    """Pin a new, empty network namespace with loopback up at `path`; `drop_network` ends it."""

    def body() -> None:
        unshare_network()
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 2147483647", encoding="ascii")
        pin_network(path)

    _in_thread(body)
    return path


def drop_network(path: Path) -> None:
    """Let go of a namespace made by `make_network`."""
    unpin(path)


def _in_thread(body: Callable[[], T]) -> T:
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(body())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller
            errors.append(error)

    thread = threading.Thread(target=run, name="isolated")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
