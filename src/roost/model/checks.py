"""A Machine's health checks by name, and what they said. Pure.

Names of service checks are Fly's: `servicecheck-<number>-<type>-<port>`, counted over the Machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from roost.model.machine_config import Check, MachineConfig

SERVICE_PREFIX = "servicecheck-"
"""Names of top-level checks do not begin so."""


class CheckStatus(StrEnum):
    """What a result means; nothing of Roost gives a warning."""

    PASSING = "passing"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """What a check said last: `output` is one line, "" before the first run; `at` is when the
    status changed, in milliseconds since the epoch.
    """

    name: str
    status: CheckStatus
    output: str = ""
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedCheck:
    """One configured check: its name, the port it asks, and the index of its service (None: it is
    a top-level one, which decides nothing about calls).
    """

    name: str
    check: Check
    port: int
    service: int | None = None


def named_checks(config: MachineConfig) -> Iterator[NamedCheck]:
    """Every check of a Machine: those of its services, then its own. One without a port, which
    could not be run, is left out.
    """
    number = 0
    for index, service in enumerate(config.services):
        for check in service.checks or ():
            port = check.port or service.internal_port
            name = f"{SERVICE_PREFIX}{number:02d}-{check.type or 'tcp'}-{port}"
            yield NamedCheck(name=name, check=check, port=port, service=index)
            number += 1
    for name, check in (config.checks or {}).items():
        if check.port is not None:
            yield NamedCheck(name=name, check=check, port=check.port)


def with_unchecked(
    config: MachineConfig, results: Mapping[str, CheckResult], *, since: int
) -> tuple[CheckResult, ...]:
    """One result for each configured check: critical since `since` where none was told yet."""
    return tuple(
        results.get(one.name) or CheckResult(name=one.name, status=CheckStatus.CRITICAL, at=since)
        for one in named_checks(config)
    )
