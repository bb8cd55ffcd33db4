"""`fly-replay` and the routing fields: where the proxy sends a request, and what it says of it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from roost.proxyctl.decide_replay import decide_replay
from tests.support.h2_peer import Fields, H2Peer, request_fields
from tests.support.http_peer import (
    CLIENT_IP,
    DEADLINE_S,
    MACHINE_PORT,
    Peer,
    World,
    get,
    http_world,
    ok,
    post,
)
from tests.support.namespaces import call_inside
from tests.support.proxy_control import app_at, machine, network

pytestmark = pytest.mark.root

HTTP = {"port": 80, "handlers": ["http"]}
COOKIE = {"path_prefix": "/", "ttl_seconds": 60, "type": "cookie", "name": "sid"}
JSON_TYPE = "Content-Type: application/vnd.fly.replay+json\r\n"
UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\n"


def listening(address: str) -> socket.socket:
    """A socket where a Machine's port is, in the present namespace."""
    made = socket.create_server((address, MACHINE_PORT), backlog=16)
    made.settimeout(DEADLINE_S)
    return made


@dataclass(slots=True)
class Site:
    """The world of HTTP peers with more apps and Machines, each played by the test."""

    world: World
    listeners: dict[str, socket.socket] = field(default_factory=dict)

    def app(self, name: str, *, number: int = 1, **more: Any) -> None:
        """An app without an address, on a network of its own number."""
        self.world.control.put("app", app_at(name, [], network=str(number), **more))

    def add(
        self, name: str, of: str, *, number: int = 1, state: str = "started", **more: Any
    ) -> None:
        """A Machine that listens, with port 80 under the `http` handler unless told otherwise."""
        known = self.listeners.get(name)
        address = known.getsockname()[0] if known else f"127.0.1.{len(self.listeners) + 1}"
        if known is None:
            listener = call_inside(self.world.netns, lambda: listening(address))
            self.listeners[name] = listener
        value = {"network": str(number), "port": HTTP, **more}
        limits = {"type": "requests", **value.pop("limits", {})}
        self.world.control.put("machine", machine(name, of, address, state, limits=limits, **value))

    def target(self, name: str = "b", **more: Any) -> None:
        """An app `b` with its Machine `b1`, or of other names."""
        self.app(name)
        self.add(f"{name}1", name, **more)

    def at(self, name: str) -> Peer:
        """A Machine's next connection."""
        peer = Peer(self.listeners[name].accept()[0])
        self.world.open.append(peer)
        return peer

    def untouched(self, name: str) -> bool:
        """Whether no connection waits at a Machine."""
        listener = self.listeners[name]
        listener.setblocking(False)
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return True
        finally:
            listener.settimeout(DEADLINE_S)
        return False

    def logged(self, code: str, of: str = "a") -> str:
        """The next line of a code in an app's log."""
        return str(self.world.control.event("log", code=code, app=of)["message"])


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site whose client calls the app `a` with its Machine `m1`."""
    with http_world(tmp_path) as world:
        made = Site(world)
        yield made
        for listener in made.listeners.values():
            listener.close()


def replay(order: str, fields: str = "", status: str = "307 Temporary Redirect") -> str:
    """A response that asks for a replay by its head."""
    return f"HTTP/1.1 {status}\r\nfly-replay: {order}\r\n{fields}Content-Length: 4\r\n\r\ngone"


def in_json(body: dict[str, Any], framing: str = "") -> str:
    """A response that asks for a replay by its body."""
    text = json.dumps(body)
    if framing == "chunked":
        chunks = f"{len(text):x}\r\n{text}\r\n0\r\n\r\n"
        return f"HTTP/1.1 200 OK\r\n{JSON_TYPE}Transfer-Encoding: chunked\r\n\r\n{chunks}"
    return f"HTTP/1.1 200 OK\r\n{JSON_TYPE}Content-Length: {len(text)}\r\n\r\n{text}"


def values(head: str, name: str) -> list[str]:
    """All values of a field."""
    lines = (line.partition(": ") for line in head.split("\r\n"))
    return [value for key, _, value in lines if key.lower() == name.lower()]


def answered(inside: Peer, answer: str) -> str:
    """Reads one request without a body and answers it; gives its head."""
    head = inside.head()
    inside.send(answer)
    return head


def refused(client: Peer, code: str) -> str:
    """The line of a 502 with this code."""
    head, body = client.answer()
    assert head.startswith("HTTP/1.1 502 ")
    assert values(head, "Fly-Error") == [code]
    return body.decode()


# === where to ===


def test_another_app_gets_the_request(site: Site) -> None:
    """It comes to an app without an address, says where from, and the client sees one answer."""
    site.target()
    before = int(time.time() * 1e6)
    client, first = site.world.client(get("/x?y", "A: b\r\n")), site.world.accept()
    seen = answered(first, replay("app=b;state=s t"))
    second = site.at("b1")
    head = answered(second, ok("from b"))
    shown, body = client.answer()
    assert (shown.split(" ")[1], body) == ("200", b"from b")
    assert "fly-replay" not in shown.lower()
    assert head.startswith("GET /x?y HTTP/1.1\r\nHost: a.flycast\r\nA: b\r\n")
    (source,) = values(head, "fly-replay-src")
    match = re.fullmatch(r"instance=m1;region=local;t=(\d+);state=s t", source)
    assert match is not None
    assert before <= int(match[1]) <= time.time() * 1e6
    assert values(head, "fly-replay-cache-status") == ["miss"]
    added = ("fly-replay-src", "fly-replay-cache-status")
    assert not [line for line in seen.split("\r\n") if line.lower().startswith(added)]
    # Both connections rest in the pool and serve the next request.
    client.send(get())
    answered(first, replay("app=b"))
    assert len(values(answered(second, ok()), "fly-replay-src")) == 1
    client.answer()


@pytest.mark.parametrize("framing", ["", "chunked"])
def test_json_says_it_and_changes_the_request(site: Site, framing: str) -> None:
    """Path and fields are changed for the target, and what the proxy itself says is not."""
    site.target()
    client, first = site.world.client(get("/old", "Cookie: c\r\nX: 1\r\n")), site.world.accept()
    changes = {
        "path": "/new?q=1",
        "delete_headers": ["cookie"],
        "set_headers": [{"name": "X", "value": "2"}, {"name": "Host", "value": "b.example"}],
    }
    answered(first, in_json({"app": "b", "transform": changes}, framing))
    head = answered(site.at("b1"), ok())
    assert head.startswith("GET /new?q=1 HTTP/1.1\r\nHost: b.example\r\n")
    assert (values(head, "X"), values(head, "Cookie")) == (["2"], [])
    assert values(head, "Fly-Client-IP") == [CLIENT_IP]
    client.answer()


@pytest.mark.parametrize("status", ["200 OK", "307 Temporary Redirect", "409 Conflict"])
def test_the_status_does_not_matter(site: Site, status: str) -> None:
    """Any final response may ask for a replay."""
    site.target()
    client = site.world.client(get())
    answered(site.world.accept(), replay("app=b", status=status))
    answered(site.at("b1"), ok("b"))
    assert client.answer()[1] == b"b"


def test_the_machine_that_is_named(site: Site) -> None:
    """`instance` is that Machine or an error, `prefer_instance` that one or another, which is told,
    `elsewhere` is any but the one that answers, `region` one of the regions in order.
    """
    site.add("m2", "a", region="fra")
    client = site.world.client()

    def where(order: str) -> tuple[str, str]:
        """Which Machine gets what `m1` sends on by this order."""
        client.send(get("/", "fly-force-instance-id: m1\r\n"))
        answered(first, replay(order))
        sock = first if "any" in order else second
        head = answered(sock, ok("m1" if sock is first else "m2"))
        return client.answer()[1].decode(), head

    client.send(get("/", "fly-force-instance-id: m1\r\n"))
    first = site.world.accept()
    answered(first, replay("instance=m2"))
    second = site.at("m2")
    answered(second, ok("m2"))
    assert client.answer()[1] == b"m2"
    for order in ("prefer_instance=m2", "elsewhere=true", 'region="syd,eu"', "region=fra"):
        got, head = where(order)
        assert got == "m2", order
        assert not values(head, "fly-preferred-instance-unavailable")
    assert where('region="syd,local,any"')[0] == "m1"
    got, head = where("prefer_instance=m9;region=eu")
    assert (got, values(head, "fly-preferred-instance-unavailable")) == ("m2", ["m9"])
    client.send(get("/", "fly-force-instance-id: m1\r\n"))
    answered(first, replay("instance=m9"))
    assert "m9" in refused(client, "PR02")


def test_a_sleeping_target_is_woken(site: Site) -> None:
    """The request waits for the Machine it was sent on to, as one that came by an address would."""
    site.target(state="stopped")
    client = site.world.client(post("Content-Length: 4\r\n", "body"))
    first = site.world.accept()
    first.head()
    first.take(4)
    first.send(replay("app=b"))
    site.world.control.event("wake", machine="b1")
    site.add("b1", "b")
    second = site.at("b1")
    second.head()
    assert second.take(4) == b"body"
    second.send(ok("awake"))
    assert client.answer()[1] == b"awake"


def test_the_first_machine_is_free_again(site: Site) -> None:
    """While a request is elsewhere, the Machine that sent it there takes others."""
    site.target()
    site.world.control.put(
        "machine", machine("m1", "a", "127.0.0.2", port=HTTP, limits={"hard_limit": 1})
    )
    client, first = site.world.client(get()), site.world.accept()
    answered(first, replay("app=b"))
    second = site.at("b1")
    second.head()
    other = site.world.client(get("/other"))
    answered(site.world.accept(), ok("other"))
    assert other.answer()[1] == b"other"
    second.send(ok())
    client.answer()


def test_a_websocket_is_replayed(site: Site) -> None:
    """Whom the first app sends it on to makes the upgrade."""
    site.target()
    client = site.world.client(get("/ws", UPGRADE))
    answered(site.world.accept(), replay("app=b"))
    second = site.at("b1")
    head = answered(second, f"HTTP/1.1 101 Switching Protocols\r\n{UPGRADE}\r\n")
    assert values(head, "Upgrade") == ["websocket"]
    assert client.head().startswith("HTTP/1.1 101 ")
    client.send("ping")
    assert second.take(4) == b"ping"
    second.send("pong")
    assert client.take(4) == b"pong"


# === bodies ===


def chunked(body: bytes, size: int = 10_000) -> bytes:
    """A body in chunks."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def unchunked(inside: Peer) -> bytes:
    """A body out of its chunks."""
    parts = []
    while size := int(inside.until(b"\r\n"), 16):
        parts.append(inside.take(size))
        inside.take(2)
    inside.take(2)
    return b"".join(parts)


@pytest.mark.parametrize("form", ["length", "chunked"])
@pytest.mark.parametrize("size", [0, 1, 16_384, 16_385, 900_000])
@pytest.mark.parametrize("when", ["early", "late"])
def test_bodies_arrive_whole(site: Site, form: str, size: int, when: str) -> None:
    """However long, framed, and whether the first app waited for all of it: the target gets it."""
    site.target()
    body = bytes(number * 7919 % 251 for number in range(size))
    sent = body if form == "length" else chunked(body)
    told = f"Content-Length: {size}" if form == "length" else "Transfer-Encoding: chunked"
    client, half = site.world.client(post(f"{told}\r\n")), len(sent) // 2
    client.send(sent[:half])
    first = site.world.accept()
    first.head()

    def read(inside: Peer) -> bytes:
        return inside.take(size) if form == "length" else unchunked(inside)

    if when == "early":
        first.send(replay("app=b"))
        second = site.at("b1")
        client.send(sent[half:])
    else:
        client.send(sent[half:])
        assert hashlib.sha256(read(first)).digest() == hashlib.sha256(body).digest()
        first.send(replay("app=b"))
        second = site.at("b1")
    second.head()
    assert hashlib.sha256(read(second)).digest() == hashlib.sha256(body).digest()
    second.send(ok("done"))
    assert client.answer()[1] == b"done"


@pytest.mark.parametrize("form", ["length", "chunked"])
def test_a_body_that_is_not_kept_is_not_replayed(site: Site, form: str) -> None:
    """Beyond the bound the request goes on and the log says PA01; a replay of it is refused."""
    site.target()
    size = (1 << 20) + 1
    body = bytes(size) if form == "length" else chunked(bytes(size))
    told = f"Content-Length: {size}" if form == "length" else "Transfer-Encoding: chunked"
    for answer in (ok("taken"), replay("app=b")):
        client, first = site.world.client(post(f"{told}\r\n")), site.world.accept()
        client.send(body)
        first.head()
        assert len(first.take(size) if form == "length" else unchunked(first)) == size
        first.send(answer)
        if "taken" in answer:
            assert client.answer()[1] == b"taken"
            assert "could not be replayed" in site.logged("PA01")
        else:
            assert "too large" in refused(client, "PA01")
        client.close()
        first.close()
    assert site.untouched("b1")


def test_an_app_that_never_replays_is_kept_little(site: Site) -> None:
    """4 MiB of bodies in all, beyond which the log says that there was no room; an app that replays
    has more.
    """
    site.target()
    size = 1 << 20

    def upload() -> tuple[Peer, Peer]:
        """A request whose body the Machine has, and which it has not answered."""
        client = site.world.client(post(f"Content-Length: {size}\r\n"))
        client.send(bytes(size))
        first = site.world.accept()
        first.head()
        assert len(first.take(size)) == size
        return client, first

    held = [upload() for _ in range(4)]
    client, first = upload()
    first.send(replay("app=b", "Connection: close\r\n"))
    assert "no room" in refused(client, "PA01")
    assert "no room" in site.logged("PA01")
    client, first = upload()
    first.send(replay("app=b"))
    second = site.at("b1")
    second.head()
    assert len(second.take(size)) == size
    second.send(ok("b"))
    assert client.answer()[1] == b"b"
    assert len(held) == 4


def test_the_bound_is_a_setting(tmp_path: Path) -> None:
    """A body of 2 MB is replayed where the settings allow it."""
    with http_world(tmp_path, settings={"replay_body_bytes": 4 << 20}) as world:
        made = Site(world)
        made.target()
        body = bytes(2 << 20)
        client, first = world.client(post(f"Content-Length: {len(body)}\r\n")), world.accept()
        client.send(body)
        first.head()
        first.take(len(body))
        first.send(replay("app=b"))
        second = made.at("b1")
        second.head()
        assert second.take(len(body)) == body
        second.send(ok())
        client.answer()
        made.listeners["b1"].close()


def test_what_is_kept_is_bounded_for_an_app_and_in_all(tmp_path: Path) -> None:
    """Callers of an app with rules have 32 MiB together, all apps of an organization half of what
    there is while the others want nothing; beyond that nothing more is kept, but for others.
    """
    size = 2 << 20
    rules = {**HTTP, "http_options": {"replay_cache": [COOKIE]}}
    with http_world(tmp_path, settings={"replay_body_bytes": size}) as world:
        made = Site(world)
        addresses = {}
        for number, (name, org) in enumerate([("c", "x"), ("d", "x"), ("e", "x"), ("f", "y")], 9):
            addresses[name] = f"fdaa:0:1:0:1::{number}"
            way = {"network": "1", "ip": addresses[name]}
            world.control.put("app", app_at(name, [way], org=org))
            made.add(f"{name}0", name, port=rules)

        def upload(name: str) -> tuple[Peer, Peer]:
            """A request whose body the Machine has, and which it has not answered."""
            client = world.client(post(f"Content-Length: {size}\r\n"), to=addresses[name])
            client.send(bytes(size))
            inside = made.at(f"{name}0")
            inside.head()
            assert len(inside.take(size)) == size
            return client, inside

        def is_kept(name: str) -> bool:
            """Whether one more is kept: only then it is replayed."""
            client, inside = upload(name)
            inside.send(replay("elsewhere=true", "Connection: close\r\n"))
            _, line = client.answer()
            assert line.startswith((b"PR03", b"PA01"))
            return line.startswith(b"PR03")

        held = [upload("c") for _ in range(15)]
        assert is_kept("c")
        held.append(upload("c"))
        assert not is_kept("c")
        assert "no room" in made.logged("PA01", "c")
        held += [upload("d") for _ in range(15)]
        assert is_kept("e")
        held.append(upload("d"))
        assert not is_kept("e")
        assert is_kept("f")
        assert len(held) == 32
        for listener in made.listeners.values():
            listener.close()


# === refusals ===


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (replay("app=ghost"), "PA04", "ghost"),
        (replay("app=b,state=x"), "PA03", "`app`"),
        (replay("intsance=m1"), "PA03", "intsance"),
        (replay("region=a,b"), "PA03", "quotes"),
        (replay("app=b", "fly-replay: app=b\r\n"), "PA03", "twice"),
        (replay("app=b", JSON_TYPE), "PA03", "JSON"),
        (replay("app=b", "fly-replay-cache: /x\r\n"), "PA03", "ttl-secs"),
        (
            replay("app=b", "fly-replay-cache: /x\r\nfly-replay-cache-ttl-secs: 60\r\n"),
            "PA03",
            "does not match",
        ),
        (in_json({"app": 1}), "PA03", "JSON"),
        (in_json({"app": "b", "state": "x" * 70_000}), "PA03", "larger"),
        (in_json({"app": "b", "transform": {"path": "//a b"}}), "PA03", "`transform.path`"),
        (
            in_json({"transform": {"set_headers": [{"name": "Fly-Src", "value": "x"}]}}),
            "PA03",
            "Fly-Src",
        ),
        (replay("app=raw"), "PA03", "no http handler"),
        (replay("app=empty"), "PR04", "no service on port 80"),
        (replay("app=listed"), "PA05", "allowed_apps"),
    ],
)
def test_what_cannot_be_followed(site: Site, answer: str, code: str, said: str) -> None:
    """It is answered with 502, the code and the field, in the log of the app that said it, and the
    app's other requests go on.
    """
    site.target()
    site.target("raw", port={"port": 80, "handlers": []})
    site.app("empty")
    site.target("listed", allowed_apps=["other"])
    client, first = site.world.client(get("/y")), site.world.accept()
    answered(first, answer)
    assert said in refused(client, code)
    event = site.world.control.event("log", code=code)
    assert (event["app"], event["machine"], event["level"]) == ("a", "m1", "error")
    assert "GET http://a.flycast/y" in event["request"]
    client.send(get())
    answered(site.world.accept() if said == "larger" else first, ok("on"))
    assert client.answer()[1] == b"on"
    assert all(site.untouched(name) for name in site.listeners)


def test_ten_replays_and_no_more(site: Site) -> None:
    """The tenth is made; the eleventh order is PA02."""
    client, inside = site.world.client(get()), site.world.accept()
    for _ in range(10):
        answered(inside, replay("instance=m1"))
    answered(inside, ok("at last"))
    assert client.answer()[1] == b"at last"
    client.send(get())
    for _ in range(11):
        answered(inside, replay("instance=m1"))
    assert "10 times" in refused(client, "PA02")


def no_list(value: dict[str, Any]) -> dict[str, Any]:
    """A Machine's services as the agent says them: without a list of apps where there is none."""
    services = [dict(service) for service in value["services"]]
    for service in services:
        del service["allowed_apps"]
    return {"services": services}


NETWORKS = [
    # number, organization of b, crossing, sources → code
    (1, "personal", False, [], None),
    (2, "personal", False, [], "PA05"),
    (2, "personal", True, [], None),
    (2, "personal", False, ["personal"], "PA05"),
    (2, "acme", True, [], "PA05"),
    (2, "acme", False, ["other"], "PA05"),
    (2, "acme", False, ["personal"], None),
    (1, "acme", False, [], "PA05"),
]


@pytest.mark.parametrize(("number", "org", "crossing", "sources", "code"), NETWORKS)
def test_who_may_send_whom(
    site: Site, number: int, org: str, crossing: bool, sources: list[str], code: str | None
) -> None:
    """Networks of one organization are apart until it opens them; other organizations until the
    target's lists the source's, whatever else either says.
    """
    site.world.control.put("network", network(str(site.world.netns), number=2))
    more = {"cross_network_replays": crossing, "replay_sources": sources}
    site.app("b", number=number, org=org, **more)
    site.add("b1", "b", number=number)
    target = app_at("b", [], network=str(number), org=org, **more)
    value = machine("b1", "b", "127.0.1.1", port=HTTP)
    said = decide_replay(app_at("a", []), target, [value | no_list(value)], 80)
    assert said.passes == (code is None), said.why
    client, first = site.world.client(get()), site.world.accept()
    answered(first, replay("app=b"))
    if code is None:
        answered(site.at("b1"), ok("in"))
        assert client.answer()[1] == b"in"
    else:
        refused(client, code)
        assert site.untouched("b1")
        assert site.logged(code)


def test_the_source_must_be_known(site: Site) -> None:
    """An app that is gone by the time it answers sends nothing anywhere."""
    site.target()
    client, first = site.world.client(get()), site.world.accept()
    first.head()
    site.world.control.call("del", kind="app", id="a")
    first.send(replay("app=b"))
    refused(client, "PE01")
    assert site.untouched("b1")


def test_a_replay_lends_nobody_a_name(tmp_path: Path) -> None:
    """Another app than the called one gets no Fly-Src: neither the caller's, whose request the
    first app may have changed, nor the first app's, which only passed it on. Back home without it.
    """
    key = base64.b64encode(bytes(range(32))).decode()
    with http_world(tmp_path, settings={"src_key": key}) as world:
        made = Site(world)
        made.target()
        caller = machine("caller", "a", "172.16.0.9", ip6=CLIENT_IP, services=[])
        world.control.put("machine", caller)
        client, first = world.client(get()), world.accept()
        assert len(values(answered(first, replay("instance=m1")), "Fly-Src")) == 1
        assert len(values(answered(first, replay("app=b")), "Fly-Src")) == 1
        head = answered(made.at("b1"), replay("app=a"))
        assert not values(head, "Fly-Src") + values(head, "Fly-Src-Signature")
        head = answered(first, ok())
        assert not values(head, "Fly-Src")
        client.answer()
        client.send(get())
        answered(first, replay("app=b;instance=b9;fallback=force_self"))
        head = answered(first, ok())
        assert len(values(head, "fly-replay-failed") + values(head, "Fly-Src")) == 2
        client.answer()
        made.listeners["b1"].close()


def test_callers_forge_nothing(site: Site) -> None:
    """What only the proxy says is dropped when a caller says it; where to go is passed on."""
    forged = (
        "fly-replay-src: instance=x\r\nfly-replay-failed: x\r\nfly-replay-cache-status: hit\r\n"
        "fly-preferred-instance-unavailable: x\r\nfly_replay_src: x\r\n"
    )
    client = site.world.client(get("/", f"{forged}fly-prefer-region: local\r\n"))
    first = site.world.accept()
    head = answered(first, ok()).lower()
    assert "fly-prefer-region: local" in head
    for name in ("replay-src", "replay_src", "replay-failed", "cache-status", "unavailable"):
        assert name not in head
    client.answer()


# === a time, and a way back ===


def test_a_fallback_goes_home(site: Site) -> None:
    """When nobody takes it in time the Machine that sent it gets it as it was, with the reason, and
    may not send it on again.
    """
    site.target(state="stopped")
    client = site.world.client(post("X: 1\r\nContent-Length: 2\r\n", "hi"))
    first = site.world.accept()
    first.head()
    first.take(2)
    order = {"app": "b", "timeout": "20ms", "fallback": "force_self"}
    first.send(in_json({**order, "transform": {"path": "/new", "delete_headers": ["x"]}}))
    head = first.head()
    assert first.take(2) == b"hi"
    assert head.startswith("POST / HTTP/1.1\r\n")
    assert values(head, "X") == ["1"]
    (failed,) = values(head, "fly-replay-failed")
    assert re.fullmatch(r"app=b;replay_source=m1;reason=timeout;elapsed_ms=\d+", failed)
    assert not values(head, "fly-replay-src")
    first.send(replay("app=b"))
    assert "cannot be replayed" in refused(client, "PA03")


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ("app=b;instance=b9;region=eu;fallback=prefer_self", "no_candidate"),
        ("app=b;fallback=prefer_self", "retries_exhausted"),
    ],
)
def test_why_it_failed(site: Site, order: str, reason: str) -> None:
    """No Machine that fits, or none that is reached: the field says which."""
    site.target()
    if reason == "retries_exhausted":
        gone = machine("b1", "b", "203.0.113.1", port=HTTP)
        site.world.control.put("machine", gone)
    client, first = site.world.client(get()), site.world.accept()
    answered(first, replay(order))
    (failed,) = values(answered(first, ok("home")), "fly-replay-failed")
    assert f";reason={reason};" in failed
    assert ("instance=b9;app=b;region=eu;" in failed) == (reason == "no_candidate")
    assert client.answer()[1] == b"home"


@pytest.mark.parametrize("fallback", ["force_self", "prefer_self"])
def test_who_a_fallback_is_for(site: Site, fallback: str) -> None:
    """`force_self` is the Machine that sent it or nobody, `prefer_self` another of its app too."""
    site.target()
    client, first = site.world.client(get()), site.world.accept()
    first.head()
    site.add("m2", "a")
    site.world.control.call("del", kind="machine", id="m1")
    first.send(replay(f"app=b;instance=b9;fallback={fallback}"))
    if fallback == "force_self":
        assert "m1" in refused(client, "PR02")
        assert site.untouched("m2")
        return
    head = answered(site.at("m2"), ok("m2"))
    assert values(head, "fly-preferred-instance-unavailable") == ["m1"]
    assert "app=b" in values(head, "fly-replay-failed")[0]
    assert client.answer()[1] == b"m2"


def test_a_fallback_has_time_of_its_own(site: Site) -> None:
    """The time of a replay is over when its fallback begins, which may wake a Machine."""
    site.target(state="stopped")
    client, first = site.world.client(get()), site.world.accept()
    first.head()
    own = machine("m1", "a", "127.0.0.2", "stopped", port=HTTP, limits={"type": "requests"})
    site.world.control.put("machine", own)
    first.send(replay("app=b;timeout=20ms;fallback=force_self"))
    site.world.control.event("wake", machine="m1")
    site.world.control.put("machine", {**own, "state": "started"})
    head = answered(site.world.accept(), ok("home"))
    assert "reason=timeout" in values(head, "fly-replay-failed")[0]
    assert client.answer()[1] == b"home"


def test_a_time_alone_fails_sooner(site: Site) -> None:
    """Without a fallback the caller gets the error when the time is over."""
    site.target(state="stopped")
    client, first = site.world.client(get()), site.world.accept()
    answered(first, replay("app=b;timeout=10ms"))
    head, _ = client.answer()
    assert (head.split(" ")[1], values(head, "Fly-Error")) == ("503", ["PR03"])


# === what callers ask for ===


def test_callers_choose_a_machine(site: Site) -> None:
    """By the fields of a request, with force before prefer and a Machine before a region."""
    site.add("m2", "a", region="fra")
    client = site.world.client(get("/", "fly-force-instance-id: m1\r\n"))
    first = site.world.accept()
    answered(first, ok())
    client.answer()
    client.send(get("/", "fly-prefer-region: syd,eu\r\n"))
    second = site.at("m2")
    answered(second, ok())
    client.answer()
    for fields, peer in [
        ("fly-prefer-instance-id: m2", second),
        ("fly-force-region: fra", second),
        ("fly-force-region: fra\r\nfly-prefer-instance-id: m1", second),
        ("fly-force-instance-id: m1\r\nfly-force-region: fra", first),
        ("fly-prefer-region: local", first),
    ]:
        client.send(get("/", f"{fields}\r\n"))
        head = answered(peer, ok())
        assert not values(head, "fly-preferred-instance-unavailable"), fields
        client.answer()
    client.send(get("/", "fly-prefer-instance-id: m9\r\nfly-prefer-region: fra\r\n"))
    assert values(answered(second, ok()), "fly-preferred-instance-unavailable") == ["m9"]
    client.answer()
    client.send(get("/", "fly-force-instance-id: m9\r\n"))
    refused(client, "PR02")
    client.send(get("/", "fly-force-region: syd\r\n"))
    head, _ = client.answer()
    assert (head.split(" ")[1], values(head, "Fly-Error")) == ("503", ["PR04"])


# === memory ===


def caching(order: str, *more: str) -> str:
    """A replay that is to be remembered for /p."""
    fields = ("fly-replay-cache: /p/*", "fly-replay-cache-ttl-secs: 60", *more)
    return replay(order, "".join(f"{one}\r\n" for one in fields))


def test_by_path(site: Site) -> None:
    """What was remembered for a path needs the app no more, on its host name alone; a remembered
    request has no source.
    """
    site.target()
    client, first = site.world.client(get("/p/1")), site.world.accept()
    answered(first, caching("app=b"))
    second = site.at("b1")
    assert values(answered(second, ok()), "fly-replay-cache-status") == ["miss"]
    client.answer()
    client.send(get("/p/2?q"))
    head = answered(second, ok("hit"))
    assert values(head, "fly-replay-cache-status") == ["hit"]
    assert not values(head, "fly-replay-src")
    assert client.answer()[1] == b"hit"
    # A skip is heard only where the app allows it.
    client.send(get("/p/2", "fly-replay-cache-control: skip\r\n"))
    assert values(answered(second, ok()), "fly-replay-cache-status") == ["hit"]
    client.answer()
    for other in (get("/px"), get("/p/1").replace("a.flycast", "other.host")):
        client.send(other)
        assert not values(answered(first, ok()), "fly-replay-cache-status")
        client.answer()


def test_by_path_past_the_memory(site: Site) -> None:
    """With the app's leave a caller reaches the app itself, whose next replay says so."""
    site.target()
    client, first = site.world.client(get("/p")), site.world.accept()
    answered(first, caching("app=b", "fly-replay-cache-allow-bypass: yes"))
    second = site.at("b1")
    answered(second, ok())
    client.answer()
    client.send(get("/p", "fly-replay-cache-control: skip\r\n"))
    assert not values(answered(first, replay("app=b")), "fly-replay-cache-status")
    assert values(answered(second, ok()), "fly-replay-cache-status") == ["bypass"]
    client.answer()


def test_only_the_first_word_of_the_called_app_is_remembered(site: Site) -> None:
    """Not what it says of a request that was replayed, nor what a remembered target says, though
    that is of the same app.
    """
    site.target()
    site.add("m2", "a")
    client = site.world.client(get("/p", "fly-force-instance-id: m1\r\n"))
    first = site.world.accept()
    answered(first, replay("instance=m1"))
    answered(first, caching("app=b"))
    target = site.at("b1")
    answered(target, ok())
    client.answer()
    client.send(get("/p", "fly-force-instance-id: m1\r\n"))
    answered(first, caching("instance=m2"))
    second = site.at("m2")
    answered(second, ok())
    client.answer()
    for _ in range(2):
        client.send(get("/p"))
        head = answered(second, caching("app=b"))
        assert values(head, "fly-replay-cache-status") == ["hit"]
        answered(target, ok())
        client.answer()


def test_the_target_takes_it_back(site: Site) -> None:
    """A replay back to the app that says so makes the proxy forget."""
    site.target()
    client, first = site.world.client(get("/p")), site.world.accept()
    answered(first, caching("app=b"))
    second = site.at("b1")
    answered(second, ok())
    client.answer()
    client.send(get("/p"))
    answered(second, replay("app=a", "fly-replay-cache: invalidate\r\n"))
    answered(first, ok("home"))
    assert client.answer()[1] == b"home"
    client.send(get("/p"))
    answered(first, ok("again"))
    assert client.answer()[1] == b"again"


GIVEN_BACK = {"cache": {"invalidate": True}}


@pytest.mark.parametrize("more", [{}, {"transform": {"path": "/admin"}}, {"state": "admin"}])
def test_who_may_send_nothing_gives_back_what_it_got(site: Site, more: dict[str, Any]) -> None:
    """An app of another organization can give a request back to the called one as it came, whatever
    it changed of it on the way, and can add nothing.
    """
    site.app("b", org="acme", replay_sources=["personal"])
    site.add("b1", "b")
    client, first = site.world.client(get("/p", "A: b\r\n")), site.world.accept()
    answered(first, replay("app=b"))
    second = site.at("b1")
    changes = {"path": "/admin", "set_headers": [{"name": "A", "value": "c"}]}
    assert "/p HTTP" in answered(second, in_json({"instance": "b1", "transform": changes}))
    assert "/admin HTTP" in answered(second, in_json({**GIVEN_BACK, **more}))
    if more:
        assert "as it came" in refused(client, "PA05")
        return
    head = answered(first, ok("home"))
    assert head.startswith("GET /p HTTP/1.1\r\n")
    assert values(head, "A") == ["b"]
    assert client.answer()[1] == b"home"


def test_a_wish_holds_when_memory_does_not(site: Site) -> None:
    """When a remembered target has no Machine, the caller's own words say who is asked."""
    site.add("m2", "a")
    site.target()
    client = site.world.client(get("/p", "fly-force-instance-id: m1\r\n"))
    first = site.world.accept()
    answered(first, caching("app=b;instance=b1"))
    answered(site.at("b1"), ok())
    client.answer()
    site.world.control.call("del", kind="machine", id="b1")
    site.add("b2", "b")
    client.send(get("/p", "fly-force-instance-id: m2\r\n"))
    answered(site.at("m2"), ok("m2"))
    assert client.answer()[1] == b"m2"


@pytest.mark.parametrize("end", ["gone", "forbidden", "nobody"])
def test_memory_is_no_right_and_no_promise(site: Site, end: str) -> None:
    """Where the target is gone, out of bounds or without a Machine, the app is asked as if nothing
    had been remembered.
    """
    site.target()
    client, first = site.world.client(get("/p")), site.world.accept()
    answered(first, caching("app=b;instance=b1"))
    answered(site.at("b1"), ok())
    client.answer()
    match end:
        case "gone":
            site.world.control.call("del", kind="app", id="b")
        case "forbidden":
            site.app("b", org="acme")
        case _:
            site.world.control.call("del", kind="machine", id="b1")
            site.add("b2", "b")
    client.send(get("/p"))
    head = answered(first, ok("asked"))
    assert not values(head, "fly-replay-cache-status")
    assert client.answer()[1] == b"asked"


def test_by_session(tmp_path: Path) -> None:
    """The rules of the port remember for each session apart; one request's own words are not."""
    rules = [COOKIE, {**COOKIE, "path_prefix": "/key", "type": "header", "name": "X-Key"}]
    with http_world(tmp_path, port={"http_options": {"replay_cache": rules}}) as world:
        made = Site(world)
        made.target()
        client, first = world.client(get("/", "Cookie: a=1; sid=one\r\n")), world.accept()
        answered(first, replay("app=b;state=once"))
        second = made.at("b1")
        answered(second, ok())
        client.answer()
        client.send(get("/", "Cookie: a=1; sid=one\r\n"))
        answered(first, replay("app=b"))
        answered(second, ok())
        client.answer()
        for fields, hit in [
            ("Cookie: sid=one", True),
            ("Cookie: sid=two", False),
            ("", False),
            ("X-Key: one", False),
        ]:
            client.send(get("/any", f"{fields}\r\n" if fields else ""))
            head = answered(second if hit else first, ok())
            assert values(head, "fly-replay-cache-status") == (["hit"] if hit else []), fields
            client.answer()
        client.send(get("/key", "Cookie: sid=one\r\nX-Key: k\r\n"))
        answered(first, replay("app=b"))
        answered(second, ok())
        client.answer()
        client.send(get("/key/1", "X-Key: k\r\n"))
        assert values(answered(second, ok()), "fly-replay-cache-status") == ["hit"]
        client.answer()
        made.listeners["b1"].close()


# === in HTTP/2 ===


@pytest.mark.parametrize("h2_backend", [False, True], ids=["http1", "http2"])
def test_streams_of_http2_are_replayed(tmp_path: Path, h2_backend: bool) -> None:
    """A stream's body and trailers come whole to the Machine of another app, whatever both Machines
    speak; the first one's connection serves the next request.
    """
    options = {"http_options": {"h2_backend": h2_backend}}
    with http_world(tmp_path, port=options) as world:
        site = Site(world)
        site.target(port={**HTTP, **options})
        client = H2Peer(world.client())
        first: list[Any] = []
        second: list[Any] = []
        for path in ("/1", "/2"):
            fields = request_fields(path, ("te", "trailers"), method="POST")
            stream = client.request(fields, b"hello", more=True)
            client.trailers(stream, [("x-sum", "1")])
            if h2_backend:
                order = [(":status", "307"), ("fly-replay", "app=b;state=s")]
                asked, _ = over_http2(first, world.accept, order)
                replayed, source = over_http2(second, lambda: site.at("b1"), [(":status", "204")])
            else:
                asked, _ = over_http1(first, world.accept, replay("app=b;state=s"))
                answer = "HTTP/1.1 204 No Content\r\n\r\n"
                replayed, source = over_http1(second, lambda: site.at("b1"), answer)
            assert (asked, replayed) == ((path, b"hello", "1"), (path, b"hello", "1"))
            assert source.startswith("instance=m1;")
            assert client.response(stream)[":status"] == "204"
        assert world.untouched()
        assert site.untouched("b1")
        for listener in site.listeners.values():
            listener.close()


def over_http1(
    known: list[Peer], accept: Callable[[], Peer], answer: str
) -> tuple[tuple[str, bytes, str], str]:
    """Answers a request on the one connection; gives its path, body, trailer and origin."""
    if not known:
        known.append(accept())
    head = known[0].head()
    size, body, _, trailer, _, _ = known[0].until(b"\r\n\r\n").split(b"\r\n")
    assert size == b"5"
    known[0].send(answer)
    source = "".join(values(head, "fly-replay-src"))
    return (head.split(" ")[1], body, trailer.decode().removeprefix("x-sum: ")), source


def over_http2(
    known: list[H2Peer], accept: Callable[[], Peer], answer: Fields
) -> tuple[tuple[str, bytes, str], str]:
    """As ``over_http1``, in HTTP/2."""
    if not known:
        known.append(H2Peer(accept(), client=False))
    stream, request = known[0].accept()
    known[0].until(lambda: request.ended)
    known[0].answer(stream, answer)
    source = request.get("fly-replay-src") or ""
    return (request[":path"], request.body, dict(request.trailers)["x-sum"]), source
