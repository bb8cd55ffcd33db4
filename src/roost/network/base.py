"""What the agent needs of the host's network; drivers: `netns` (Linux) and `fake`.

Guarantees every driver gives (tests/contract/test_network.py):

- *Idempotent:* ensure/attach on what exists already repairs it and returns the same path;
  remove/detach of what is gone is no error.
- *Crash-safe:* a half-made thing is found by observe() and completed by the next ensure/attach or
  taken away by remove/detach.
- *Isolated:* no packet passes between routers, nor leaves a Machine with a source address that
  is not its own; IPv4 is never routed between Machines.
- *Concurrent:* calls for different ids may run at the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """The namespace of one private network on this host."""

    network_id: int
    prefix: IPv6Network
    flycast: IPv6Network
    dns: tuple[IPv6Address, ...]
    gateway4: IPv4Address
    egress: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """One Machine's namespace with its `eth0`, linked into its network's router."""

    machine_id: str
    router: Router
    ip6: IPv6Interface
    ip4: IPv4Address


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedNetwork:
    """What is there: network id → namespace file, and Machine id → namespace file."""

    routers: dict[int, Path]
    machines: dict[str, Path]


class NetworkDriver(Protocol):
    """Makes and removes router and Machine namespaces on this host."""

    async def setup(self) -> None:
        """Prepare the host once (directories, the uplink's host side). Raises UnavailableError."""
        ...

    async def own_outside(self, pools: Sequence[IPv4Network | IPv6Network]) -> None:
        """Make exactly these public networks addresses of the host itself, after setup().

        Raises UnavailableError, also where Roost runs without root: nothing would arrive there.
        """
        ...

    async def ensure_router(self, router: Router) -> Path:
        """Make the router namespace complete; returns its namespace file. At most 5 ms."""
        ...

    async def remove_router(self, network_id: int) -> None:
        """Take the router namespace away (its Machines must be detached before)."""
        ...

    async def attach(self, attachment: Attachment) -> Path:
        """Make the Machine's namespace complete (and its router's); returns its file. ≤ 5 ms."""
        ...

    async def detach(self, machine_id: str) -> None:
        """Take the Machine's namespace and link away."""
        ...

    async def observe(self) -> ObservedNetwork:
        """List what exists now, made by this or an earlier process of this ROOST_HOME."""
        ...

    async def teardown(self) -> None:
        """Remove everything this driver ever made on the host."""
        ...
