"""Who reaches whom, over every ordered pair: real Machines, real packets, documented rules."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.host import why_not_root
from tests.support.matrix import (
    INSIDE,
    NETWORKS,
    ORGS,
    PROBE,
    SERVED,
    SERVER,
    UDP,
    Given,
    Place,
    Try,
    Via,
    tries,
)
from tests.support.proxy_world import namespace
from tests.support.rig import Rig

pytestmark = pytest.mark.root

SIDE_BY_SIDE = 6
"""Callers that try at the same time: most of it is waiting for what must not come."""

SERVICES = [
    {"internal_port": INSIDE, "ports": [{"port": 80, "handlers": []}]},
    {"internal_port": 15432, "ports": [{"port": 5432, "handlers": []}]},
    {"protocol": "udp", "internal_port": UDP, "ports": [{"port": UDP}]},
]


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """A Roost with public addresses to give, in a network namespace of its own."""
    if reason := why_not_root():
        pytest.skip(reason)
    with namespace() as host:
        made = Rig("--public-pool", "198.51.100.8/29", netns=host)
        made.up()
        try:
            yield made
        finally:
            made.close()


@pytest.fixture(scope="module")
def places(rig: Rig) -> list[Place]:
    """Two apps on each of six networks, one of each pair with the addresses of one kind."""
    for org in ORGS[1:]:
        rig.ok("orgs", "create", org)
    made = [
        Place(f"{kind}-{org}-{network}", org, network)
        for org in ORGS
        for network in NETWORKS
        for kind in ("with", "none")
    ]
    for place in made:
        rig.ok("apps", "create", place.app, "--org", place.org, "--network", place.network)
        start(rig, place)
    for place in made:
        settle(rig, place)
    known = {place.app: place for place in made}
    for app, words in ADDRESSES:
        known[app].given.append(allocate(rig, app, *words))
    public = rig.json("ips", "allocate-v4", "-a", "none-personal-lab")["ip"]
    known["none-personal-lab"].given.append(Given(public, "", ""))
    ask(rig)
    return made


def ask(rig: Rig) -> None:
    """One app of zoo asks acme, which does not answer: no address, no name."""
    token = rig.json("tokens", "create", "org", "--org", "zoo")["token"]
    words = ("--private", "-a", "with-zoo-lab", "--org", "acme", "-t", token)
    assert rig.json("ips", "allocate-v6", *words)["grant"]["state"] == "pending"


ADDRESSES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("with-personal-default", ()),
    # Without --network on the default one, also for an app on a custom network.
    ("with-personal-lab", ()),
    ("with-acme-default", ("--network", "lab")),
    ("with-acme-lab", ("--org", "zoo")),
    ("with-acme-lab", ("--network", "lab")),
    ("with-zoo-default", ("--org", "personal", "--network", "lab", "--service", "80")),
    ("with-zoo-default", ("--service", "5432", "--expires", "1h")),
)


def start(rig: Rig, place: Place) -> None:
    """Give the app its Machine."""
    config: dict[str, Any] = {
        "image": "roost/host",
        "init": {"cmd": ["python3", "-c", SERVER]},
        "services": SERVICES,
    }
    path = f"/v1/apps/{place.app}/machines"
    place.machine = rig.call("POST", path, {"config": config})["id"]


def settle(rig: Rig, place: Place) -> None:
    """Wait until it runs, and learn its addresses."""
    rig.wait(place.app, "started", place.machine)
    found = rig.call("GET", f"/v1/apps/{place.app}/machines/{place.machine}")
    place.ip6 = found["private_ip"]
    shown = rig.call(
        "POST",
        f"/v1/apps/{place.app}/machines/{place.machine}/exec",
        {"command": ["ip", "-j", "-4", "addr", "show", "dev", "eth0"]},
    )
    place.ip4 = json.loads(shown["stdout"])[0]["addr_info"][0]["local"]


def allocate(rig: Rig, app: str, *words: str) -> Given:
    """Allocate an address by the command line; what it says of itself."""
    made = rig.json("ips", "allocate-v6", "--private", "-a", app, *words)
    return Given(made["ip"], made["org_slug"], made["network"], tuple(made["ports"]))


def run(rig: Rig, caller: Place, asked: list[Try]) -> list[bool]:
    """Try all of it from inside the caller's Machine."""
    body = {
        "command": ["python3", "-c", PROBE],
        "stdin": json.dumps([[one.via, one.to, one.port] for one in asked]),
        "timeout": 120,
    }
    path = f"/v1/apps/{caller.app}/machines/{caller.machine}/exec"
    done = rig.call("POST", path, body)
    assert done["exit_code"] == 0, done["stderr"]
    found: list[bool] = json.loads(done["stdout"])
    return found


def test_every_ordered_pair(rig: Rig, places: list[Place]) -> None:
    """Each pair of Machine and target, by name, address and port, over IPv6 and IPv4, TCP, UDP and
    ICMP, reaches exactly what the documented rules say.
    """
    wrong: list[str] = []
    counted: Counter[str] = Counter()
    asked = [[one for target in places for one in tries(caller, target)] for caller in places]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        results = list(pool.map(run, [rig] * len(places), places, asked))
    for caller, questions, answers in zip(places, asked, results, strict=True):
        for one, reached in zip(questions, answers, strict=True):
            counted[one.via] += 1
            counted["reached"] += reached
            if reached != one.reaches:
                verb = "reached" if reached else "did not reach"
                wrong.append(f"{caller.app} {verb} {one.target}: {one.via} {one.to} {one.port}")
    pairs = len(places) ** 2
    total = sum(counted[via] for via in Via)
    listed = ", ".join(f"{counted[via]} by {via}" for via in Via)
    print(f"\n{pairs} ordered pairs, {total} tries ({listed}), {counted['reached']} reached")  # noqa: T201
    assert wrong == []
    assert pairs == 144
    assert 0 < counted["reached"] < total


def test_reach_says_what_packets_do(rig: Rig, places: list[Place]) -> None:
    """`roost reach` gives for each pair and port the answer that the documented rules give."""
    counted = 0
    for caller in places:
        for target in places:
            for port, asked in ((80, "80"), (5432, "5432"), (81, "81"), (UDP, f"{UDP}/udp")):
                expected = any(
                    given.home == caller.home
                    and port in (*SERVED, UDP)
                    and (not given.ports or port in given.ports)
                    for given in target.given
                )
                query = f"from={caller.machine}&to={target.app}:{asked}"
                answer = rig.call("GET", f"/v1/reach?{query}")
                assert answer["reaches"] == expected, answer
                counted += 1
    print(f"\n{counted} questions to reach")  # noqa: T201


def test_the_canary_is_quiet(rig: Rig, places: list[Place]) -> None:
    """With all of this shared and running, nothing that must be impossible succeeds."""
    done = rig.cli("canary", "--json")
    report = json.loads(done.out)
    assert report["findings"] == []
    assert (done.code, len(report["networks"])) == (0, 6)
    print(f"\ncanary: {report['tried']} tries in {report['took_ms']} ms")  # noqa: T201
