"""Rules of external ports: given, in order, not used twice, with fitting handlers."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from roost.spec import groups, tls_rules
from roost.spec.app_config import AppConfig
from roost.spec.problems import Finding
from roost.spec.services import HttpService, Port, Service, TlsOptions
from roost.spec.toml_lines import Path

HTTP_PORT = 80
HTTPS_PORT = 443
HANDLER_MIXES: frozenset[frozenset[str]] = frozenset(
    frozenset(handlers)
    for handlers in (
        (),
        ("tls",),
        ("http",),
        ("tls", "http"),
        ("pg_tls",),
        ("proxy_proto",),
        ("proxy_proto", "tls"),
    )
)
"""Mixes that have a meaning; `tcp` is another word for none."""
MIXES_HINT = "use none, http, tls, tls + http, pg_tls, proxy_proto or proxy_proto + tls"
MOST_ENTRIES = 1000
"""Entries of all [[services.ports]] together."""
MOST_PORTS = 256
"""External ports of one Machine; a range counts as one."""


@dataclass(frozen=True, slots=True)
class _Use:
    first: int
    last: int
    protocol: str
    groups: frozenset[str]
    path: Path
    service: str


def check_ports(config: AppConfig) -> Iterator[Finding]:
    """Findings about `[[services.ports]]` and the ports of `[http_service]`."""
    for number, service in enumerate(config.services):
        if not service.ports:
            yield Finding(
                path=("services", number),
                message="this service has no [[services.ports]], so nothing can reach it",
                hint="add one with port = …",
                level="warning",
            )
        for position, port in enumerate(service.ports):
            path = ("services", number, "ports", position)
            yield from _given(path, port)
            yield from _handlers(path, port, service.protocol)
            yield from _not_rewritten(path, port, service)
    if config.http_service is not None:
        yield from _tls(("http_service",), config.http_service.tls_options, ("tls", "http"))
    yield from _https(config)
    yield from _overlaps(config)


def _https(config: AppConfig) -> Iterator[Finding]:
    """A redirect needs a place to lead to; `[http_service]` has one."""
    ports = [
        (("services", number, "ports", position, "force_https"), port)
        for number, service in enumerate(config.services)
        for position, port in enumerate(service.ports)
    ]
    secure = any({"tls", "http"} <= set(port.handlers) for _, port in ports)
    if secure or config.http_service is not None:
        return
    for path, port in ports:
        if port.force_https and "http" in port.handlers:
            yield Finding(
                path=path,
                message="`force_https` sends callers to https, which no port of the app answers",
                hint='add a port with handlers = ["tls", "http"], or remove force_https',
                level="warning",
            )


def _given(path: Path, port: Port) -> Iterator[Finding]:
    ends = (port.start_port, port.end_port)
    if port.port is not None and ends != (None, None):
        key = "start_port" if port.start_port is not None else "end_port"
        yield Finding(
            path=(*path, key),
            message="a port is given twice: `port` and a range",
            hint="keep either port, or start_port and end_port",
        )
    elif port.port is None and None in ends:
        yield Finding(
            path=path,
            message="no port is given",
            hint="add port = …, or both start_port = … and end_port = …",
        )
    elif (port.start_port or 0) > (port.end_port or 65535):
        yield Finding(
            path=(*path, "end_port"),
            message=f"`end_port` {port.end_port} is less than `start_port` {port.start_port}",
            hint="exchange them",
        )


def _handlers(path: Path, port: Port, protocol: str) -> Iterator[Finding]:
    if protocol == "udp" and port.handlers:
        yield Finding(
            path=(*path, "handlers"),
            message="a udp port cannot have handlers",
            hint="remove `handlers`",
        )
    elif frozenset(port.handlers) - {"tcp"} not in HANDLER_MIXES:
        yield Finding(
            path=(*path, "handlers"),
            message=f"the handlers {', '.join(sorted(port.handlers))} do not go together",
            hint=MIXES_HINT,
        )
    yield from _tls(path, port.tls_options, port.handlers)
    yield from _proxy_proto(path, port, protocol)
    if port.force_https and "http" not in port.handlers:
        yield Finding(
            path=(*path, "force_https"),
            message="`force_https` needs the `http` handler on this port",
            hint='add handlers = ["http"], or remove force_https',
        )


def _tls(path: Path, options: TlsOptions | None, handlers: Collection[str]) -> Iterator[Finding]:
    found = tls_rules.problem(options, handlers) if options else None
    if found is not None:
        key = ("tls_options", found.key) if found.key else ("tls_options",)
        yield Finding(path=(*path, *key), message=found.message, hint=found.hint)


def _proxy_proto(path: Path, port: Port, protocol: str) -> Iterator[Finding]:
    if port.proxy_proto_options and "proxy_proto" not in port.handlers:
        yield Finding(
            path=(*path, "proxy_proto_options"),
            message="`proxy_proto_options` needs the `proxy_proto` handler on this port",
            hint='add handlers = ["proxy_proto"], or remove proxy_proto_options',
        )
    if port.accept_proxy_proto and protocol == "udp":
        yield Finding(
            path=(*path, "accept_proxy_proto"),
            message="a udp port cannot have `accept_proxy_proto`",
            hint="remove it",
        )


def _not_rewritten(path: Path, port: Port, service: Service) -> Iterator[Finding]:
    """Datagrams reach the Machine at the port that was called."""
    span = port.span()
    if service.protocol != "udp" or span is None:
        return
    if not span[0] <= service.internal_port <= span[1]:
        text = str(span[0]) if span[0] == span[1] else f"{span[0]}-{span[1]}"
        yield Finding(
            path=path,
            message=f"datagrams to udp port {text} reach the Machine at that port, not at "
            f"internal_port {service.internal_port}",
            hint="let the program listen on the external port, and set internal_port to it",
            level="warning",
        )


def _overlaps(config: AppConfig) -> Iterator[Finding]:
    uses = list(_uses(config))
    if len(uses) > MOST_ENTRIES:
        yield Finding(
            path=("services",),
            message=f"there are {len(uses)} entries of external ports",
            hint=f"at most {MOST_ENTRIES} are possible; use ranges (start_port, end_port)",
        )
        return
    yield from _counted(config, uses)
    for number, use in enumerate(uses):
        for other in uses[:number]:
            meets = use.first <= other.last and other.first <= use.last
            if meets and use.protocol == other.protocol and use.groups & other.groups:
                text = str(use.first) if use.first == use.last else f"{use.first}-{use.last}"
                yield Finding(
                    path=use.path,
                    message=f"{use.protocol} port {text} is already used by {other.service}",
                    hint="give each service of a process group ports of its own",
                )
                break


def _counted(config: AppConfig, uses: list[_Use]) -> Iterator[Finding]:
    for group in groups.names(config):
        mine = [use for use in uses if group in use.groups]
        if len(mine) > MOST_PORTS:
            yield Finding(
                path=mine[-1].path,
                message=f"a Machine of {group} would have {len(mine)} external ports",
                hint=f"at most {MOST_PORTS} are possible; a range counts as one "
                "(start_port, end_port)",
            )


def _uses(config: AppConfig) -> Iterator[_Use]:
    if config.http_service is not None:
        for number in (HTTP_PORT, HTTPS_PORT):
            mine = _groups(config, config.http_service)
            yield _Use(number, number, "tcp", mine, ("http_service",), "[http_service]")
    for number, service in enumerate(config.services):
        for position, port in enumerate(service.ports):
            span = port.span()
            if span is not None:
                key = "port" if port.port is not None else "start_port"
                yield _Use(
                    *span,
                    service.protocol,
                    _groups(config, service),
                    ("services", number, "ports", position, key),
                    f"services[{number}]",
                )


def _groups(config: AppConfig, service: HttpService | Service) -> frozenset[str]:
    return frozenset(
        group for group in groups.names(config) if groups.matches(service, group, config)
    )
