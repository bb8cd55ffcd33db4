"""What `roost reach` is asked about: `TO[:PORT[/udp]]`, read. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, ip_address
from typing import Literal

from roost.errors import InvalidError
from roost.model.ids import app_name

_REGION = re.compile(r"[a-z0-9-]+")
_PORT = re.compile(r"([0-9]{1,5})(?:/(tcp|udp))?")
_TOP = re.compile(r"top0*[1-9][0-9]*")
_WAYS = frozenset({"vm", "vms", "process", "of", "regions", "_metadata"})
"""Labels before an app's name that only lead to others, or list something as text."""
_HINT = (
    "name an app, a name such as web.flycast or web.internal, or an address: web:80, "
    "web:53/udp, [fdaa::3]:53"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A name below `.flycast` or `.internal`, or an address; `port` 0 where none is named.

    `text` is the name or address in canonical form. An `.internal` name stands for those Machines
    of `app` whose `field` has this `value`, or for all.
    """

    kind: Literal["flycast", "internal", "address"]
    text: str
    app: str = ""
    field: Literal["", "id", "region", "group"] = ""
    value: str = ""
    port: int = 0
    protocol: str = "tcp"


def parse_target(text: str) -> Target:
    """Read `TO[:PORT[/udp]]`; a bare word is an app's Flycast name. Raises InvalidError."""
    name, port, protocol = _split(text.strip())
    try:
        address = ip_address(name)
    except ValueError:
        return replace(_named(name.rstrip(".").lower(), port), protocol=protocol)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return Target(kind="address", text=str(mapped or address), port=port, protocol=protocol)


def _split(text: str) -> tuple[str, int, str]:
    if text.startswith("["):
        name, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    elif text.count(":") > 1:
        name, port = text, ""
    else:
        name, _, port = text.partition(":")
    if name and not port:
        return name, 0, "tcp"
    read = _PORT.fullmatch(port)
    if not name or read is None or not 1 <= int(read[1]) <= 65535:
        raise InvalidError(f"{text!r} cannot be read", hint=_HINT)
    return name, int(read[1]), read[2] or "tcp"


def _named(name: str, port: int) -> Target:
    labels = name.split(".")
    match labels:
        case [app] | [app, "flycast"]:
            known = app_name(app)
            return Target(kind="flycast", text=f"{known}.flycast", app=known, port=port)
        case [*wanted, app, "internal"]:
            field, value = _of_machines(name, wanted)
            return Target(
                kind="internal", text=name, app=app_name(app), field=field, value=value, port=port
            )
        case _:
            raise InvalidError(f"{name!r} is no name of a private network", hint=_HINT)


def _of_machines(name: str, wanted: list[str]) -> tuple[Literal["", "id", "region", "group"], str]:
    """Which Machines the labels before an app's name mean, as the name server reads them."""
    match wanted:
        case [] | ["global"]:
            return "", ""
        case [region] if region not in _WAYS and _REGION.fullmatch(region):
            return "region", region
        case [machine, "vm"] if machine:
            return "id", machine
        case [group, "process"] if group:
            return "group", group
        case [top, "nearest", "of"] if _TOP.fullmatch(top):
            return "", ""
        case _:
            raise InvalidError(f"{name!r} is no name that stands for Machines", hint=_HINT)
