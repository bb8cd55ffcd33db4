"""Services and checks of fly.toml in the Machines API's shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from roost.model.machine_config import Service as ApiService
from roost.spec import durations
from roost.spec.port_rules import HTTP_PORT, HTTPS_PORT
from roost.spec.service_rules import clamp
from roost.spec.services import (
    HttpCheck,
    HttpOptions,
    HttpService,
    Port,
    Service,
    ServiceBase,
    TcpCheck,
)


def service_to_api(service: HttpService | Service) -> Iterator[ApiService]:
    """One service of the API. Settings that are unset are absent, as Fly's client sends them."""
    if isinstance(service, HttpService):
        ports = _http_ports(service)
        checks = [checks_to_api("http", check) for check in service.checks]
        protocol = "tcp"
    else:
        ports = [_port(port) for port in service.ports]
        checks = [checks_to_api("tcp", check) for check in service.tcp_checks]
        checks += [checks_to_api("http", check) for check in service.http_checks]
        protocol = service.protocol
    yield ApiService.model_validate(
        without_none(
            {
                "protocol": protocol,
                "internal_port": service.internal_port,
                "ports": ports,
                "checks": checks or None,
                **_sleep_and_guard(service),
                "concurrency": service.concurrency.model_dump(exclude_none=True)
                if service.concurrency
                else None,
            }
        )
    )


def checks_to_api(
    kind: Literal["tcp", "http"], check: TcpCheck, *, clamped: bool = True
) -> dict[str, Any]:
    """A check of the API; times are Go strings, held within 1 s to 60 s when `clamped`."""
    times: dict[str, object] = {}
    for key in ("interval", "timeout", "grace_period"):
        value: int | None = getattr(check, key)
        if clamped:
            value = clamp(value, lowest=0 if key == "grace_period" else durations.SECOND)
        times[key] = None if value is None else durations.write(value)
    if kind == "tcp" or not isinstance(check, HttpCheck):
        return without_none({"type": kind, **times})
    headers = [{"name": name, "values": [text]} for name, text in check.headers.items()]
    return without_none(
        {
            "type": kind,
            **times,
            "method": check.method,
            "path": check.path,
            "protocol": check.protocol,
            "tls_skip_verify": check.tls_skip_verify,
            "tls_server_name": check.tls_server_name,
            "headers": headers or None,
        }
    )


def without_none(fields: Mapping[str, object]) -> dict[str, Any]:
    """The fields that have a value."""
    return {key: value for key, value in fields.items() if value is not None}


def _sleep_and_guard(service: ServiceBase) -> dict[str, object]:
    after = service.auto_stop_after
    return {
        "allowed_apps": service.allowed_apps,
        "autostop": service.auto_stop_machines,
        "autostart": service.auto_start_machines,
        "min_machines_running": service.min_machines_running,
        "auto_stop_after": None if after is None else durations.write(after),
    }


def _http_ports(service: HttpService) -> list[dict[str, Any]]:
    options = _http_options(service.http_options)
    tls = service.tls_options.model_dump(exclude_unset=True) if service.tls_options else None
    return [
        without_none(
            {
                "port": HTTP_PORT,
                "handlers": ["http"],
                "force_https": service.force_https,
                "http_options": options,
            }
        ),
        without_none(
            {
                "port": HTTPS_PORT,
                "handlers": ["http", "tls"],
                "http_options": options,
                "tls_options": tls,
            }
        ),
    ]


def _port(port: Port) -> dict[str, Any]:
    # The API lists `tcp` as a handler; it means none.
    handlers = [handler for handler in port.handlers if handler != "tcp"]
    proxy_proto, tls = port.proxy_proto_options, port.tls_options
    return without_none(
        {
            "port": port.port,
            "start_port": port.start_port,
            "end_port": port.end_port,
            "handlers": handlers,
            "force_https": port.force_https,
            "http_options": _http_options(port.http_options),
            "tls_options": tls.model_dump(mode="json", exclude_unset=True) if tls else None,
            "proxy_proto_options": proxy_proto.model_dump(mode="json", exclude_unset=True)
            if proxy_proto
            else None,
            "accept_proxy_proto": port.accept_proxy_proto or None,
        }
    )


def _http_options(options: HttpOptions | None) -> dict[str, Any] | None:
    if options is None:
        return None
    dumped = options.model_dump(mode="json", exclude_unset=True, exclude_none=True)
    for key in ("idle_timeout", "headers_read_timeout"):
        if not dumped.get(key):
            dumped.pop(key, None)
    return dumped
