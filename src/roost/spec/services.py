"""`[http_service]`, `[[services]]` and what belongs to them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from roost.spec.fields import (
    AutoStop,
    CallerNames,
    CheckDuration,
    CheckMethod,
    CheckPath,
    CheckServerName,
    HeaderName,
    HeaderText,
    Part,
    PortNumber,
    PositiveDuration,
    ReplayPrefix,
    ResponseHeader,
    Signal,
    StopTimeout,
)

DEFAULT_INTERNAL_PORT = 8080
Handler = Literal["http", "tls", "pg_tls", "proxy_proto", "tcp"]
MOST_REPLAY_RULES = 32
UInt32 = Annotated[int, Field(ge=0, le=0xFFFFFFFF)]


class Concurrency(Part):
    """Load limits of one Machine for one service; 0 or absent is unset."""

    type: Literal["connections", "requests"] = "connections"
    soft_limit: UInt32 | None = None
    hard_limit: UInt32 | None = None


class ReplayRule(Part):
    """One `http_options.replay_cache` rule (session stickiness)."""

    path_prefix: ReplayPrefix
    ttl_seconds: int = Field(ge=10, le=0xFFFFFFFF)
    type: Literal["cookie", "header"]
    name: HeaderName
    allow_bypass: bool = False


class ResponseOptions(Part):
    """What the proxy does to response headers."""

    headers: dict[HeaderName, ResponseHeader] = Field(default_factory=dict)
    pristine: bool = False


class HttpOptions(Part):
    """Settings of the `http` handler; times in seconds, 0 is unset."""

    compress: bool | None = None
    response: ResponseOptions | None = None
    h2_backend: bool | None = None
    idle_timeout: UInt32 | None = None
    headers_read_timeout: UInt32 | None = None
    replay_cache: tuple[ReplayRule, ...] = Field(default=(), max_length=MOST_REPLAY_RULES)


class TlsOptions(Part):
    """Settings of the `tls` handler."""

    alpn: tuple[str, ...] = ()
    versions: tuple[Literal["TLSv1.2", "TLSv1.3"], ...] = ()
    default_self_signed: bool | None = None


class ProxyProtoOptions(Part):
    """Settings of the `proxy_proto` handler; v2 is the binary form."""

    version: Literal["v1", "v2"] | None = None


class Port(Part):
    """One external port, or the range from `start_port` to `end_port`.

    `accept_proxy_proto` is Roost's own: callers begin with a PROXY header that says who they are.
    """

    port: PortNumber | None = None
    start_port: PortNumber | None = None
    end_port: PortNumber | None = None
    handlers: tuple[Handler, ...] = ()
    force_https: bool = False
    http_options: HttpOptions | None = None
    tls_options: TlsOptions | None = None
    proxy_proto_options: ProxyProtoOptions | None = None
    accept_proxy_proto: bool = False

    def span(self) -> tuple[int, int] | None:
        """First and last external port; None while none is given."""
        if self.port is not None:
            return (self.port, self.port)
        if self.start_port is not None and self.end_port is not None:
            return (self.start_port, self.end_port)
        return None


class TcpCheck(Part):
    """A check that connects. Times are nanoseconds."""

    interval: CheckDuration = None
    timeout: CheckDuration = None
    grace_period: CheckDuration = None


class HttpCheck(TcpCheck):
    """A check that asks for a page."""

    method: CheckMethod | None = None
    path: CheckPath | None = None
    protocol: Literal["http", "https"] | None = None
    tls_skip_verify: bool | None = None
    tls_server_name: CheckServerName | None = None
    headers: dict[HeaderName, HeaderText] = Field(default_factory=dict)


class MachineCheck(Part):
    """A command run in a Machine of its own while deploying."""

    command: tuple[str, ...] = Field(min_length=1)
    image: str | None = None
    entrypoint: tuple[str, ...] = ()
    kill_signal: Signal | None = None
    kill_timeout: StopTimeout = None


class ServiceBase(Part):
    """What both kinds of services have. `auto_stop_after` and `allowed_apps` are Roost's own."""

    internal_port: PortNumber = DEFAULT_INTERNAL_PORT
    auto_stop_machines: AutoStop | None = None
    auto_stop_after: PositiveDuration = None
    auto_start_machines: bool | None = None
    min_machines_running: int | None = Field(default=None, ge=0)
    processes: tuple[str, ...] = ()
    concurrency: Concurrency | None = None
    allowed_apps: CallerNames | None = None
    machine_checks: tuple[MachineCheck, ...] = ()


class Service(ServiceBase):
    """One entry of `[[services]]`."""

    protocol: Literal["tcp", "udp"] = "tcp"
    ports: tuple[Port, ...] = ()
    tcp_checks: tuple[TcpCheck, ...] = ()
    http_checks: tuple[HttpCheck, ...] = ()


class HttpService(ServiceBase):
    """`[http_service]`: one tcp service on ports 80 and 443."""

    force_https: bool = False
    tls_options: TlsOptions | None = None
    http_options: HttpOptions | None = None
    checks: tuple[HttpCheck, ...] = ()
