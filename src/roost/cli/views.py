"""The API's objects as the commands print them: typed values read from JSON, tolerantly.

What a table does not show stays in `raw`, which `--json` prints as it came.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from roost.cli.times import parse_time

UP = frozenset({"started", "starting", "restarting"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitView:
    """How a Machine's process ended last."""

    code: int | None
    requested: bool
    oom_killed: bool
    at: object


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineView:
    """One Machine."""

    id: str
    name: str
    state: str
    region: str
    instance_id: str
    private_ip: str
    created_at: object
    updated_at: object
    config: Mapping[str, Any]
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def metadata(self) -> Mapping[str, str]:
        """Its metadata."""
        return self.config.get("metadata") or {}

    @property
    def group(self) -> str:
        """Its process group, "" for a Machine that no deploy made."""
        return self.metadata.get("fly_process_group", "")

    @property
    def managed(self) -> bool:
        """Whether deploy and scale look after it."""
        return self.metadata.get("fly_platform_version") == "v2"

    @property
    def version(self) -> str:
        """The release it runs."""
        return self.metadata.get("fly_release_version", "")

    @property
    def image(self) -> str:
        """Repository and tag, else the reference it was made with."""
        ref = self.raw.get("image_ref") or {}
        repository, tag = ref.get("repository") or "", ref.get("tag") or ""
        if not repository:
            return str(self.config.get("image", ""))
        return f"{repository}:{tag}" if tag else str(repository)

    @property
    def guest(self) -> Mapping[str, Any]:
        """CPU and memory."""
        return self.config.get("guest") or {}

    @property
    def size(self) -> str:
        """Such as `shared-cpu-1x:256MB`."""
        kind = str(self.guest.get("cpu_kind", "shared"))
        name = "shared-cpu" if kind == "shared" else kind
        return f"{name}-{self.guest.get('cpus', 1)}x:{self.guest.get('memory_mb', 256)}MB"

    @property
    def checks(self) -> str:
        """Such as `2 total, 1 passing, 1 critical`."""
        states = [str(check.get("status", "")) for check in self.raw.get("checks") or ()]
        if not states:
            return ""
        counted = [(kind, states.count(kind)) for kind in ("passing", "warning", "critical")]
        return ", ".join(
            [f"{len(states)} total", *(f"{number} {kind}" for kind, number in counted if number)]
        )

    @property
    def last_exit(self) -> ExitView | None:
        """The newest exit, None when it never ended or has been started since."""
        for event in self.raw.get("events") or ():
            kind = event.get("type")
            if kind in {"start", "launch"}:
                return None
            if kind == "exit":
                facts = (event.get("request") or {}).get("exit_event") or {}
                return ExitView(
                    code=facts.get("exit_code"),
                    requested=bool(facts.get("requested_stop")),
                    oom_killed=bool(facts.get("oom_killed")),
                    at=event.get("timestamp"),
                )
        return None


def why_failed(m: MachineView) -> str:
    """Why it could not be started, in the host's words; "" when it is not known."""
    for event in m.raw.get("events") or ():
        if reason := (event.get("request") or {}).get("error"):
            return str(reason)
        if event.get("type") == "start":
            return ""
    return ""


def machine(raw: Mapping[str, Any]) -> MachineView:
    """Read one Machine."""
    return MachineView(
        id=str(raw.get("id", "")),
        name=str(raw.get("name", "")),
        state=str(raw.get("state", "")),
        region=str(raw.get("region", "")),
        instance_id=str(raw.get("instance_id", "")),
        private_ip=str(raw.get("private_ip") or ""),
        created_at=raw.get("created_at"),
        updated_at=raw.get("updated_at"),
        config=raw.get("config") or {},
        raw=raw,
    )


def ip_version(address: str) -> str:
    """`v6` or `v4`."""
    return "v6" if ":" in address else "v4"


def ip_kind(raw: Mapping[str, Any]) -> str:
    """The type column of an address, in the client's words."""
    if str(raw.get("ip", "")).startswith("fdaa"):
        return "private ingress"
    return "public ingress (shared)" if raw.get("shared") else "public ingress (dedicated)"


def audience(raw: Mapping[str, Any]) -> str:
    """Who reaches an address: `org/network`, or `internet`."""
    if raw.get("public"):
        return "internet"
    return f"{raw.get('org_slug') or 'personal'}/{raw.get('network') or 'default'}"


def ports(raw: Mapping[str, Any]) -> str:
    """The external ports that answer at an address."""
    return ",".join(str(port) for port in raw.get("ports") or ()) or "all"


def until(value: object) -> str:
    """When something ends, "" when never."""
    when = parse_time(value)
    return "" if when is None else f"{when:%Y-%m-%d %H:%M}"
