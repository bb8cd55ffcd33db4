"""What roost-proxy is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from roost.model.machine_config import MachineConfig
from roost.model.machine_state import Goal, MachineState
from roost.model.records import Address, App, Network
from roost.proxyctl import view
from tests.support.machines import a_machine

CONFIG = MachineConfig.model_validate(
    {
        "image": "x",
        "metadata": {"fly_process_group": "web"},
        "services": [
            {
                "internal_port": 8080,
                "ports": [{"port": 80, "handlers": ["http"], "force_https": True}],
                "concurrency": {"type": "requests", "hard_limit": 0},
            }
        ],
    }
)


def test_network_and_app() -> None:
    """A network shows its prefix and namespace, an app its addresses."""
    network = Network(id=1, org="personal", name="default", created_at=1)
    app = App(
        id="x", name="web", org="personal", network="default", network_id=1, number=1, created_at=1
    )
    address = Address(
        ip="fdaa:0:1:0:1::2",
        app="web",
        org="personal",
        network="default",
        network_id=1,
        created_at=1,
    )
    assert "/run/n1" == view.network(network, Path("/run/n1"))["netns"]
    assert "fdaa:0:1::/48" == view.network(network, None)["prefix"]
    assert [{"network": "1", "ip": "fdaa:0:1:0:1::2"}] == view.app(app, [address], now_ms=2)[
        "addresses"
    ]


def test_machine_entity() -> None:
    """A Machine shows its addresses, whether it may be woken, and limits with their defaults."""
    shown = view.machine(a_machine(config=CONFIG, state=MachineState.STOPPED, goal=Goal.STOPPED))
    assert "fdaa:0:1:0:2:0:5:2" == shown["ip6"]
    assert "172.16.0.6" == shown["ip4"]
    assert shown["startable"]
    assert "web" == shown["group"]
    service = shown["services"][0]
    assert service["autostart"]
    assert {"type": "requests", "soft_limit": 20, "hard_limit": None} == service["concurrency"]
    assert [{"port": 80, "handlers": ["http"], "force_https": True}] == service["ports"]


def test_override_shows_what_is_not_yet_written() -> None:
    """Between an act and its commit the Machine is shown as it really is."""
    machine = a_machine(config=CONFIG, state=MachineState.STARTED)
    shown = view.machine(machine, state=MachineState.SUSPENDING)
    assert "suspending" == shown["state"]
    assert shown["startable"]


def test_a_machine_on_its_way_out_cannot_be_woken() -> None:
    """Nothing wakes what is being destroyed."""
    machine = a_machine(config=CONFIG, state=MachineState.STOPPED, goal=Goal.DESTROYED)
    assert not view.machine(machine)["startable"]


def test_ports_as_the_proxy_is_told() -> None:
    """A range is sent as one; options without meaning to the proxy and unset ones are left
    out; a header is a list of values, and none removes it.
    """
    options: dict[str, Any] = {
        "compress": None,
        "idle_timeout": 60,
        "replay_cache": [],
        "newer": 1,
        "response": {"headers": {"X-A": "one", "X-B": ["b", "c"], "Server": False}, "newer": 2},
    }
    ports = [
        {"start_port": 7000, "end_port": 7002, "handlers": ["tcp"]},
        {"port": 80, "handlers": ["http"], "http_options": options},
    ]
    config = MachineConfig.model_validate({"image": "x", "services": [{"ports": ports}]})
    (service,) = view.machine(a_machine(config=config))["services"]
    headers = {"X-A": ["one"], "X-B": ["b", "c"], "Server": []}
    assert service["ports"] == [
        {"port": 7000, "end_port": 7002, "handlers": []},
        {
            "port": 80,
            "handlers": ["http"],
            "http_options": {"idle_timeout": 60, "response": {"headers": headers}},
        },
    ]


def test_checks_have_names_and_defaults() -> None:
    """Service checks are numbered over the Machine and stand with their service; what is unset is
    filled in.
    """
    http = {
        "type": "http",
        "interval": "2s",
        "method": "head",
        "path": "/up",
        "protocol": "https",
        "tls_skip_verify": True,
        "headers": [{"name": "A", "values": ["1", "2"]}],
    }
    config = MachineConfig.model_validate(
        {
            "services": [
                {"internal_port": 80, "checks": [{"type": "tcp"}, http]},
                {"internal_port": 90, "checks": [{"type": "tcp", "port": 91}]},
            ],
            "checks": {"db": {"type": "http", "port": 5, "timeout": "1s", "grace_period": 0}},
        }
    )
    offers = view.offers(config)
    first, second = (service["checks"] for service in offers["services"])
    usual = {"interval_ms": 15_000, "grace_ms": 1_000}
    tcp = {"type": "tcp", "timeout_ms": 2_000, **usual}
    request = {
        "method": "HEAD",
        "path": "/up",
        "tls": True,
        "tls_skip_verify": True,
        "headers": [["A", "1"], ["A", "2"]],
    }
    asked = {"type": "http", "port": 80, "timeout_ms": 5_000, "http": request}
    assert first == [
        {"name": "servicecheck-00-tcp-80", "port": 80, **tcp},
        {"name": "servicecheck-01-http-80", **usual, **asked, "interval_ms": 2_000},
    ]
    assert second == [{"name": "servicecheck-02-tcp-91", "port": 91, **tcp}]
    own = {"type": "http", "port": 5, "timeout_ms": 1_000, "grace_ms": 0, "http": {}}
    assert offers["checks"] == [{"name": "db", **usual, **own}]
