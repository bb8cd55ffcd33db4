"""What the routes work with, made once by `create_app`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Protocol, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from roost.agent.canary import Counters
from roost.agent.proxies import ProxyStatus, Upgrade
from roost.canary.base import Report
from roost.control.host import HostIdentity
from roost.control.service import Control
from roost.deploy.progress import Progress
from roost.deploy.request import DeployRequest


class DeployService(Protocol):
    """Brings a configuration out; `roost.deploy.deployer.Deployer` is one."""

    def run(
        self, app: str, request: DeployRequest, *, user: str, number: int | None
    ) -> AsyncIterator[Progress]:
        """What happens, up to `done` or `failed`; must be read to its end by one task."""
        ...


class ScaleService(Protocol):
    """Changes how many Machines an app has; `roost.deploy.scaler.Scaler` is one."""

    async def count(
        self, app: str, counts: Mapping[str, str | int], *, number: int | None, may_show: bool
    ) -> list[str]:
        """A sentence for each Machine made or destroyed."""
        ...


class CanaryService(Protocol):
    """Tries what must be impossible; `roost.agent.canary.Canary` is one."""

    @property
    def latest(self) -> Report | None:
        """The newest report."""
        ...

    @property
    def counters(self) -> Counters:
        """Since the daemon's start."""
        ...

    async def run_once(self) -> Report:
        """Try everything now. Raises UnavailableError."""
        ...


class ProxyService(Protocol):
    """The proxy processes; `roost.agent.proxies.Proxies` is one."""

    async def status(self) -> list[ProxyStatus]:
        """Every process that lives, the serving one first."""
        ...

    async def upgrade(self, drain_ms: int) -> Upgrade:
        """Let a new process take over. Raises ConflictError, UnavailableError, DeadlineError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Services, the host, and the group in which work goes on after its caller went away."""

    control: Control
    deployer: DeployService
    scaler: ScaleService
    canary: CanaryService
    proxies: ProxyService
    host: HostIdentity
    group: asyncio.TaskGroup


def _parts(connection: HTTPConnection) -> Parts:
    return cast("Parts", connection.app.state.parts)


PartsDep = Annotated[Parts, Depends(_parts)]
"""A route's parameter that gets the parts."""
