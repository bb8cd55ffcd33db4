"""The golden lines of the control protocol, from the agent's side; crates/wire reads them too."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from roost.model.certificates import Certificate, IssuedCertificate
from roost.model.machine_config import MachineConfig
from roost.model.machine_state import MachineState
from roost.model.records import Address, App, Network, Org
from roost.proxyctl import view
from roost.proxyctl.client import ProxyConnection
from tests.support.machines import a_machine

GOLDEN = Path(__file__).parents[3] / "protocol" / "golden"


def line(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text())["line"]


def test_the_builders_make_the_golden_entities() -> None:
    """From the same facts the agent's builders make the golden network, app and machine."""
    app = App(
        id="1",
        name="my-app",
        org="personal",
        network="default",
        network_id=1,
        number=1,
        created_at=1,
    )
    address = Address(
        ip="fdaa:0:1:0:1::2",
        app="my-app",
        org="personal",
        network="default",
        network_id=1,
        created_at=1,
    )
    assert line("down_put_app")["value"] == view.app(app, [address], now_ms=2)
    org = Org(
        slug="personal",
        name="Personal",
        cross_network_replays=True,
        replay_sources=("acme",),
        created_at=1,
    )
    assert line("down_put_app_replays")["value"] == view.app(app, [address], now_ms=2, org=org)
    wanted = line("down_put_network")["value"]
    network = Network(id=int(wanted["id"]), org=wanted["org"], name=wanted["name"], created_at=1)
    netns = Path(wanted["netns"]) if wanted["netns"] else None
    assert wanted == view.network(network, netns)


@pytest.mark.parametrize(
    "name",
    ["down_put_machine", "down_put_machine_proxy_proto", "down_put_machine_replay_cache"],
)
def test_the_golden_machine(name: str) -> None:
    """The machine builder leaves out only what is its default."""
    wanted = line(name)["value"]
    config = MachineConfig.model_validate(
        {
            "image": "x",
            "metadata": wanted["metadata"],
            "services": wanted["services"],
        }
    )
    machine = a_machine(
        id=wanted["id"],
        app=wanted["app"],
        instance_id=wanted["instance"],
        state=MachineState.STARTED,
        config=config,
    )
    made = view.machine(machine) | {"startable": True}
    if name == "down_put_machine":
        made["services"][0]["ports"][0].setdefault("force_https", False)
    assert wanted == made


def test_the_golden_ports() -> None:
    """A range is sent as one, UDP and TCP side by side."""
    wanted = line("down_put_machine_ports")["value"]
    port = {"start_port": 10000, "end_port": 19999}
    services = [
        {"protocol": "udp", "internal_port": 5353, "ports": [{"port": 5353}]},
        {"protocol": "udp", "internal_port": 10000, "ports": [port]},
        {"internal_port": 8080, "ports": [port]},
    ]
    config = MachineConfig.model_validate({"image": "x", "services": services})
    made = view.machine(a_machine(config=config))
    assert wanted["services"] == made["services"]


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("up_*.json")), ids=lambda path: path.stem)
def test_golden_events_are_read(path: Path, tmp_path: Path) -> None:
    """Each upward line reaches the agent as it stands; an ack reaches its sender instead."""
    golden = json.loads(path.read_text())["line"]

    async def main() -> None:
        async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            sent = json.loads(await reader.readline())
            event = golden | {"seq": sent["seq"]} if golden["ev"] == "ack" else golden
            writer.write(json.dumps(event).encode() + b"\n")
            writer.close()

        server = await asyncio.start_unix_server(proxy, tmp_path / "s")
        connection = await ProxyConnection.connect(tmp_path / "s")
        ack = connection.post("stats")
        events = [event async for event in connection.events()]
        server.close()
        if golden["ev"] == "ack":
            assert golden | {"seq": 1} == await ack
        else:
            assert [golden] == events

    asyncio.run(main())


def test_the_golden_certificates() -> None:
    """An issued certificate has an audience and a date of renewal, one that a user gave has not."""
    wanted = line("down_put_certificate")["value"]
    issued = IssuedCertificate(
        app=wanted["app"],
        audience=wanted["audience"],
        issuer="x",
        names=wanted["names"],
        chain=wanted["chain"],
        sealed="x",
        not_before=wanted["not_before"] * 1000,
        not_after=wanted["not_after"] * 1000,
        renew_at=wanted["renew_at"] * 1000,
    )
    made = view.certificate(issued, wanted["key"])
    assert made == wanted | {"id": f"issued:{issued.key}"}
    wanted = line("down_put_certificate_given")["value"]
    given = Certificate(
        hostname=wanted["names"][0],
        app=wanted["app"],
        chain=wanted["chain"],
        sealed="x",
        issuer="x",
        key_type="rsa",
        not_before=wanted["not_before"] * 1000,
        not_after=wanted["not_after"] * 1000,
        created_at=1,
        updated_at=1,
    )
    made = view.certificate(given, wanted["key"])
    assert made == wanted | {"id": f"given:{given.key}", "names": wanted["names"][:1]}


def test_the_golden_checks() -> None:
    """Checks of a service and of the Machine itself."""
    wanted = line("down_put_machine_checks")["value"]
    (told,) = wanted["services"][0]["checks"]
    check = {
        "type": "http",
        "path": "/up",
        "method": "GET",
        "protocol": "https",
        "tls_skip_verify": True,
        "tls_server_name": "my-app.example",
        "headers": [{"name": "X-Check", "values": ["1"]}],
    }
    config = MachineConfig.model_validate(
        {
            "services": [{"internal_port": 8080, "checks": [check]}],
            "checks": {"db": {"type": "tcp", "port": 5432, "grace_period": 0}},
        }
    )
    made = view.offers(config)
    assert made["services"][0]["checks"] == [told]
    assert made["checks"] == wanted["checks"]
