"""The proxy processes that an earlier daemon left: who serves, who drains, who is of no use."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from roost.clock import Clock
from roost.errors import RoostError
from roost.proxyctl.client import greeting
from roost.proxyctl.process import ProxyProcess

log = logging.getLogger("roost.proxy")

_USEFUL = frozenset({"serving", "handing", "draining"})
_ROLE_SECONDS = 0.05
_ROLE_TRIES = 100
"""How often a process is asked that gives its sockets to one that has ended: it soon sees that."""


@dataclass(frozen=True, slots=True)
class Found:
    """Who serves, if anybody, and whose connections go on."""

    serving: ProxyProcess | None
    draining: tuple[ProxyProcess, ...]


async def find(processes: Iterable[ProxyProcess], clock: Clock) -> Found:
    """Look at all there may be, and end those that wait for a daemon which is gone.

    Who was about to take over is one of them, at whatever step; so who was about to hand over is
    asked after that: it serves again, or had been told a moment before that the other one does.
    """
    useful = []
    for process in processes:
        process.claim()
        if process.pid is None:
            continue
        if (role := await role_of(process)) in _USEFUL:
            useful.append(process)
        else:
            log.info("ending a roost-proxy that is of no use (pid %s, %s)", process.pid, role)
            await process.killed()
    roles = [(process, await settled_role(process, clock)) for process in useful]
    serving = [process for process, role in roles if role in ("serving", "handing")]
    draining = tuple(process for process, role in roles if role == "draining")
    return Found(serving[-1] if serving else None, draining)


async def role_of(process: ProxyProcess) -> str:
    """What a process says it does; "silent" when it does not answer."""
    try:
        return str((await greeting(process.socket)).get("role", "serving"))
    except RoostError:
        return "silent"


async def settled_role(process: ProxyProcess, clock: Clock) -> str:
    """The same, once it does not hand over any more: to be asked when the other one has ended."""
    for _ in range(_ROLE_TRIES):
        if (role := await role_of(process)) != "handing":
            break
        await clock.sleep(_ROLE_SECONDS)
    return role
