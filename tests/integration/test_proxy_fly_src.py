"""`Fly-Src` and its signature, as the called Machine gets them from the real proxy."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.dns_world import DnsWorld, dns_world, text
from tests.support.http_peer import APP_IP, CLIENT_IP, MACHINE_IP, World, get, http_world, ok, post
from tests.support.namespaces import isolated
from tests.support.proxy_control import ControlError, app, app_at, machine

pytestmark = pytest.mark.root

SEED = bytes(range(32))
OTHER_SEED = bytes(range(1, 33))
OTHER_IP = "fdaa:0:1:0:1::3"


def key_of(seed: bytes) -> Ed25519PrivateKey:
    """The key of a seed."""
    return Ed25519PrivateKey.from_private_bytes(seed)


def setting(seed: bytes) -> str:
    """A seed as the settings have it."""
    return base64.b64encode(seed).decode()


@contextmanager
def caller_world(folder: Path, **settings: str) -> Iterator[World]:
    """The world of HTTP peers whose client is the Machine `caller` of the app `web` of `acme`."""
    with http_world(folder, settings=settings) as world:
        world.control.put("app", app_at("web", [], org="acme"))
        caller = machine("caller", "web", "172.16.0.9", ip6=CLIENT_IP, services=[])
        world.control.put("machine", caller)
        yield world


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A caller's world with a key."""
    with caller_world(tmp_path, src_key=setting(SEED)) as made:
        yield made


def fields(head: str, name: str) -> list[str]:
    """All values of a field, also under names that some servers take for the same."""
    lines = (line.partition(": ") for line in head.split("\r\n"))
    return [value for key, _, value in lines if key.lower().replace("_", "-") == name.lower()]


def signed(head: str, seed: bytes = SEED) -> str:
    """The one value of Fly-Src, its signature checked."""
    (value,) = fields(head, "Fly-Src")
    (signature,) = fields(head, "Fly-Src-Signature")
    raw = base64.b64decode(signature, validate=True)
    key_of(seed).public_key().verify(raw, value.encode())
    return value


def asked(world: World, request: str = get(), *, to: str = APP_IP) -> str:
    """The head of a request on a new connection, as the Machine got it."""
    client, inside = world.client(request, to=to), world.accept()
    head = inside.head()
    inside.send(ok("", "Connection: close\r\n"))
    client.answer()
    client.close()
    inside.close()
    return head


def test_the_machine_learns_who_calls(world: World) -> None:
    """The value names caller, organization, network and called app, and its signature holds."""
    before = int(time.time())
    value = signed(asked(world))
    form = r"instance=caller;app=web;org=acme;network=net-1;dst=a;ts=(\d+)"
    match = re.fullmatch(form, value)
    assert match is not None
    assert before <= int(match[1]) <= time.time()


def test_the_time_is_that_of_the_machine_s_turn(world: World) -> None:
    """A request that waited for its Machine is signed when that is there, its body unharmed."""
    port = {"port": 80, "handlers": ["http"]}
    sleeping = machine("m1", "a", MACHINE_IP, "stopped", port=port)
    world.control.put("machine", sleeping)
    client = world.client(post("Content-Length: 4\r\n", "body"))
    world.control.event("wake")
    begun = int(time.time())
    while (woken := int(time.time())) == begun:
        world.control.event("load")  # The proxy reports each second.
    world.control.put("machine", {**sleeping, "state": "started"})
    inside = world.accept()
    head = inside.head()
    assert int(signed(head).rpartition("ts=")[2]) >= woken
    assert fields(head, "Connection") == ["close"]
    assert inside.take(4) == b"body"
    inside.send(ok())
    client.answer()


def test_the_called_app_is_bound(world: World) -> None:
    """A value made for one app says so: another app's is another one, also on this worker."""
    world.control.put("app", app("b", OTHER_IP))
    port = {"port": 80, "handlers": ["http"]}
    world.control.put("machine", machine("m2", "b", "127.0.0.2", port=port))
    assert ";dst=a;" in signed(asked(world))
    assert ";dst=b;" in signed(asked(world, to=OTHER_IP))


@pytest.mark.parametrize(
    "forged",
    [
        "Fly-Src: instance=x\r\nFly-Src-Signature: AA==\r\n",
        "fly-src: instance=x\r\nFLY-SRC-SIGNATURE: AA==\r\n",
        "Fly_Src: instance=x\r\nFly_Src_Signature: AA==\r\nfly-src_signature: AA==\r\n",
        "Connection: Fly-Src, Fly-Src-Signature\r\nFly-Src: instance=x\r\n",
        "Connection: close, fly_src\r\nFly-Src: instance=x\r\n",
    ],
    ids=["plain", "case", "underscores", "listed", "listed-disguise"],
)
def test_forged_values_do_not_arrive(world: World, forged: str) -> None:
    """Whatever a caller sends, there is one value and one signature, and they are the proxy's."""
    assert signed(asked(world, get("/", forged))).startswith("instance=caller;")


def test_forged_values_do_not_arrive_without_a_key(tmp_path: Path) -> None:
    """Without a key nobody's value arrives."""
    with caller_world(tmp_path) as world:
        head = asked(world, get("/", "Fly-Src: x\r\nFly_Src: x\r\nFly-Src-Signature: x\r\n"))
    assert not fields(head, "Fly-Src") + fields(head, "Fly-Src-Signature")


def test_unknown_callers_have_no_value(world: World) -> None:
    """A caller that is no known Machine, or of no known app, gets no Fly-Src, its own included."""
    forged = get("/", "Fly-Src: x\r\n")
    world.control.call("del", kind="app", id="web")
    assert not fields(asked(world, forged), "Fly-Src")
    world.control.put("app", app_at("web", []))
    world.control.call("del", kind="machine", id="caller")
    assert not fields(asked(world, forged), "Fly-Src")


def test_a_kept_connection_follows_the_key(world: World) -> None:
    """A new hello changes the key, or ends signing, for the next request of open connections."""
    client, inside = world.client(), None
    for seed in (SEED, OTHER_SEED, None, SEED):
        world.control.hello(**({} if seed is None else {"src_key": setting(seed)}))
        client.send(get())
        inside = inside or world.accept()
        head = inside.head()
        inside.send(ok())
        client.answer()
        if seed is None:
            assert not fields(head, "Fly-Src")
        else:
            signed(head, seed)
            with pytest.raises(InvalidSignature):
                signed(head, OTHER_SEED if seed == SEED else SEED)


def test_values_stay_young(world: World) -> None:
    """On one kept connection, asked again and again for six seconds, no value is over five old."""
    client = world.client()
    inside = None
    seen = set()
    end = time.time() + 6
    while time.time() < end:
        now = time.time()
        client.send(get())
        inside = inside or world.accept()
        stamped = int(signed(inside.head()).rpartition("=")[2])
        inside.send(ok())
        client.answer()
        assert now - stamped <= 5
        seen.add(stamped)
    assert len(seen) == 2


def test_a_bad_key_is_refused(world: World) -> None:
    """A hello whose key is none changes nothing, and its error does not show the key."""
    for bad in ("", "AAEC", "no base64", setting(SEED)[:-1]):
        with pytest.raises(ControlError, match="src_key") as error:
            world.control.hello(src_key=bad)
        assert not bad or bad not in str(error.value)
    signed(asked(world))


@isolated
async def test_machines_get_the_public_key_by_name(tmp_path: Path) -> None:
    """TXT of _fly-src.internal is the public key on every network; without a key it is empty."""
    async with dns_world(tmp_path) as world:
        for number in (1, 2):
            network = await world.network(number)
            for seed in (SEED, OTHER_SEED, None):
                give_key(world, seed)
                reply = await network.ask("_fly-src.internal", "TXT")
                if seed is None:
                    assert (reply.rcode(), reply.answer) == (0, [])
                else:
                    public = base64.b64encode(key_of(seed).public_key().public_bytes_raw())
                    assert text(reply) == f"v=1;k=ed25519;p={public.decode()}"
                other = await network.ask("_fly-src.internal", "AAAA")
                assert (other.rcode(), other.answer) == (0, [])


def give_key(world: DnsWorld, seed: bytes | None) -> None:
    """Says hello with a key or without."""
    world.control.hello(**({} if seed is None else {"src_key": setting(seed)}))
