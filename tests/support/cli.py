"""Types and sample objects of the CLI's tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command line ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


Run = Callable[..., Ran]


def an_app(name: str = "web", **more: object) -> dict[str, Any]:
    """An App as the API gives it."""
    return {
        "id": name,
        "name": name,
        "status": "deployed",
        "network": "default",
        "organization": {"name": "Personal", "slug": "personal"},
        **more,
    }


def a_machine(id_: str = "148e1a", state: str = "started", **more: object) -> dict[str, Any]:
    """A Machine as the API gives it, of group app."""
    return {
        "id": id_,
        "name": "quiet-fern-1",
        "state": state,
        "region": "local",
        "instance_id": "01J0",
        "private_ip": "fdaa:0:1:0:2:0:5:2",
        "created_at": "2026-01-02T03:04:05Z",
        "updated_at": "2026-01-02T03:04:05Z",
        "host_status": "ok",
        "image_ref": {"repository": "roost/host", "tag": ""},
        "config": {
            "image": "roost/host",
            "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256},
            "metadata": {
                "fly_platform_version": "v2",
                "fly_process_group": "app",
                "fly_release_version": "3",
            },
        },
        "events": [],
        "checks": [],
        **more,
    }


def an_exit(code: int, *, requested: bool = False) -> dict[str, Any]:
    """An exit event."""
    facts = {"exit_code": code, "requested_stop": requested, "oom_killed": False}
    return {
        "type": "exit",
        "status": "stopped",
        "source": "flyd",
        "timestamp": 1767323045000,
        "request": {"exit_event": facts, "restart_count": 0},
    }
