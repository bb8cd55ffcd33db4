"""Callers from outside: public networks and addresses that apps share, with the real proxy."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.certificates import make_authority
from tests.support.h2_peer import H2Peer, request_fields
from tests.support.http_peer import Peer, get, ok
from tests.support.namespaces import call_inside
from tests.support.proxy_control import (
    DEADLINE_S,
    Control,
    Line,
    app,
    app_at,
    greeted,
    machine,
    network,
    public_network,
    running_proxy,
)
from tests.support.proxy_world import FLYCAST, IPV6_FREEBIND, World, echo, ip, namespace, served
from tests.support.tls_world import certificate

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces, which needs root"),
]

CALLER4, CALLER6 = "198.51.100.9", "2001:db8:9::9"
OWN4, OWN6, SHARED4, SHARED6 = "192.0.2.7", "2001:db8::7", "192.0.2.8", "2001:db8::8"
MACHINES_IP4 = {"one": "172.16.0.11", "two": "172.16.0.12"}
HTTP = {"port": 80, "handlers": ["http"]}
RAW = {"port": 443, "handlers": []}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """A running proxy, one private network with two Machines, and a public one."""

    control: Control
    netns: Path
    one: socket.socket
    two: socket.socket
    stack: contextlib.ExitStack

    def call(self, address: str, port: int, data: bytes | str = b"") -> Peer:
        """A new connection from outside, with ``data`` sent on it."""
        six = ":" in address
        family = socket.AF_INET6 if six else socket.AF_INET

        def connect() -> socket.socket:
            sock = socket.socket(family)
            sock.settimeout(DEADLINE_S)
            try:
                if six:
                    sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
                sock.bind((CALLER6 if six else CALLER4, 0))
                sock.connect((address, port))
            except BaseException:
                sock.close()
                raise
            return sock

        peer = self.stack.enter_context(Peer(call_inside(self.netns, connect)))
        peer.send(data)
        return peer

    def expect_reset(self, address: str, port: int, data: bytes | str = b"") -> None:
        """A connection with ``data`` is reset, at whatever moment, before anything comes back."""
        with pytest.raises(ConnectionResetError):
            assert self.call(address, port, data).rest() == b"unreachable"


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    with contextlib.ExitStack() as stack:
        world = World(stack)
        netns = stack.enter_context(namespace())
        control = greeted(stack, tmp_path / "proxy.sock")
        control.put("network", network(str(world.router)))
        control.put("network", public_network(str(netns)))
        listeners = []
        for name in ("one", "two"):
            address, inside = world.add_machine()
            listeners.append(stack.enter_context(world.listen(inside)))
            control.put("machine", machine(name, name, address, ports=[HTTP, RAW]))
        # The proxy may bind what the host does not have yet.
        control.put("app", app_at("one", OF_ONE, hosts=["one.example", "www.one.example"]))
        control.put("app", app_at("two", shared_by_two(), hosts=["two.example"]))
        ip(netns, *(f"addr add {address} dev lo" for address in (CALLER4, OWN4, SHARED4)))
        # Unlike a new IPv6 address, a route is in force when the command returns.
        ip(netns, "route add local 2001:db8::/32 dev lo")
        one, two = listeners
        peers = stack.enter_context(contextlib.ExitStack())
        yield Outside(control=control, netns=netns, one=one, two=two, stack=peers)


def shared_by_two(ports: list[int] | None = None) -> list[Line]:
    """The shared addresses of the app `two`."""
    return [public(SHARED4, shared=True, ports=ports), public(SHARED6, shared=True, ports=ports)]


def public(address: str, **more: object) -> Line:
    """An address on the public network."""
    return {"network": "public", "ip": address, **more}


OF_ONE = [
    public(OWN4),
    public(OWN6, ports=[80]),
    public(SHARED4, shared=True),
    public(SHARED6, shared=True),
]


def accept(listener: socket.socket) -> Peer:
    """A Machine's next connection."""
    return Peer(listener.accept()[0])


def hello(name: str | None) -> bytes:
    """The ClientHello of a real client."""
    context = ssl.create_default_context()
    sent = ssl.MemoryBIO()
    context.check_hostname = False
    client = context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return sent.read()


@pytest.mark.parametrize(("address", "caller"), [(OWN4, CALLER4), (OWN6, CALLER6)])
def test_a_dedicated_address_leads_to_its_app(outside: Outside, address: str, caller: str) -> None:
    """Callers from outside reach the app by any name, and the Machine is told their address."""
    with outside.call(address, 80, get("/", "Fly-Src: x\r\n")) as client:
        with accept(outside.one) as machine_side:
            head = machine_side.head()
            machine_side.send(ok("hi"))
        assert client.answer()[1] == b"hi"
    assert f"\r\nFly-Client-IP: {caller}\r\n" in head
    assert f"\r\nX-Forwarded-For: {caller}, {address}\r\n" in head
    assert "Fly-Src" not in head


def test_an_old_client_is_given_the_address_as_host(outside: Outside) -> None:
    """HTTP/1.0 without Host gets the IPv4 address that was called as its host."""
    with outside.call(OWN4, 80, "GET / HTTP/1.0\r\n\r\n"), accept(outside.one) as machine_side:
        assert f"\r\nHost: {OWN4}\r\n" in machine_side.head()


def test_only_what_is_offered_is_open(outside: Outside) -> None:
    """A port is open at each address that offers it and at no other, and goes with the address."""
    outside.call(OWN4, 443).close()
    for address, port in ((OWN6, 443), (CALLER4, 80), (CALLER6, 80), (OWN4, 5000)):
        with pytest.raises(ConnectionRefusedError):
            outside.call(address, port)
    outside.control.put("app", app_at("one", OF_ONE[1:], hosts=["one.example"]))
    with pytest.raises(ConnectionRefusedError):
        outside.call(OWN4, 80)
    outside.call(OWN6, 80).close()


def test_a_shared_port_closes_with_its_last_app(outside: Outside) -> None:
    """A shared address listens while one of its apps offers the port there."""
    outside.control.put("app", app_at("one", []))
    outside.call(SHARED4, 80).close()
    outside.control.put("app", app_at("two", shared_by_two(ports=[443]), hosts=["two.example"]))
    with pytest.raises(ConnectionRefusedError):
        outside.call(SHARED4, 80)
    outside.control.call("del", kind="app", id="two")
    with pytest.raises(ConnectionRefusedError):
        outside.call(SHARED4, 443)


def test_no_names_are_served_outside(outside: Outside) -> None:
    """A public network has no DNS, whatever its prefix."""

    def ask() -> bytes:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.settimeout(DEADLINE_S)
            sock.connect(("fdaa::3", 53))
            sock.send(bytes(12))
            return sock.recv(512)

    ip(outside.netns, "route add local fdaa::3/128 dev lo")
    prefixed = {**public_network(str(outside.netns)), "prefix": "fdaa:0:9::/48"}
    outside.control.put("network", prefixed)
    with pytest.raises(ConnectionRefusedError):
        call_inside(outside.netns, ask)


@pytest.mark.parametrize("address", [SHARED4, SHARED6])
def test_a_host_leads_to_its_app(outside: Outside, address: str) -> None:
    """`Host`, or the target in its absolute form, says which app is meant, however cut."""
    for request, listener in (
        (named("ONE.example.:80"), outside.one),
        (named("www.one.example"), outside.one),
        (named("two.example"), outside.two),
        ("GET http://two.example/x HTTP/1.1\r\nHost: one.example\r\n\r\n", outside.two),
    ):
        with outside.call(address, 80) as client:
            for byte in request:
                client.send(byte)
            with accept(listener) as machine_side:
                assert "Fly-Client-IP" in machine_side.head()
                machine_side.send(ok("hi"))
            assert client.answer()[1] == b"hi"


def test_a_body_behind_the_head_arrives(outside: Outside) -> None:
    """What was read with the head of the first request is part of it."""
    head = "POST / HTTP/1.1\r\nHost: two.example\r\nContent-Length: 4\r\n\r\n"
    with outside.call(SHARED4, 80, head + "body"), accept(outside.two) as machine_side:
        machine_side.head()
        assert machine_side.take(4) == b"body"


def named(host: str) -> str:
    """A request for a host."""
    return f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"


@pytest.mark.parametrize(
    "request_",
    [named("three.example"), named(SHARED4), "GET / HTTP/1.0\r\n\r\n"],
    ids=["unknown", "address", "none"],
)
def test_unknown_hosts_get_404(outside: Outside, request_: str) -> None:
    """A name that no app has here, or none, is answered 404 with PR01, and the connection ends."""
    with outside.call(SHARED4, 80, request_) as client:
        answer = client.rest().decode()
    assert answer.startswith("HTTP/1.1 404 Not Found\r\n")
    assert "\r\nFly-Error: PR01\r\n" in answer
    assert "\r\nConnection: close\r\n" in answer
    assert answer.split("\r\n\r\n", 1)[1].count("\n") == 1


def test_names_count_where_the_app_offers_the_port(outside: Outside) -> None:
    """An app that does not offer the port at a shared address is not called there by its name."""
    outside.control.put("app", app_at("two", shared_by_two(ports=[443]), hosts=["two.example"]))
    with outside.call(SHARED4, 80, named("two.example")) as client:
        assert client.rest().startswith(b"HTTP/1.1 404 ")
    outside.control.put("app", app_at("one", OF_ONE[:2], hosts=["one.example"]))
    outside.control.put("app", app_at("two", shared_by_two(), hosts=["two.example"]))
    with outside.call(SHARED4, 80, named("one.example")) as client:
        assert client.rest().startswith(b"HTTP/1.1 404 ")


def test_bad_openings_are_answered_in_http(outside: Outside) -> None:
    """What is no request is answered 400, and a head that is too large 431."""
    for sent, status in (
        ("SSH-2.0-x\r\n\r\n", b"400"),
        ("GET / HTTP/1.1\r\nA: " + "x" * 70_000, b"431"),
    ):
        with outside.call(SHARED4, 80, sent) as client:
            assert client.rest().startswith(b"HTTP/1.1 " + status)


def test_silent_callers_are_let_go(outside: Outside) -> None:
    """Who does not say in time what is meant is reset, or told 408 in the middle of a head."""
    outside.control.hello(head_timeout_ms=100)
    outside.expect_reset(SHARED4, 80)
    outside.expect_reset(SHARED4, 443, hello("one.example")[:-1])
    with outside.call(SHARED4, 80, "GET / HTTP") as client:
        assert client.rest().startswith(b"HTTP/1.1 408 ")


def test_another_host_on_the_connection_is_misdirected(outside: Outside) -> None:
    """A kept connection serves its first host; a request for another gets 421 and ends it."""
    with outside.call(SHARED4, 80) as client:
        for _ in range(2):
            client.send(named("one.example"))
            with accept(outside.one) as machine_side:
                machine_side.head()
                machine_side.send(ok())
            client.answer()
        client.send(named("two.example"))
        answer = client.rest().decode()
    assert answer.startswith("HTTP/1.1 421 Misdirected Request\r\n")
    assert "\r\nConnection: close\r\n" in answer
    outside.two.setblocking(False)
    with pytest.raises(BlockingIOError):
        outside.two.accept()


@pytest.mark.parametrize("way", ["upgrade", "tls"])
def test_a_stream_for_another_host_is_misdirected(
    outside: Outside, tmp_path: Path, way: str
) -> None:
    """A connection in HTTP/2 belongs to the app that its first name meant: a stream for another one
    gets 421 (RFC 9110, 15.5.20), reaches nobody, and the streams beside it go on.
    """
    authority = make_authority(tmp_path / "ca")
    with contextlib.ExitStack() as stack:
        if way == "tls":
            given = certificate(authority, "one.example", audience=None, app="one")
            outside.control.put("certificate", given)
            secure = {"port": 443, "handlers": ["tls", "http"]}
            address = MACHINES_IP4["one"]
            outside.control.put("machine", machine("one", "one", address, ports=[HTTP, secure]))
            context = ssl.create_default_context(cafile=str(authority.file))
            context.set_alpn_protocols(["h2"])
            plain = stack.enter_context(outside.call(SHARED4, 443)).sock
            secured = context.wrap_socket(plain, server_hostname="one.example")
            client = H2Peer(stack.enter_context(Peer(secured)))
            first = client.request(authority_fields("one.example"))
        else:
            peer = stack.enter_context(outside.call(SHARED4, 80))
            offer = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n"
            peer.send(f"GET / HTTP/1.1\r\nHost: one.example\r\n{offer}\r\n")
            peer.head()
            client, first = H2Peer(peer, upgraded=True), 1
        held = stack.enter_context(accept(outside.one))
        held.head()
        for name in ("two.example", "ONE.example.evil", "one.example@two.example"):
            other = client.request(authority_fields(name))
            assert client.response(other)[":status"] == ("400" if "@" in name else "421")
        by_host = [(":method", "GET"), (":scheme", "http"), (":path", "/"), ("host", "two.example")]
        assert client.response(client.request(by_host))[":status"] == "421"
        again = client.request(authority_fields("One.Example"))
        beside = stack.enter_context(accept(outside.one))
        beside.head()
        beside.send(ok("again"))
        assert client.response(again).body == b"again"
        held.send(ok("first"))
        assert client.response(first).body == b"first"
    outside.two.setblocking(False)
    with pytest.raises(BlockingIOError):
        outside.two.accept()


def authority_fields(name: str) -> list[tuple[str, str]]:
    """The fields of a request for a host."""
    return [(key, name if key == ":authority" else value) for key, value in request_fields()]


@pytest.mark.parametrize("cut", [1, 3, 100, 10_000])
def test_a_server_name_leads_to_its_app(outside: Outside, cut: int) -> None:
    """The name in a ClientHello says which app is meant, and the Machine gets every byte."""
    said = hello("Two.Example") + b"more"
    with outside.call(SHARED6, 443) as client:
        for at in range(0, len(said), cut):
            client.send(said[at : at + cut])
        with accept(outside.two) as machine_side:
            assert machine_side.take(len(said)) == said
            machine_side.send(b"answer")
            assert client.take(6) == b"answer"
            client.send(b"!" * 300_000)
            assert machine_side.take(300_000) == b"!" * 300_000


def test_what_tls_cannot_be_served_is_reset(outside: Outside) -> None:
    """A server name that no app has, or none, or a bad hello is reset."""
    for said in (hello("three.example"), hello(None), b"\x16\x02", b"\x16\x03\x01\x40\x01"):
        outside.expect_reset(SHARED4, 443, said)


def test_a_hello_that_never_ends_is_reset(outside: Outside) -> None:
    """No more than 16 KiB are read of a ClientHello."""
    record = b"\x16\x03\x01\x00\x01"
    first = [b"\x01", b"\x00", b"\x3f", b"\xf0"]
    said = b"".join(record + byte for byte in first + [b"\x00"] * 2800)
    outside.expect_reset(SHARED4, 443, said)


def test_protocols_that_the_port_does_not_speak(outside: Outside) -> None:
    """TLS to an `http` port is reset, a plain request to a raw port gets 400; both are logged."""
    outside.expect_reset(SHARED4, 80, hello("one.example"))
    assert "TLS" in outside.control.event("log", app="one", code="PR01")["message"]
    with outside.call(SHARED4, 443, named("two.example")) as client:
        answer = client.rest()
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b"\r\nFly-Error: PR01\r\n" in answer
    assert "TLS" in outside.control.event("log", app="two", code="PR01")["message"]


def test_guarded_apps_cannot_be_called_from_outside(outside: Outside) -> None:
    """With a list of allowed apps a caller from outside is reset; where apps share the address it
    is answered as for a name that no app has.
    """
    ports = [HTTP, RAW]
    guarded = machine("three", "one", "172.16.0.99", "stopped", ports=ports, allowed_apps=["two"])
    outside.control.put("machine", guarded)
    outside.expect_reset(OWN4, 80, named("one.example"))
    outside.expect_reset(SHARED4, 443, hello("one.example"))
    answers = []
    for name in ("one.example", "three.example"):
        with outside.call(SHARED4, 80, named(name)) as client:
            answers.append(re.sub(rb"Date: .*|[0-9A-Z]{26}", b"", client.rest()))
    assert answers[0] == answers[1]
    assert answers[0].startswith(b"HTTP/1.1 404 ")
    for port in (80, 443, 80):
        message = outside.control.event("log", app="one", code="RA01")["message"]
        assert message == f"{CALLER4}, which is no known machine, may not call port {port}"


def test_held_bytes_wait_for_the_machine(outside: Outside) -> None:
    """A hello is held while its app wakes, and reaches the woken Machine first."""
    said = hello("sleepy.example")
    asleep = machine("four", "sleepy", "172.16.0.11", "stopped", ports=[RAW])
    outside.control.put("machine", asleep)
    place = [public(SHARED4, shared=True)]
    outside.control.put("app", app_at("sleepy", place, hosts=["sleepy.example"]))
    with outside.call(SHARED4, 443, said) as client:
        outside.control.event("wake", machine="four")
        outside.control.put("machine", {**asleep, "state": "started"})
        with accept(outside.one) as machine_side:
            assert machine_side.take(len(said)) == said
            machine_side.send(b"x")
            assert client.take(1) == b"x"


def test_idle_strangers_do_not_hold_the_end(tmp_path: Path) -> None:
    """A caller that has said nothing at a shared address does not keep a stopping proxy alive."""
    with contextlib.ExitStack() as stack:
        netns = stack.enter_context(namespace())
        ip(netns, f"addr add {SHARED4} dev lo")
        process = stack.enter_context(running_proxy(tmp_path / "sock"))
        control = Control(tmp_path / "sock")
        stack.callback(control.close)
        control.put("network", public_network(str(netns)))
        control.put("app", app_at("one", [public(SHARED4, shared=True)], hosts=["one.example"]))
        control.put("machine", machine("m1", "one", "172.16.0.11", ports=[HTTP]))

        def connect() -> socket.socket:
            return socket.create_connection((SHARED4, 80), timeout=DEADLINE_S)

        with call_inside(netns, connect) as caller:
            control.call("stop", grace_ms=3_600_000)
            with contextlib.suppress(ConnectionResetError):
                assert caller.recv(1) == b""
            assert process.wait(DEADLINE_S) == 0


def test_callers_from_outside_leave_room_for_those_inside(tmp_path: Path) -> None:
    """However many strangers hold connections, private calls are served, half of the room."""
    with contextlib.ExitStack() as stack:
        world = World(stack)
        netns = stack.enter_context(namespace())
        ip(netns, f"addr add {SHARED4} dev lo")
        stack.enter_context(running_proxy(tmp_path / "sock", files=1100))
        control = Control(tmp_path / "sock")
        stack.callback(control.close)
        control.put("network", network(str(world.router)))
        control.put("network", public_network(str(netns)))
        control.put("app", app_at("one", [public(SHARED4, shared=True)], hosts=["one.example"]))
        control.put("app", app("two", f"{FLYCAST}2"))
        address, inside = world.add_machine()
        control.put("machine", machine("m1", "one", address, ports=[HTTP]))
        control.put("machine", machine("m2", "two", address))
        most = control.call("stats")["stats"]["max_connections"]

        def connect() -> socket.socket:
            return socket.create_connection((SHARED4, 80), timeout=DEADLINE_S)

        for _ in range(most + 10):
            stack.enter_context(call_inside(netns, connect))
        listener = stack.enter_context(world.listen(inside))
        with world.call(2) as caller:
            stack.enter_context(Peer(listener.accept()[0])).send("x")
            assert caller.recv(1) == b"x"
        stats = control.call("stats")["stats"]
        # Two threads may accept at the same moment.
        assert 0 < stats["from_outside"] <= most // 2 + 1


def test_a_place_that_is_taken_is_told_once(outside: Outside) -> None:
    """The app's log says that it cannot be called at an address, once, and it can when that is free
    again.
    """
    taken = call_inside(outside.netns, lambda: socket.create_server((OWN4, 8443)))
    more = {"port": 8443, "handlers": []}
    third = machine("three", "one", "172.16.0.11", ports=[more])
    with taken:
        outside.control.put("machine", third)
        line = outside.control.event("log", app="one", code="RL01")
        assert line["level"] == "warn"
        assert line["message"].startswith(f"nobody can call {OWN4}:8443: ")
        for _ in range(4):
            outside.control.event("load")  # Each second, as often as the proxy tries again.
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            caller = outside.call(OWN4, 8443)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            continue
        break
    with caller, accept(outside.one):
        pass
    outside.control.call("stats")
    assert not [line for line in outside.control.events if line.get("code") == "RL01"]


def test_the_host_s_own_network_may_be_public(tmp_path: Path) -> None:
    """`/proc/self/ns/net` is the network that the proxy itself runs in."""
    with contextlib.ExitStack() as stack:
        world = World(stack)
        address, inside = world.add_machine()
        ip(world.router, f"addr add {OWN4} dev lo")
        stack.enter_context(served(world.listen(inside), echo))
        proxy = running_proxy(tmp_path / "sock")
        call_inside(world.router, lambda: stack.enter_context(proxy))
        control = Control(tmp_path / "sock")
        stack.callback(control.close)
        control.put("network", network(str(world.router)))
        control.put("network", public_network("/proc/self/ns/net"))
        control.put("app", app_at("one", [public(OWN4)]))
        control.put("machine", machine("m1", "one", address, ports=[RAW]))

        def connect() -> socket.socket:
            return socket.create_connection((OWN4, 443), timeout=DEADLINE_S)

        with call_inside(world.router, connect) as caller:
            caller.sendall(b"x")
            assert caller.recv(1) == b"x"


def test_tls_ends_at_a_shared_address(outside: Outside, tmp_path: Path) -> None:
    """Where a port has `tls` the server name says which app is meant; the connection stays with it,
    and a request without TLS is told so."""
    secure = {"port": 443, "handlers": ["tls", "http"]}
    authority = make_authority(tmp_path / "ca")
    given = certificate(authority, "two.example", audience=None, app="two")
    outside.control.put("certificate", given)
    address = MACHINES_IP4["two"]
    outside.control.put("machine", machine("two", "two", address, ports=[HTTP, secure]))
    context = ssl.create_default_context(cafile=str(authority.file))
    with outside.call(SHARED4, 443) as plain:
        secured = context.wrap_socket(plain.sock, server_hostname="two.example")
        with Peer(secured) as client:
            client.send("GET / HTTP/1.1\r\nHost: two.example\r\n\r\n")
            with accept(outside.two) as machine_side:
                assert "x-forwarded-proto: https" in machine_side.head().lower()
                machine_side.send(ok("two"))
            assert client.answer()[1] == b"two"
            client.send("GET / HTTP/1.1\r\nHost: one.example\r\n\r\n")
            assert client.answer()[0].startswith("HTTP/1.1 421")
    request = "GET / HTTP/1.1\r\nHost: two.example\r\n\r\n"
    with outside.call(SHARED4, 443, request) as client:
        assert client.answer()[0].startswith("HTTP/1.1 400")
    outside.expect_reset(SHARED4, 443, hello("nobody.example"))


def test_a_certificate_for_callers_from_outside(outside: Outside) -> None:
    """It is asked for of the app's own organization: that of the public network is none."""
    secure = {"port": 443, "handlers": ["tls", "http"]}
    address = MACHINES_IP4["two"]
    outside.control.put("machine", machine("two", "two", address, ports=[HTTP, secure]))
    outside.call(SHARED4, 443, hello("two.example"))
    assert outside.control.event("certificate", app="two")["audience"] == "personal"
