"""Records as the API's JSON objects: the one place that knows both. Pure.

Shapes are those of Fly's Machines API; Roost's own additions are named as such.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from roost.api.image_ref import image_ref
from roost.control.host import HostIdentity
from roost.control.log_lines import LogLine
from roost.model.access import AuditEntry, Token
from roost.model.checks import CheckResult
from roost.model.ids import DEFAULT_NETWORK
from roost.model.records import (
    App,
    Lease,
    Machine,
    MachineEvent,
    Org,
    Release,
    Secret,
)
from roost.runtime.base import Process

Json = dict[str, Any]


def when(ms: int) -> str:
    """RFC 3339 in UTC with milliseconds."""
    moment = datetime.fromtimestamp(ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def org_view(org: Org) -> Json:
    """An organization."""
    kind = "PERSONAL" if org.slug == "personal" else "SHARED"
    return {"name": org.name, "slug": org.slug, "internal_numeric_id": _number(org), "type": kind}


def app_view(app: App, org: Org, *, status: str, machines: int) -> Json:
    """An app; `wants_flycast` and `created_at` are Roost's own."""
    return {
        "id": app.id,
        "name": app.name,
        "internal_numeric_id": app.number,
        "network": app.network or DEFAULT_NETWORK,
        "status": status,
        "machine_count": machines,
        "volume_count": 0,
        "organization": {
            "name": org.name,
            "slug": org.slug,
            "internal_numeric_id": _number(org),
        },
        "cname_target": "",
        "app_role": "",
        "wants_flycast": app.wants_flycast,
        "created_at": when(app.created_at),
    }


def machine_view(
    machine: Machine, checks: Iterable[CheckResult] = (), *, nonce: str | None = None
) -> Json:
    """A Machine; `restart_count` is Roost's own."""
    view: Json = {
        "id": machine.id,
        "name": machine.name,
        "state": str(machine.state),
        "region": machine.region,
        "instance_id": machine.instance_id,
        "version": machine.instance_id,
        "private_ip": str(machine.private_ip),
        "config": machine.config.to_api(),
        "image_ref": image_ref(machine.config.image, machine.image_digest),
        "created_at": when(machine.created_at),
        "updated_at": when(machine.updated_at),
        "events": [event_view(event) for event in machine.events],
        "checks": [check_view(check) for check in checks],
        "cordoned": machine.cordoned,
        "host_status": "ok",
        "restart_count": machine.restart_count,
    }
    if nonce is not None:
        view["nonce"] = nonce
    return view


def check_view(check: CheckResult) -> Json:
    """A health check's result; `updated_at` is when its status changed last."""
    return {
        "name": check.name,
        "status": str(check.status),
        "output": check.output,
        "updated_at": when(check.at),
    }


def event_view(event: MachineEvent) -> Json:
    """One line of a Machine's history."""
    view: Json = {
        "id": event.id,
        "type": event.type,
        "status": event.status,
        "source": event.source,
        "timestamp": event.timestamp,
    }
    if event.request is not None:
        view["request"] = event.request
    return view


def lease_view(lease: Lease) -> Json:
    """A lease; its end in seconds since the epoch."""
    data = {
        "nonce": lease.nonce,
        "expires_at": lease.expires_at // 1000,
        "owner": lease.owner,
        "description": lease.description,
        "version": lease.version,
    }
    return {"status": "success", "data": data}


def secret_view(secret: Secret) -> Json:
    """A secret without its value."""
    return {
        "name": secret.name,
        "digest": secret.digest,
        "created_at": when(secret.created_at),
        "updated_at": when(secret.updated_at),
    }


def release_view(release: Release) -> Json:
    """A release."""
    return {
        "id": release.id,
        "version": release.version,
        "status": release.status,
        "stable": release.status == "complete",
        "in_progress": release.status in {"pending", "running"},
        "strategy": release.strategy,
        "user": release.user,
        "description": release.description,
        "image_ref": release.image,
        "config": release.config,
        "created_at": when(release.created_at),
    }


def token_view(token: Token) -> Json:
    """A token without its text, of which nobody knows more than the hash (Roost's own object)."""
    return {
        "id": token.id,
        "name": token.name,
        "kind": str(token.grade),
        "org": token.org,
        "app": token.app,
        "machine": token.machine,
        "created_by": token.created_by,
        "created_at": when(token.created_at),
        "expires_at": None if token.expires_at is None else when(token.expires_at),
        "revoked_at": None if token.revoked_at is None else when(token.revoked_at),
    }


def audit_view(entry: AuditEntry) -> Json:
    """An entry of the audit log (Roost's own object); its id is the cursor `before`."""
    return {
        "id": entry.key,
        "at": when(entry.at),
        "actor": entry.actor,
        "token": entry.token,
        "action": entry.action,
        "source": entry.source,
        "org": entry.org,
        "app": entry.app,
        "changes": list(entry.changes),
    }


def region_view(host: HostIdentity) -> Json:
    """The region of this host."""
    return {
        "code": host.region,
        "name": host.region,
        "latitude": 0.0,
        "longitude": 0.0,
        "gateway_available": False,
        "requires_paid_plan": False,
        "deprecated": False,
        "capacity": host.cpus,
        "geo_region": "",
        "mpg_available": False,
    }


def processes_view(processes: Iterable[Process]) -> list[Json]:
    """Processes of a Machine; what the host does not tell is empty."""
    return [
        {
            "pid": process.pid,
            "command": process.command,
            "rss": process.rss,
            "cpu": int(process.cpu_seconds),
            "stime": int(process.cpu_seconds),
            "rtime": int(process.cpu_seconds),
            "directory": "",
            "listen_sockets": [],
        }
        for process in processes
    ]


def log_view(line: LogLine) -> Json:
    """One line of an app's log (Roost's own object)."""
    view: Json = {
        "timestamp": line.timestamp,
        "app": line.app,
        "instance": line.instance,
        "region": line.region,
        "level": line.level,
        "source": line.source,
        "message": line.message,
    }
    if line.code is not None:
        view["code"] = line.code
    return view


def _number(org: Org) -> int:
    """A number that stays the same for a slug; clients only want one."""
    return zlib.crc32(org.slug.encode()) & 0x7FFFFFFF
