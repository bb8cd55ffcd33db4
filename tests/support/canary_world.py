"""Networks with a canary in them: the real driver and prober, and a small DNS in each router."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path

from roost.canary.base import Finding, Name, Neighbour, Probed, Subject, Task
from roost.canary.judge import findings
from roost.canary.netns import NetnsProber
from roost.home import Home
from roost.network.addressed import router_of
from roost.network.netns import NetnsNetwork
from roost.network.steps import nobody
from tests.support.namespaces import call_inside
from tests.support.networks import Machine, attached

HOST = 2
KNOWN = frozenset({"internal", "mine.internal"})
"""Names that the small DNS knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryWorld:
    """Networks that are up, each with one Machine, and what the canary is asked about them."""

    driver: NetnsNetwork
    prober: NetnsProber
    home: Home
    machines: tuple[Machine, ...]
    task: Task

    def router(self, network: int) -> Path:
        """The namespace file of a network's router."""
        return self.home.netns / f"n{network}"

    async def probe(self) -> Probed:
        """One run."""
        return await self.prober.probe(self.task)

    async def findings(self) -> tuple[Finding, ...]:
        """What one run finds."""
        return findings(await self.probe())


@asynccontextmanager
async def canary_world(
    folder: Path,
    *egress: bool,
    patience: float = 1.0,
    pause: float = 0.02,
    looks: int = 3,
    on_step: Callable[[str], None] = nobody,
) -> AsyncIterator[CanaryWorld]:
    """Network 1, 2, … with egress or without, one Machine and a small DNS in each."""
    home = Home(folder)
    driver = NetnsNetwork(home, on_step=on_step)
    await driver.setup()
    try:
        with ExitStack() as stack:
            machines = []
            for number, goes_out in enumerate(egress, start=1):
                machines.append(await attached(driver, 1, number, egress=goes_out))
                servers = ("fdaa::3", f"fdaa:0:{number:x}::3")
                stack.enter_context(small_dns(home.netns / f"n{number}", servers))
            yield CanaryWorld(
                driver=driver,
                prober=NetnsProber(home, driver, patience=patience, pause=pause, looks=looks),
                home=home,
                machines=tuple(machines),
                task=Task(subjects=tuple(subject_of(item) for item in machines)),
            )
    finally:
        await driver.teardown()


def subject_of(machine: Machine) -> Subject:
    """The network of a Machine, as the agent would describe it."""
    router = machine.attachment.router
    return Subject(
        router=router_of(router.network_id, egress=router.egress),
        host=HOST,
        machines=(Neighbour(machine.ip6, machine.ip4),),
        names=(Name("mine.internal", exists=True), Name("theirs.flycast", exists=False)),
    )


@contextmanager
def small_dns(router: Path, addresses: Sequence[str]) -> Iterator[None]:
    """Answers queries at the DNS addresses of a router: KNOWN names exist, others do not."""
    socks = [call_inside(router, lambda each=address: _bound(each)) for address in addresses]  # type: ignore[misc]
    threads = [threading.Thread(target=_answer, args=(sock,), name="small-dns") for sock in socks]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for sock, thread in zip(socks, threads, strict=True):
            with suppress(OSError):  # says "not connected", and wakes the thread all the same
                sock.shutdown(socket.SHUT_RDWR)
            thread.join()
            sock.close()


def _bound(address: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.bind((str(IPv6Address(address)), 53))
    return sock


def _answer(sock: socket.socket) -> None:
    while True:
        try:
            data, peer = sock.recvfrom(512)
        except OSError:
            return
        if not data:
            return
        code = 0 if _name(data) in KNOWN else 3
        sock.sendto(data[:2] + struct.pack("!H", 0x8580 | code) + data[4:], peer)


def _name(query: bytes) -> str:
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    return ".".join(labels)
