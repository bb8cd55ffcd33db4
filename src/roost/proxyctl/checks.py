"""Health checks as the control protocol carries them. Pure.

Counterpart: `Check` in crates/wire/src/check.rs.
"""

from __future__ import annotations

from typing import Any

from roost.model.checks import NamedCheck
from roost.model.machine_config import Check, Duration
from roost.spec import check_limits as limits
from roost.spec import durations


def to_wire(named: NamedCheck) -> dict[str, Any]:
    """JSON-ready, with what is left out of the check filled in."""
    check = named.check
    http = check.type == "http"
    timeout = limits.DEFAULT_HTTP_TIMEOUT if http else limits.DEFAULT_TCP_TIMEOUT
    value: dict[str, Any] = {
        "name": named.name,
        "type": check.type or "tcp",
        "port": named.port,
        "interval_ms": _ms(check.interval, limits.DEFAULT_INTERVAL),
        "timeout_ms": max(_ms(check.timeout, timeout), 1),
        "grace_ms": _ms(check.grace_period, limits.DEFAULT_GRACE),
    }
    return value | {"http": _request(check)} if http else value


def _request(check: Check) -> dict[str, Any]:
    pairs = [[one.name, value] for one in check.headers or () for value in one.values]
    said = {
        "method": (check.method or "").upper(),
        "path": check.path,
        "headers": pairs,
        "tls": check.protocol == "https",
        "tls_skip_verify": bool(check.tls_skip_verify),
        "tls_server_name": check.tls_server_name,
    }
    return {key: value for key, value in said.items() if value}


def _ms(value: Duration | None, usual: int) -> int:
    return (usual if value is None else durations.read(value)) // durations.MILLISECOND
