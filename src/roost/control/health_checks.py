"""Whether a Machine's health checks can be run. Pure.

Counterpart: `roost.spec.check_limits` has the bounds, which fly.toml obeys too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from roost.errors import InvalidError
from roost.model.checks import named_checks
from roost.model.machine_config import Check, Duration, MachineConfig
from roost.spec import check_limits as limits
from roost.spec import durations

T = TypeVar("T")


def check_health_checks(config: MachineConfig) -> None:
    """Raises InvalidError with a sentence that names the check."""
    for service in config.services:
        for check in service.checks or ():
            _check_one(check, f"a check of the service on internal port {service.internal_port}")
    for name, check in (config.checks or {}).items():
        _obey("a check", limits.name, name)
        if check.port is None:
            raise InvalidError(f"the check {name!r} has no port", hint="say which port it asks")
        _check_one(check, f"the check {name!r}")
    number = sum(1 for _ in named_checks(config))
    if number > limits.MAX_CHECKS:
        raise InvalidError(f"a Machine has at most {limits.MAX_CHECKS} checks, not {number}")


def _check_one(check: Check, where: str) -> None:
    if check.type is None:
        raise InvalidError(f"{where} has no type", hint='use "tcp" or "http"')
    _between(
        check.interval, limits.SHORTEST_INTERVAL, limits.LONGEST_INTERVAL, f"{where}, its interval"
    )
    _between(check.timeout, durations.MILLISECOND, limits.LONGEST_TIMEOUT, f"{where}, its timeout")
    _between(check.grace_period, 0, limits.LONGEST_GRACE, f"{where}, its grace_period")
    if check.method is not None:
        _obey(f"{where}, its method", limits.method, check.method)
    if check.path is not None:
        _obey(f"{where}, its path", limits.path, check.path)
    if check.tls_server_name is not None:
        _obey(f"{where}, its tls_server_name", limits.server_name, check.tls_server_name)
    pairs = [(one.name, value) for one in check.headers or () for value in one.values]
    _obey(where, limits.headers, pairs)


def _between(value: Duration | None, low: int, high: int, what: str) -> None:
    if value is not None and not low <= _obey(what, durations.read, value) <= high:
        raise InvalidError(
            f"{what} must be from {durations.write(low)} to {durations.write(high)}, not {value}"
        )


def _obey(what: str, rule: Callable[[T], object], value: T) -> int:
    try:
        found = rule(value)
    except InvalidError as error:
        raise InvalidError(f"{what}: {error.message}", hint=error.hint) from None
    return found if isinstance(found, int) else 0
