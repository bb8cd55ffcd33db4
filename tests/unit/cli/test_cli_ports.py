"""`machine run -p`."""

from __future__ import annotations

import pytest

from roost.cli.ports import PortFlag, parse, services
from roost.errors import InvalidError


@pytest.mark.parametrize(
    ("text", "start", "end", "internal", "protocol", "handlers"),
    [
        ("80", 80, 80, 80, "tcp", ()),
        ("80:8080", 80, 80, 8080, "tcp", ()),
        ("80/udp", 80, 80, 80, "udp", ()),
        ("443:8080/tcp:tls:http", 443, 443, 8080, "tcp", ("tls", "http")),
        ("1000-1010:53/udp", 1000, 1010, 53, "udp", ()),
    ],
)
def test_forms(
    text: str, start: int, end: int, internal: int, protocol: str, handlers: tuple[str, ...]
) -> None:
    """port[:internal][/protocol[:handler…]], and a range of ports."""
    found = parse(text)
    got = (found.start, found.end, found.internal, found.protocol, found.handlers)
    assert (start, end, internal, protocol, handlers) == got


@pytest.mark.parametrize(
    "text",
    ["", "x", "0", "70000", "80:", "80:x", "80/sctp", "80/tcp:gopher", "90-80:1", "80-90", "80/"],
)
def test_malformed_ports_are_refused(text: str) -> None:
    """Whatever is not of the form is an error with a hint, or has a default that is documented."""
    if text in {"80:", "80/"}:
        assert isinstance(parse(text), PortFlag)
        return
    with pytest.raises(InvalidError) as caught:
        parse(text)
    assert caught.value.hint


def test_ports_of_one_internal_port_are_one_service() -> None:
    """80 and 443 to the same port are one service with two ports; another protocol is another."""
    flags = [parse("80:8080/tcp:http"), parse("443:8080/tcp:tls:http"), parse("53:8080/udp")]
    found = services(flags, autostart=True, autostop="suspend")
    assert [("tcp", 8080, 2), ("udp", 8080, 1)] == [
        (s.protocol, s.internal_port, len(s.ports)) for s in found
    ]
    assert all(s.autostart is True and s.autostop == "suspend" for s in found)


def test_nothing_is_sent_that_was_not_given() -> None:
    """autostart and autostop stay unset without their flags."""
    [service] = services([parse("80")], autostart=None, autostop=None)
    assert (None, None) == (service.autostart, service.autostop)
