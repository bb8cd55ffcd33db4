"""Leases on the Machines of a deploy: taken, kept fresh, given back whatever happens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from roost.control.service import Control
from roost.errors import ConflictError, NotFoundError, RoostError
from roost.model.records import Machine

log = logging.getLogger(__name__)

LONGEST_WAIT = 60.0
"""Seconds to wait for somebody else's lease, for example that of a deploy that was killed."""
LOOK_AGAIN = 1.0
"""Seconds between looks at a lease that somebody else holds."""
OWNER = "deploy"


class Leases:
    """The leases held on an app's Machines by one deploy; made by `holding`."""

    def __init__(self, control: Control, app: str, ttl: int) -> None:
        self.ttl = ttl
        self._control = control
        self._app = app
        self._nonces: dict[str, str] = {}

    def nonce(self, machine_id: str) -> str | None:
        """The nonce of the lease held on a Machine."""
        return self._nonces.get(machine_id)

    def adopt(self, machine: Machine) -> None:
        """Keep the lease with which a Machine was made."""
        if machine.lease is not None:
            self._nonces[machine.id] = machine.lease.nonce

    def forget(self, machine_id: str) -> None:
        """The Machine is gone."""
        self._nonces.pop(machine_id, None)

    async def take(self, machine_id: str) -> None:
        """Take a lease, after that of another has ended. Raises ConflictError after 60 s."""
        clock = self._control.context.clock
        deadline = clock.monotonic() + LONGEST_WAIT
        while True:
            try:
                lease = await self._control.machines.lease(
                    self._app, machine_id, ttl=self.ttl, description="deploy", owner=OWNER
                )
            except ConflictError:
                left = deadline - clock.monotonic()
                if left <= 0:
                    raise
                await clock.sleep(min(left, LOOK_AGAIN, self._held_for(machine_id)))
            else:
                self._nonces[machine_id] = lease.nonce
                return

    async def refresh(self) -> None:
        """Keep all leases fresh until cancelled."""
        while True:
            await self._control.context.clock.sleep(self.ttl / 3)
            for machine_id, nonce in list(self._nonces.items()):
                try:
                    await self._control.machines.lease(
                        self._app, machine_id, ttl=self.ttl, nonce=nonce, owner=OWNER
                    )
                except RoostError as error:
                    # What needs the lease will fail by itself, and say why.
                    log.warning("lease of machine %s not refreshed: %s", machine_id, error)

    async def release_all(self) -> None:
        """Give all leases back; Machines that went meanwhile are fine."""
        for machine_id, nonce in list(self._nonces.items()):
            self.forget(machine_id)
            try:
                await self._control.machines.release_lease(self._app, machine_id, nonce)
            except (NotFoundError, ConflictError) as error:
                log.info("lease of machine %s not released: %s", machine_id, error)

    def _held_for(self, machine_id: str) -> float:
        """Seconds until the present lease ends, at least a tenth."""
        try:
            lease = self._control.machines.get_lease(self._app, machine_id)
        except NotFoundError:
            return 0.1
        return max(0.1, (lease.expires_at - self._control.context.clock.now_ms()) / 1000)


@asynccontextmanager
async def holding(control: Control, app: str, ttl: int) -> AsyncIterator[Leases]:
    """Leases that are refreshed inside of the block and given back at its end."""
    leases = Leases(control, app, ttl)
    async with asyncio.TaskGroup() as group:
        keeper = group.create_task(leases.refresh(), name=f"leases:{app}")
        try:
            yield leases
        finally:
            keeper.cancel()
            await leases.release_all()
