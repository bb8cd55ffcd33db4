"""Machines that speak HTTP/2 (`h2_backend`), behind the real proxy."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from h2.settings import SettingCodes

from tests.support.h2_peer import H2Peer, request_fields
from tests.support.http_peer import (
    APP_IP,
    MACHINE_IP,
    MACHINE_PORT,
    World,
    get,
    http_world,
    post,
)
from tests.support.proxy_control import ROOT, machine

pytestmark = pytest.mark.root

PORT: dict[str, Any] = {"http_options": {"h2_backend": True}}
OK = [(":status", "200")]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world whose Machine speaks HTTP/2."""
    with http_world(tmp_path, port=PORT) as made:
        yield made


def accept(world: World, **settings: int) -> H2Peer:
    """The Machine's next connection."""
    made = {SettingCodes[name.upper()]: value for name, value in settings.items()}
    return H2Peer(world.accept(), client=False, settings=made)


def test_clients_of_http1_are_served_by_a_machine_that_speaks_http2(world: World) -> None:
    """The request has the form of HTTP/2 and the proxy's fields; body and trailers come back."""
    client = world.client(
        post("Content-Length: 5\r\nConnection: X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\n", "hello")
    )
    app = accept(world)
    stream, request = app.accept()
    app.until(lambda: request.ended)
    assert request.body == b"hello"
    assert request.fields[:4] == [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "a.flycast"),
        (":path", "/"),
    ]
    assert request.get("x-hop") is None
    assert (request["te"], request["content-length"]) == ("trailers", "5")
    assert (request["fly-region"], request["via"]) == ("local", "1.1 fly.io")
    app.answer(stream, [*OK, ("x-b", "c")], b"part", more=True)
    app.trailers(stream, [("x-sum", "1")])
    head = client.head()
    assert head.startswith("HTTP/1.1 200 OK\r\nx-b: c\r\n")
    assert client.until(b"\r\n\r\n") == b"4\r\npart\r\n0\r\nx-sum: 1\r\n\r\n"
    client.send(get("/again"))
    stream, request = app.accept()
    assert request[":path"] == "/again"
    app.answer(stream, [*OK, ("content-length", "2")], b"ok")
    assert client.answer()[1] == b"ok"


def test_responses_without_a_body_say_no_more_than_the_machine(world: World) -> None:
    """To a HEAD, and with 204 or 304, the length is the Machine's or none; else the end is told."""
    client = world.client()
    app: H2Peer | None = None
    length = [("content-length", "7")]
    for method, status, sent, told in (
        ("HEAD", "200", [], None),
        ("HEAD", "200", length, "7"),
        ("GET", "204", [], None),
        ("GET", "304", [], None),
        ("GET", "304", length, "7"),
        ("GET", "200", [], "0"),
    ):
        client.send(f"{method} / HTTP/1.1\r\nHost: a.flycast\r\n\r\n")
        app = app or accept(world)
        stream, request = app.accept()
        assert request[":method"] == method
        app.answer(stream, [(":status", status), *sent])
        head = client.head().lower()
        assert head.startswith(f"http/1.1 {status} ")
        lines = [line for line in head.split("\r\n") if line.startswith("content-length: ")]
        assert lines == ([] if told is None else [f"content-length: {told}"])
        assert "transfer-encoding" not in head


@pytest.mark.parametrize("end", ["stream", "connection"])
def test_a_response_that_breaks_off_is_not_taken_for_a_whole_one(world: World, end: str) -> None:
    """Whether the Machine resets the stream or loses the connection, no client sees an end."""
    old, new = world.client(get()), H2Peer(world.client())
    app = accept(world)
    first, _ = app.accept()
    fetched = new.fetch()
    second, _ = app.accept()
    for stream in (first, second):
        app.answer(stream, OK, b"half", more=True)
    assert old.until(b"half").endswith(b"\r\n4\r\nhalf")
    new.until(lambda: new.streams[fetched].body == b"half")
    if end == "stream":
        app.reset(first, 2)
        app.reset(second, 2)
    else:
        app.peer.close()
    with pytest.raises(ConnectionResetError):
        assert old.rest() == b"unreachable"
    response = new.response(fetched)
    assert (response.reset, response.ended) == (2, False)


def test_requests_of_all_clients_share_a_connection_to_the_machine(world: World) -> None:
    """Streams of several clients run side by side on one connection, opened once."""
    clients = [H2Peer(world.client()) for _ in range(2)]
    streams = [(client, client.fetch(f"/{at}")) for at, client in enumerate([*clients, *clients])]
    app = accept(world)
    asked = [app.accept() for _ in streams]
    for stream, request in reversed(asked):
        app.answer(stream, OK, request[":path"].encode())
    assert {client.response(stream).body for client, stream in streams} == {
        b"/0",
        b"/1",
        b"/2",
        b"/3",
    }
    assert world.untouched()


def test_another_connection_is_opened_beyond_the_machines_limit(world: World) -> None:
    """No more streams are begun on a connection than the Machine allows."""
    client = H2Peer(world.client())
    first = client.fetch("/1")
    app = accept(world, max_concurrent_streams=1)
    one, _ = app.accept()
    second = client.fetch("/2")
    other = accept(world)
    two, _ = other.accept()
    app.answer(one, OK, b"1")
    other.answer(two, OK, b"2")
    assert (client.response(first).body, client.response(second).body) == (b"1", b"2")


def test_a_connection_that_carries_nothing_is_closed(tmp_path: Path) -> None:
    """After the rest of `idle_pool_ms`, and at once when the Machine is to sleep."""
    with http_world(tmp_path, port=PORT, settings={"idle_pool_ms": 100}) as world:
        for drains in (False, True):
            client = world.client(get())
            app = accept(world)
            stream, _ = app.accept()
            app.answer(stream, [*OK, ("content-length", "0")])
            client.head()
            # The unit is given back a moment after the answer.
            while drains and not world.control.call("drain", machine="m1", if_idle=True)["drained"]:
                pass
            assert app.end() == 0


def test_a_machine_that_does_not_speak_http2_is_named_in_the_log(world: World) -> None:
    """Whoever answers in HTTP/1, or closes, makes a 502 with PU01 in the answer and the log."""
    for answer in ("HTTP/1.1 400 Bad Request\r\n\r\n", ""):
        client = world.client(get())
        app = world.accept()
        app.until(b"SM\r\n\r\n")
        app.send(answer)
        app.close()
        head, body = client.answer()
        assert head.startswith("HTTP/1.1 502 ")
        assert b"PU01 " in body
        assert world.control.event("log", code="PU01")["machine"] == "m1"


def test_a_request_that_was_not_looked_at_is_sent_again(world: World) -> None:
    """A POST is repeated after REFUSED_STREAM, and a GOAWAY below its stream (RFC 9113, 8.7)."""
    client = world.client(post("Content-Length: 2\r\n", "hi"))
    app = accept(world)
    stream, _ = app.accept()
    app.reset(stream, 7)
    stream, _ = app.accept()
    app.answer(stream, [*OK, ("content-length", "0")])
    client.head()
    client.send(post("Content-Length: 2\r\n", "hi"))
    stream, _ = app.accept()
    app.conn.close_connection(last_stream_id=stream - 2)
    app.flush()
    other = accept(world)
    stream, request = other.accept()
    other.until(lambda: request.ended)
    assert request.body == b"hi"
    other.answer(stream, [*OK, ("content-length", "0")])
    assert client.head().startswith("HTTP/1.1 200 ")


def test_a_request_that_may_have_been_acted_on_is_not_sent_again(world: World) -> None:
    """A POST whose stream is reset otherwise ends with 502 and PC03."""
    client = world.client(post("Content-Length: 2\r\n", "hi"))
    app = accept(world)
    stream, _ = app.accept()
    app.reset(stream, 2)
    head, body = client.answer()
    assert head.startswith("HTTP/1.1 502 ")
    assert body.startswith(b"PC03 ")


def test_a_client_that_goes_away_ends_the_machines_stream(world: World) -> None:
    """The Machine gets RST_STREAM, and its connection goes on."""
    client = H2Peer(world.client())
    stream = client.fetch("/1")
    app = accept(world)
    asked, request = app.accept()
    client.reset(stream)
    app.until(lambda: request.reset is not None)
    assert request.reset == 8
    stream = client.fetch("/2")
    asked, request = app.accept()
    assert request[":path"] == "/2"
    app.answer(asked, OK, b"2")
    assert client.response(stream).body == b"2"


def test_a_slow_client_makes_the_machine_wait(world: World) -> None:
    """The Machine's window is not opened for what the client does not take."""
    client = H2Peer(world.client(), hold=True)
    stream = client.fetch()
    app = accept(world)
    asked, _ = app.accept()
    app.answer(asked, OK, more=True)
    sent = 0
    while True:
        while room := min(app.conn.local_flow_control_window(asked), 16_384):
            app.data(asked, b"x" * room)
            sent += room
        if not select.select([app.peer.sock], [], [], 0.2)[0]:
            break
        assert app.step()
    assert sent < 1 << 20
    client.until(lambda: len(client.streams[stream].body) == 65_535)
    client.take_body(stream)
    client.until(lambda: len(client.streams[stream].body) > 65_535)


def websocket(client: H2Peer) -> int:
    """Asks for a WebSocket."""
    fields = request_fields("/chat", ("sec-websocket-version", "13"), method="CONNECT")
    return client.request([*fields[:1], (":protocol", "websocket"), *fields[1:]], more=True)


def test_websockets_reach_a_machine_that_takes_them(world: World) -> None:
    """From HTTP/1.1 and from HTTP/2, by extended CONNECT; the key is the proxy's matter."""
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    upgrade = f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: {key}\r\n"
    old = world.client(get("/chat", upgrade))
    app = accept(world, enable_connect_protocol=1)
    stream, request = app.accept()
    assert (request[":method"], request[":protocol"]) == ("CONNECT", "websocket")
    assert request.get("sec-websocket-key") is None
    app.answer(stream, OK, more=True)
    accepted = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
    head = old.head()
    assert head.startswith("HTTP/1.1 101 Switching Protocols\r\n")
    assert f"\r\nsec-websocket-accept: {base64.b64encode(accepted).decode()}\r\n" in head
    old.send(b"ping")
    app.until(lambda: request.body == b"ping")
    app.data(stream, b"pong")
    assert old.take(4) == b"pong"
    old.close()
    app.until(lambda: request.ended or request.reset is not None)
    new = H2Peer(world.client())
    asked = websocket(new)
    stream, request = app.accept()
    assert request[":protocol"] == "websocket"
    app.answer(stream, OK, b"hello", more=True)
    assert new.head(asked)[":status"] == "200"
    new.until(lambda: new.streams[asked].body == b"hello")


def test_websockets_need_the_machines_word(world: World) -> None:
    """Without SETTINGS_ENABLE_CONNECT_PROTOCOL a WebSocket is a 502 with PU04."""
    client = H2Peer(world.client())
    asked = websocket(client)
    accept(world)
    response = client.response(asked)
    assert (response[":status"], response["fly-error"]) == ("502", "PU04")


@contextlib.contextmanager
def program(world: World, role: str, address: str) -> Iterator[subprocess.Popen[str]]:
    """A gRPC program inside the network."""
    command = ["nsenter", f"--net={world.netns}", sys.executable, "-m", "tests.support.grpc_echo"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*command, role, address], stdin=pipe, stdout=pipe, text=True, cwd=ROOT
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_grpc_in_all_four_kinds_wakes_its_machine(tmp_path: Path) -> None:
    """A real client and server of gRPC: streams both ways, deadlines, statuses, from stopped."""
    with http_world(tmp_path, port=PORT, listening=False) as world:
        world.listener.close()

        def put(state: str) -> None:
            port = {"port": 80, "handlers": ["http"], **PORT}
            limits = {"type": "requests"}
            value = machine("m1", "a", MACHINE_IP, state, port=port, limits=limits)
            world.control.put("machine", value)

        put("stopped")
        with program(world, "client", f"[{APP_IP}]:80") as client:
            world.control.event("wake", machine="m1")
            put("starting")
            with program(world, "server", f"{MACHINE_IP}:{MACHINE_PORT}") as server:
                assert server.stdout is not None
                assert server.stdout.readline() == "ready\n"
                put("started")
                got = json.loads(client.communicate()[0])
        assert got == {
            "unary": ["one", "True"],
            "down": [200, "n199"],
            "up": "2000000",
            "both": ["0", "1", "2"],
            "refuse": ["ALREADY_EXISTS", "it is there: 100%", [0, 255]],
        }
