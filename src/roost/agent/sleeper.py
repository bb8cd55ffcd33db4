"""Turns the proxy's load report of each second into Machines that go to sleep.

Only running Machines are looked at, so ten thousand sleepers cost nothing. Without reports (the
proxy is away) nobody is put to sleep: nothing is known of who is idle.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from roost.model.machine_config import Service
from roost.model.records import Machine
from roost.plan.autostop import Action, Candidate, Memory, ServiceLoad, Sleep, decide
from roost.proxyctl.view import DEFAULT_SOFT_LIMIT
from roost.spec import durations

DEFAULT_AFTER_MS = 5 * 60_000


class Sleeper:
    """Keeps the idle rule's memory between reports."""

    def __init__(self) -> None:
        self._memory = Memory()

    def report(
        self,
        running: Iterable[Machine],
        loads: Mapping[str, Any],
        waiting: Mapping[str, int],
        now_ms: int,
    ) -> list[Sleep]:
        """One second's report: who sleeps now. An app somebody waits for is left alone."""
        candidates = [
            candidate
            for machine in running
            if not waiting.get(machine.app)
            and (candidate := _candidate(machine, loads.get(machine.id, {}), now_ms)) is not None
        ]
        asleep, self._memory = decide(candidates, self._memory, now_ms)
        return asleep


def _candidate(machine: Machine, loads: Mapping[str, Any], now_ms: int) -> Candidate | None:
    services = machine.config.services
    action = _action(services)
    if action is None or machine.started_at is None:
        return None
    primary = machine.config.env.get("PRIMARY_REGION")
    floor = max(service.min_machines_running or 0 for service in services)
    ports = sorted(port.port or port.start_port or 0 for s in services for port in s.ports)
    return Candidate(
        id=machine.id,
        group=(machine.app, machine.region, tuple(ports)),
        action=action,
        after_ms=max(_after_ms(service) for service in services),
        floor=floor if primary == machine.region else 0,
        leased=machine.lease is not None and machine.lease.expires_at > now_ms,
        since_ms=machine.started_at,
        loads=tuple(_load(service, loads) for service in services),
    )


def _action(services: tuple[Service, ...]) -> Action | None:
    """The least eager setting of all services wins: off < stop < suspend."""
    settings = {service.autostop or "off" for service in services}
    if not settings or "off" in settings:
        return None
    return "stop" if "stop" in settings else "suspend"


def _after_ms(service: Service) -> int:
    if service.auto_stop_after is None:
        return DEFAULT_AFTER_MS
    return round(durations.seconds(service.auto_stop_after) * 1000)


def _load(service: Service, loads: Mapping[str, Any]) -> ServiceLoad:
    suffix = "" if service.protocol == "tcp" else f"/{service.protocol}"
    now, peak = loads.get(f"{service.internal_port}{suffix}", (0, 0))
    limits = service.concurrency
    soft = (limits.soft_limit if limits else None) or DEFAULT_SOFT_LIMIT
    return ServiceLoad(peak=peak, now=now, soft_limit=soft)
