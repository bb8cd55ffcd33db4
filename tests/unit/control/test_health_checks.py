"""Which health checks the API takes."""

from __future__ import annotations

from typing import Any

import pytest

from roost.control.health_checks import check_health_checks
from roost.errors import InvalidError
from roost.model.machine_config import MachineConfig

HTTP = {"type": "http"}


def config(check: dict[str, Any], name: str | None = None) -> MachineConfig:
    """A configuration with one check: of a service, or a top-level one of this name."""
    if name is not None:
        return MachineConfig.model_validate({"checks": {name: {"port": 80, **check}}})
    return MachineConfig.model_validate({"services": [{"internal_port": 80, "checks": [check]}]})


def headers(*pairs: tuple[str, str]) -> dict[str, Any]:
    """An HTTP check with these headers."""
    return {**HTTP, "headers": [{"name": name, "values": [value]} for name, value in pairs]}


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ({}, "service on internal port 80 has no type"),
        ({**HTTP, "interval": "999ms"}, "interval must be from 1s to 1h0m0s"),
        ({**HTTP, "interval": "61m"}, "interval must be from"),
        ({**HTTP, "interval": "soon"}, "interval: 'soon' is not a duration"),
        ({**HTTP, "timeout": 0}, "timeout must be from 1ms to 1m0s"),
        ({**HTTP, "timeout": "61s"}, "timeout must be from"),
        ({**HTTP, "grace_period": "-1s"}, "grace_period must be from 0s"),
        ({**HTTP, "method": "GE T"}, "method: 'GE T' is not a method"),
        ({**HTTP, "method": "connect"}, "CONNECT asks for no page"),
        ({**HTTP, "path": "up"}, "path: 'up' is not a path"),
        ({**HTTP, "path": "/a b"}, "is not a path"),
        ({**HTTP, "path": "/a\r\nX: 1"}, "is not a path"),
        ({**HTTP, "path": "/" + "a" * 1024}, "more than 1024 characters"),
        ({**HTTP, "tls_server_name": "a b"}, "tls_server_name: 'a b' is not a host name"),
        (headers(("a b", "1")), "'a b' is not a header name"),
        (headers(("A", "1\r\nB: 2")), "header A is not one line"),
        (headers(("Connection", "close")), "header Connection is for the check itself"),
        (headers(*[("A", "1")] * 17), "17 headers, more than 16"),
        (headers(("A", "1" * 5000)), "more than 4096 bytes"),
    ],
)
def test_wrong_checks_are_refused(check: dict[str, Any], words: str) -> None:
    """The sentence names the service and what is wrong."""
    with pytest.raises(InvalidError) as refused:
        check_health_checks(config(check))
    assert words in refused.value.message
    assert "internal port 80" in refused.value.message


@pytest.mark.parametrize("name", ["", " a", "servicecheck-00-tcp-80", "a\nb", "a" * 65])
def test_wrong_names_are_refused(name: str) -> None:
    """Names are short plain text, and never those of service checks."""
    with pytest.raises(InvalidError):
        check_health_checks(config({"type": "tcp"}, name))


def test_a_top_level_check_needs_its_port() -> None:
    """It has no service to take one from."""
    wrong = MachineConfig.model_validate({"checks": {"up": {"type": "tcp"}}})
    with pytest.raises(InvalidError, match="'up' has no port"):
        check_health_checks(wrong)


def test_there_are_64_at_most() -> None:
    """All of a Machine count together."""
    tcp = {"type": "tcp"}
    for number in (64, 65):
        asked = MachineConfig.model_validate(
            {
                "services": [{"checks": [tcp] * (number - 1)}],
                "checks": {"up": {"type": "tcp", "port": 1}},
            }
        )
        if number == 64:
            check_health_checks(asked)
        else:
            with pytest.raises(InvalidError, match="at most 64 checks, not 65"):
                check_health_checks(asked)


def test_good_checks_are_taken() -> None:
    """All keys with their usual values, and numbers as nanoseconds."""
    good = {
        "type": "http",
        "port": 9,
        "interval": 15_000_000_000,
        "timeout": "500ms",
        "grace_period": 0,
        "method": "head",
        "path": "/up?deep=1&x=%20",
        "protocol": "https",
        "tls_skip_verify": True,
        "tls_server_name": "a.example",
        "headers": [{"name": "X-A", "values": ["1", "2"]}],
    }
    check_health_checks(config(good))
    check_health_checks(config(good, "my check"))
