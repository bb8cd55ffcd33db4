"""Public addresses: who outside reaches what, from a namespace beyond the host's.

The Roost lives in a network namespace of its own, whose default route leads to the outside.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.host import why_not_root
from tests.support.proxy_world import ip, namespace
from tests.support.rig import Rig, eventually
from tests.support.tomls import REDIS, http_app, tcp_app

pytestmark = pytest.mark.root

HOST, OUTSIDE = "203.0.113.1", "203.0.113.2"
HOST6, OUTSIDE6 = "2001:db8::1", "2001:db8::2"
SHARED, FIRST, FIRST6 = "198.51.100.8", "198.51.100.9", "2001:db8:7::1"
POOLS = ("--public-pool", "198.51.100.8/29", "--public-pool", "2001:db8:7::/64")


@dataclass(frozen=True)
class World:
    """A Roost, and a namespace that has a route to its public addresses."""

    rig: Rig
    outside: Path

    def curl(self, url: str, *flags: str) -> tuple[int, str]:
        """Curl's exit status and what it printed, from outside."""
        command = ["curl", "-sS", "-g", "-m", "20", *flags, url]
        done = subprocess.run(
            ["nsenter", f"--net={self.outside}", *command],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout or done.stderr

    def status(self, url: str, *flags: str) -> str:
        """The status of an HTTP answer."""
        return self.curl(url, "-o", "/dev/null", "-w", "%{http_code}", *flags)[1]

    def allocate(self, app: str, *words: str) -> str:
        """A public address of an app."""
        return str(self.rig.json("ips", *words, "-a", app)["ip"])


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Apps `one`, `two` (HTTP) and `cache` (redis), all private at first."""
    if reason := why_not_root():
        pytest.skip(reason)
    with contextlib.ExitStack() as stack:
        host, outside = (stack.enter_context(namespace()) for _ in range(2))
        ip(
            host,
            f"link add out0 type veth peer name in0 netns {outside.parts[2]}",
            f"addr add {HOST}/24 dev out0",
            f"addr add {HOST6}/64 dev out0 nodad",
            "link set out0 up",
            f"route add default via {OUTSIDE}",
        )
        ip(
            outside,
            f"addr add {OUTSIDE}/24 dev in0",
            f"addr add {OUTSIDE6}/64 dev in0 nodad",
            "link set in0 up",
            f"route add 198.51.100.0/24 via {HOST}",
            f"route add 2001:db8:7::/48 via {HOST6}",
        )
        rig = Rig(*POOLS, "--public-domain", "example.com", netns=host)
        rig.up()
        stack.callback(rig.close)
        for name in ("one", "two"):
            folder = rig.folder(name, http_app(name), index_html=f"this is {name}\n")
            launch(rig, folder)
        launch(rig, rig.folder("cache", tcp_app("cache", REDIS, 6379)))
        yield World(rig, outside)


def launch(rig: Rig, folder: Path) -> None:
    """Launch what is in a folder, private."""
    rig.ok("launch", "--copy-config", "--flycast", "--ha=false", "--yes", cwd=folder)


@pytest.fixture(autouse=True)
def clean(world: World) -> Iterator[None]:
    """No test leaves a public address."""
    yield
    for app in ("one", "two", "cache"):
        for row in world.rig.json("ips", "list", "-a", app):
            if row["public"]:
                world.rig.ok("ips", "release", row["ip"], "-a", app)


def test_an_app_without_public_addresses_is_not_reached(world: World) -> None:
    """Not at any address of the host, nor of the pool, on the app's ports or the Machine's."""
    machine = world.rig.machines("one")[0]
    private = world.rig.address("one")
    for address in (HOST, f"[{HOST6}]", SHARED, FIRST, f"[{FIRST6}]"):
        for port in (80, 8080, 6379):
            code, _ = world.curl(f"http://{address}:{port}/", "-m", "3")
            assert code in (7, 28), (address, port)
    ip(world.outside, f"route add fdaa::/16 via {HOST6}")
    try:
        for address in (private, machine["private_ip"]):
            assert world.curl(f"http://[{address}]/", "-m", "2")[0] in (7, 28)
    finally:
        ip(world.outside, "route del fdaa::/16")


def test_dedicated_addresses(world: World) -> None:
    """An app is reached at its own addresses of both families, and no other app there; the
    caller's address is told to it.
    """
    assert world.allocate("one", "allocate-v4") == FIRST
    assert world.allocate("one", "allocate-v6") == FIRST6
    for address in (FIRST, f"[{FIRST6}]"):
        assert world.curl(f"http://{address}/") == (0, "this is one\n")
        assert world.curl(f"http://{address}:6379/", "-m", "3")[0] == 7
    rows = {row["ip"]: row for row in world.rig.json("ips", "list", "-a", "one")}
    assert (rows[FIRST]["type"], rows[FIRST6]["type"]) == ("v4", "v6")


def test_machines_do_not_come_back_in(world: World) -> None:
    """A Machine does not reach public addresses of its own host, and `reach` says so."""
    world.allocate("one", "allocate-v4")
    caller = world.rig.caller("inside")
    assert caller.run("curl", "-sS", "-m", "2", f"http://{FIRST}/").code == 28
    answer = world.rig.call("GET", f"/v1/reach?from=inside&to={FIRST}:80")
    assert not answer["reaches"]
    assert caller.curl("http://one.flycast/") == "this is one\n"


def test_raw_tcp(world: World) -> None:
    """A raw service is reached at a dedicated address."""
    address = world.allocate("cache", "allocate-v4")
    command = ["nsenter", f"--net={world.outside}", "redis-cli", "-h", address, "ping"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.stdout == "PONG\n"


def test_the_shared_address_is_told_apart_by_name(world: World) -> None:
    """`Host` chooses the app; another name, none, or one of an app that does not share is 404."""
    for app in ("one", "two"):
        assert world.allocate(app, "allocate-v4", "--shared") == SHARED
    for app in ("one", "two"):
        for host in (f"{app}.example.com", f"{app.upper()}.EXAMPLE.com.", f"{app}.example.com:80"):
            got = world.curl(f"http://{SHARED}/", "-H", f"Host: {host}")
            assert got == (0, f"this is {app}\n"), host
    for host in ("cache.example.com", "one.flycast", "one", "example.com", "x.one.example.com"):
        assert world.status(f"http://{SHARED}/", "-H", f"Host: {host}") == "404", host
    assert world.status(f"http://{SHARED}/") == "404"


def test_a_connection_stays_with_its_app(world: World) -> None:
    """On one connection to the shared address another app's name is answered 421."""
    for app in ("one", "two"):
        world.allocate(app, "allocate-v4", "--shared")
    url = f"http://{SHARED}/"
    write = ("-o", "/dev/null", "-w", "%{http_code} ")
    first = (*write, "-H", "Host: one.example.com", url)
    second = ("--next", "-sS", *write, "-H", "Host: two.example.com")
    assert world.curl(url, *first, *second)[1].split() == ["200", "421"]


def test_released(world: World) -> None:
    """A released address answers nobody, and goes to the next who asks."""
    world.allocate("one", "allocate-v4")
    assert world.status(f"http://{FIRST}/") == "200"
    world.rig.ok("ips", "release", FIRST, "-a", "one")
    eventually(lambda: world.curl(f"http://{FIRST}/", "-m", "3")[0] == 7, "the address to close")
    assert world.allocate("two", "allocate-v4") == FIRST
    eventually(lambda: world.curl(f"http://{FIRST}/")[1] == "this is two\n", "two to answer")


def test_exposure_is_warned_of(world: World) -> None:
    """`ips list`, `status` and a deploy say that a private app is reached from outside."""
    world.allocate("one", "allocate-v4")
    folder = world.rig.folders / "one"
    for words in (("ips", "list", "-a", "one"), ("status", "-a", "one"), ("deploy", "--ha=false")):
        done = world.rig.cli(*words, cwd=folder)
        assert done.code == 0, done.err
        assert f"also reached from outside at {FIRST}" in done.err + done.out, words


def test_only_the_chosen_port(world: World) -> None:
    """--service limits a public address, too."""
    world.allocate("one", "allocate-v4", "--service", "443")
    assert world.curl(f"http://{FIRST}/", "-m", "3")[0] in (7, 56)


def test_the_pool_survives_a_restart(world: World) -> None:
    """After `down --keep-machines` and `up` the addresses answer as before."""
    world.allocate("one", "allocate-v4")
    world.rig.ok("down", "--keep-machines")
    assert world.status(f"http://{FIRST}/") == "200"
    world.rig.up()
    assert world.status(f"http://{FIRST}/") == "200"
