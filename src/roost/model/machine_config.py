"""A Machine's configuration in the Machines API's JSON shape, which is also how it is stored.

Unknown keys are kept as they came, so that a client newer than Roost gets back what it sent.
Durations are Go strings ("10s") or nanosecond integers on the wire, kept as the string or number
sent; `roost.spec.durations` reads them. Source: docs/machines/api/machines-resource.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

Duration = str | int

MAX_LIMIT = 0xFFFFFFFF
"""Load limits are 32 bits wide, in the proxy as in Fly's."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)


def _autostop(value: object) -> object:
    return {False: "off", True: "stop", "false": "off", "true": "stop"}.get(value, value)


Autostop = Annotated[
    Literal["off", "stop", "suspend"],
    BeforeValidator(_autostop),
    PlainSerializer(
        lambda v: {"off": False, "stop": True}.get(v, v), return_type=bool | str, when_used="json"
    ),
]
"""Read from false, true, "off", "stop", "suspend"; written as Fly's clients want it."""


class Init(_Part):
    """What to run: `exec` replaces all, `entrypoint` and `cmd` replace the image's."""

    exec: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    tty: bool = False
    swap_size_mb: int | None = Field(default=None, ge=0)


class Guest(_Part):
    """Size: `cpus` cores of kind shared or performance, memory in MiB."""

    cpu_kind: Literal["shared", "performance"] = "shared"
    cpus: int = Field(default=1, ge=1, le=64)
    memory_mb: int = Field(default=256, ge=16)


class ProxyProtoOptions(_Part):
    """Which header the `proxy_proto` handler sends; v1 when unset."""

    version: Literal["v1", "v2"] | None = None


class Port(_Part):
    """One external port, or a range, of a service."""

    port: int | None = Field(default=None, ge=1, le=65535)
    start_port: int | None = Field(default=None, ge=1, le=65535)
    end_port: int | None = Field(default=None, ge=1, le=65535)
    handlers: tuple[Literal["http", "tls", "pg_tls", "proxy_proto", "tcp"], ...] = ()
    force_https: bool = False
    http_options: dict[str, Any] | None = None
    tls_options: dict[str, Any] | None = None
    proxy_proto_options: ProxyProtoOptions | None = None
    accept_proxy_proto: bool | None = None
    """Callers begin with a PROXY header that says who they are (Roost's own)."""

    @property
    def numbers(self) -> range:
        """The external ports; none while the range is incomplete."""
        if self.port is not None:
            return range(self.port, self.port + 1)
        if self.start_port is None or self.end_port is None:
            return range(0)
        return range(self.start_port, self.end_port + 1)


class Concurrency(_Part):
    """Load limits of one Machine for one service; 0 or none is unlimited (soft: 20)."""

    type: Literal["connections", "requests"] = "connections"
    soft_limit: int | None = Field(default=None, ge=0, le=MAX_LIMIT)
    hard_limit: int | None = Field(default=None, ge=0, le=MAX_LIMIT)


class CheckHeader(_Part):
    """A header of an HTTP check; each value is a line of its own."""

    name: str
    values: tuple[str, ...] = ()


class Check(_Part):
    """One health check of a service, or a top-level one."""

    type: Literal["tcp", "http"] | None = None
    port: int | None = Field(default=None, ge=1, le=65535)
    interval: Duration | None = None
    timeout: Duration | None = None
    grace_period: Duration | None = None
    method: str | None = None
    path: str | None = None
    protocol: Literal["http", "https"] | None = None
    headers: tuple[CheckHeader, ...] | None = None
    tls_skip_verify: bool | None = None
    tls_server_name: str | None = None


class Service(_Part):
    """One internal port offered through the proxy."""

    protocol: Literal["tcp", "udp"] = "tcp"
    internal_port: int = Field(default=8080, ge=1, le=65535)
    ports: tuple[Port, ...] = ()
    autostop: Autostop | None = None
    autostart: bool | None = None
    min_machines_running: int | None = Field(default=None, ge=0)
    concurrency: Concurrency | None = None
    checks: tuple[Check, ...] | None = None
    auto_stop_after: Duration | None = None
    """Roost's own: how long the excess must have lasted (default 5m)."""
    allowed_apps: tuple[str, ...] | None = None
    """Roost's own: the apps whose Machines may call, as `app` of the same organization or
    `org/app`; None means everybody who can."""


class Restart(_Part):
    """When a Machine whose process ended is started again."""

    policy: Literal["no", "always", "on-failure", "on-fail"] = "on-failure"
    max_retries: int | None = Field(default=None, ge=0)


class StopConfig(_Part):
    """How a Machine is asked to end: signal name, then SIGKILL after `timeout`."""

    signal: str | None = None
    timeout: Duration | None = None


class File(_Part):
    """A file written into the Machine before it starts: base64 text, or a secret's base64."""

    guest_path: str
    raw_value: str | None = None
    secret_name: str | None = None
    mode: int = 0o644


class Dns(_Part):
    """`skip_registration` hides the Machine from .internal names."""

    skip_registration: bool = False


class MachineConfig(_Part):
    """The whole configuration; only `image` is required by the API."""

    image: str = ""
    env: dict[str, str] = Field(default_factory=dict)
    init: Init = Init()
    guest: Guest = Guest()
    metadata: dict[str, str] = Field(default_factory=dict)
    services: tuple[Service, ...] = ()
    checks: dict[str, Check] | None = None
    restart: Restart | None = None
    stop_config: StopConfig | None = None
    files: tuple[File, ...] = ()
    mounts: tuple[dict[str, Any], ...] = ()
    auto_destroy: bool = False
    schedule: str | None = None
    dns: Dns | None = None
    app_dir: str | None = None
    """Roost's own: a host folder shown read-only at /app (image roost/host)."""

    def to_api(self) -> dict[str, Any]:
        """JSON-ready dict without unset keys."""
        return self.model_dump(mode="json", exclude_none=True, by_alias=True)
