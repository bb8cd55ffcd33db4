"""`-p port[:internal][/protocol[:handler…]]` of `machine run`, and the services it makes.

`80:8080/tcp:http` offers the Machine's port 8080 as port 80 with the handler http; `5432` offers
port 5432 as it is; `1000-1010:5000` offers a range. Ports of one internal port and protocol
become one service.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast

from roost.errors import InvalidError
from roost.model.machine_config import Port, Service

Protocol = Literal["tcp", "udp"]
Handler = Literal["http", "tls", "pg_tls", "proxy_proto", "tcp"]
HANDLERS = ("http", "tls", "pg_tls", "proxy_proto")
HINT = "write it like 80:8080/tcp:http, port[:internal][/protocol[:handler...]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class PortFlag:
    """One `-p`: external ports start to end (inclusive), what they lead to and how."""

    start: int
    end: int
    internal: int
    protocol: Protocol
    handlers: tuple[Handler, ...]


def parse(text: str) -> PortFlag:
    """Read one flag. Raises InvalidError."""
    ports, _, rest = text.partition("/")
    external, _, inner = ports.partition(":")
    protocol, *handlers = rest.split(":") if rest else ["tcp"]
    if protocol not in {"tcp", "udp"}:
        raise InvalidError(f"port {text!r} has the unknown protocol {protocol!r}", hint=HINT)
    for handler in handlers:
        if handler not in HANDLERS:
            raise InvalidError(
                f"port {text!r} has the unknown handler {handler!r}",
                hint=f"handlers are {', '.join(HANDLERS)}",
            )
    first, dash, last = external.partition("-")
    start = _number(first, text)
    end = _number(last, text) if dash else start
    if end < start or (dash and not inner):
        raise InvalidError(f"port range {text!r} is not start-end:internal", hint=HINT)
    return PortFlag(
        start=start,
        end=end,
        internal=_number(inner, text) if inner else start,
        protocol=cast("Protocol", protocol),
        handlers=cast("tuple[Handler, ...]", tuple(handlers)),
    )


def services(
    flags: Iterable[PortFlag], *, autostart: bool | None, autostop: str | None
) -> tuple[Service, ...]:
    """One service for each internal port and protocol, in the order first named."""
    grouped: dict[tuple[int, Protocol], list[Port]] = {}
    for flag in flags:
        grouped.setdefault((flag.internal, flag.protocol), []).append(_port(flag))
    return tuple(
        Service(
            protocol=protocol,
            internal_port=internal,
            ports=tuple(ports),
            autostart=autostart,
            autostop=cast("Literal['off', 'stop', 'suspend'] | None", autostop),
        )
        for (internal, protocol), ports in grouped.items()
    )


def _port(flag: PortFlag) -> Port:
    if flag.start == flag.end:
        return Port(port=flag.start, handlers=flag.handlers)
    return Port(start_port=flag.start, end_port=flag.end, handlers=flag.handlers)


def _number(digits: str, text: str) -> int:
    if not digits.isdecimal() or not 1 <= int(digits) <= 65535:
        raise InvalidError(f"port {text!r} is not valid: {digits!r} is not 1 to 65535", hint=HINT)
    return int(digits)
