"""Whether a Machine's services can work: ports, handlers, limits. Pure.

Source: docs/networking/services, docs/reference/configuration.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from roost.errors import InvalidError
from roost.model.ids import MAX_CALLERS, caller_name
from roost.model.machine_config import Port, Service
from roost.proxyctl import http_options, tls_options
from roost.spec import durations
from roost.spec.port_rules import HANDLER_MIXES, MIXES_HINT, MOST_PORTS

MAX_SERVICES = 64


def check_services(services: Sequence[Service]) -> None:
    """Raises InvalidError with a sentence that names service and port."""
    taken: list[tuple[str, range]] = []
    if len(services) > MAX_SERVICES:
        raise InvalidError(f"a Machine has at most {MAX_SERVICES} services")
    for service in services:
        where = f"the service on internal port {service.internal_port}"
        _check_limits(service, where)
        _check_callers(service, where)
        for port in service.ports:
            span = _span(port, where)
            _check_handlers(service, port, span, where)
            _check_tls_options(port, span, where)
            _check_proxy_proto(service, port, span, where)
            _check_free(service.protocol, span, taken)
            _check_http_options(port, span, where)
            taken.append((service.protocol, span))
    if len(taken) > MOST_PORTS:
        raise InvalidError(
            f"a Machine has at most {MOST_PORTS} external ports", hint="a range counts as one"
        )


def _check_limits(service: Service, where: str) -> None:
    limits = service.concurrency
    soft, hard = (limits.soft_limit, limits.hard_limit) if limits else (None, None)
    if soft and hard and hard < soft:
        raise InvalidError(f"{where} has a hard_limit ({hard}) below its soft_limit ({soft})")
    if service.auto_stop_after is not None and durations.read(service.auto_stop_after) < 0:
        raise InvalidError(f"{where} has a negative auto_stop_after")


def _check_callers(service: Service, where: str) -> None:
    callers = service.allowed_apps or ()
    if len(callers) > MAX_CALLERS:
        raise InvalidError(
            f"{where} has {len(callers)} entries in allowed_apps, more than {MAX_CALLERS}"
        )
    for name in callers:
        try:
            caller_name(name)
        except InvalidError as error:
            raise InvalidError(
                f"{where} has {name!r} in allowed_apps, which is not an app's name",
                hint=error.hint,
            ) from None


def _span(port: Port, where: str) -> range:
    match port.port, port.start_port, port.end_port:
        case (int(), None, None) | (None, int(), int()) if port.numbers:
            return port.numbers
        case None, int(first), int(last):
            raise InvalidError(f"{where} has a port range from {first} down to {last}")
        case _:
            raise InvalidError(
                f"a port of {where} is incomplete", hint="give port, or start_port and end_port"
            )


def _check_handlers(service: Service, port: Port, span: range, where: str) -> None:
    handlers = frozenset(port.handlers) - {"tcp"}
    listed = ", ".join(sorted(handlers))
    if service.protocol == "udp" and handlers:
        raise InvalidError(f"port {span[0]} of {where} is udp, so it cannot have handlers")
    if handlers not in HANDLER_MIXES:
        raise InvalidError(
            f"the handlers {listed} of port {span[0]} do not go together",
            hint=MIXES_HINT,
        )
    if port.force_https and "http" not in handlers:
        raise InvalidError(
            f"port {span[0]} of {where} has force_https without the http handler",
            hint='add handlers = ["http"], or remove force_https',
        )


def _check_tls_options(port: Port, span: range, where: str) -> None:
    if port.tls_options is not None:
        try:
            tls_options.read(port.tls_options, port.handlers)
        except InvalidError as error:
            raise InvalidError(
                f"port {span[0]} of {where}: {error.message}", hint=error.hint
            ) from None


def _check_proxy_proto(service: Service, port: Port, span: range, where: str) -> None:
    if port.proxy_proto_options is not None and "proxy_proto" not in port.handlers:
        raise InvalidError(
            f"port {span[0]} of {where} has proxy_proto_options without the proxy_proto handler",
            hint='add handlers = ["proxy_proto"], or remove proxy_proto_options',
        )
    if port.accept_proxy_proto and service.protocol == "udp":
        raise InvalidError(
            f"port {span[0]} of {where} is udp, so it cannot have accept_proxy_proto"
        )


def _check_http_options(port: Port, span: range, where: str) -> None:
    if port.http_options is not None:
        try:
            http_options.read(port.http_options)
        except InvalidError as error:
            raise InvalidError(
                f"port {span[0]} of {where}: {error.message}", hint=error.hint
            ) from None


def _check_free(protocol: str, span: range, taken: Iterable[tuple[str, range]]) -> None:
    for other_protocol, other in taken:
        if protocol == other_protocol and span[0] <= other[-1] and other[0] <= span[-1]:
            port = max(span[0], other[0])
            raise InvalidError(
                f"port {port}/{protocol} is offered twice by one Machine",
                hint="give each service a port of its own",
            )
