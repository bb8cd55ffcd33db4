"""What every service of control works with, made once by the daemon."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from roost.clock import Clock
from roost.control.closing import Closing
from roost.control.host import HostAgent, HostIdentity
from roost.control.logs import AppLogs
from roost.control.public_pool import NO_POOL, PublicPool
from roost.home import Home
from roost.store.base import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Store (in the daemon an `audited.AuditedStore`), time, randomness (`random(n)` gives n
    bytes), this host, its agent, logs, paths, the public addresses that may be given out, and the
    apps that are being destroyed.
    """

    store: Store
    clock: Clock
    random: Callable[[int], bytes]
    host: HostIdentity
    agent: HostAgent
    logs: AppLogs
    home: Home
    public: PublicPool = NO_POOL
    closing: Closing = field(default_factory=Closing)
