"""Proxy processes that are what a test says."""

from __future__ import annotations

from dataclasses import dataclass, field

from roost.agent.proxies import ProxyStatus, Upgrade
from roost.errors import RoostError


def a_proxy(
    pid: int, role: str, *, connections: int = 0, left_ms: int | None = None
) -> ProxyStatus:
    """One process of version 0.1.0."""
    return ProxyStatus(
        pid=pid,
        version="0.1.0",
        role=role,
        connections=connections,
        waiting=0,
        left_ms=left_ms,
    )


@dataclass
class ScriptedProxies:
    """`ProxyService` whose upgrade replaces pid 1 by pid 2, or fails."""

    fails: RoostError | None = None
    drains: list[int] = field(default_factory=list)
    processes: list[ProxyStatus] = field(default_factory=lambda: [a_proxy(1, "serving")])

    async def status(self) -> list[ProxyStatus]:
        """What there is."""
        return self.processes

    async def upgrade(self, drain_ms: int) -> Upgrade:
        """One more process; three connections go on in the first."""
        if self.fails is not None:
            raise self.fails
        self.drains.append(drain_ms)
        before, now = self.processes[0], a_proxy(2, "serving")
        self.processes = [now, a_proxy(1, "draining", connections=3, left_ms=drain_ms)]
        return Upgrade(before=before, after=now, sockets=10, took_ms=120)
