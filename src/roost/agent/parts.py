"""What the agent works with: the drivers and values of one host, wired by the daemon."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from roost.agent.host_memory import available_memory
from roost.canary.base import Prober
from roost.clock import Clock
from roost.control.certificate_desk import CertificateDesk
from roost.control.host import HostIdentity
from roost.control.logs import AppLogs
from roost.control.public_pool import NO_POOL, PublicPool
from roost.home import Home
from roost.images.base import ImageStore
from roost.network.base import NetworkDriver
from roost.plan.wake_budget import Limits
from roost.runtime.base import Runtime
from roost.store.base import Store

DEFAULT_PREPARED = 32
"""Sleepers whose container is made ahead of time; each costs about 3 MB and two processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything a Machine's worker and the canary need. `reveal` gives an app's secrets in clear,
    `certificates` the window to certificates, which is made after the agent.

    `prober` is the canary's driver (None: there is no canary), `canary_every` the seconds between
    its runs (0: only when asked), `host_ports` the TCP ports on which the host's API listens.
    `wakes` bounds how many sleepers start at once, over what `available_memory` (bytes) says.
    """

    store: Store
    clock: Clock
    random: Callable[[int], bytes]
    identity: HostIdentity
    home: Home
    runtime: Runtime
    network: NetworkDriver
    images: ImageStore
    logs: AppLogs
    reveal: Callable[[str], Mapping[str, str]]
    certificates: Callable[[], CertificateDesk]
    prepared: int = DEFAULT_PREPARED
    public: PublicPool = NO_POOL
    source_key: bytes = b""
    """The public key that checks `Fly-Src`; every Machine gets it."""
    prober: Prober | None = None
    canary_every: float = 0.0
    host_ports: tuple[int, ...] = ()
    wakes: Limits
    available_memory: Callable[[], int] = available_memory
