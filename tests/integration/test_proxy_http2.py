"""The `http` handler of the real proxy with clients that speak HTTP/2."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import resource
import select
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from h2.settings import SettingCodes

from tests.support.h2_peer import Frames, H2Peer, raw, request_fields
from tests.support.http_peer import DEADLINE_S, MACHINE_IP, World, get, http_world, ok
from tests.support.proxy_control import machine

pytestmark = pytest.mark.root

WINDOW = 65_535
"""What a stream may carry before its receiver makes room."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world with the defaults and unlimited `requests`."""
    with http_world(tmp_path) as made:
        yield made


def test_the_machine_gets_the_request_in_http1_with_the_documented_headers(world: World) -> None:
    """A request by prior knowledge arrives byte for byte as one of HTTP/1.1, cookies joined."""
    client = H2Peer(world.client())
    cookies = (("cookie", "a=1"), ("x-a", "b"), ("cookie", "c=2"), ("fly-client-ip", "::1"))
    stream = client.fetch("/p?q", *cookies)
    app = world.accept()
    assert app.head() == (
        "GET /p?q HTTP/1.1\r\nHost: a.flycast\r\nx-a: b\r\ncookie: a=1; c=2\r\n"
        "X-Forwarded-For: fdaa:0:1:0:2:0:5:2, fdaa:0:1:0:1::2\r\nX-Forwarded-Port: 80\r\n"
        "Fly-Client-IP: fdaa:0:1:0:2:0:5:2\r\nFly-Forwarded-Port: 80\r\nFly-Region: local\r\n"
        "X-Forwarded-Proto: http\r\nX-Forwarded-SSL: off\r\nVia: 2 fly.io\r\n\r\n"
    )
    app.send(ok("hi", "Server: app\r\nX-B: c\r\nConnection: X-C\r\nX-C: d\r\nKeep-Alive: 1\r\n"))
    response = client.response(stream)
    assert (response[":status"], response.body) == ("200", b"hi")
    names = [name for name, _ in response.fields]
    assert names == [":status", "content-length", "x-b", "date", "server", "via", "fly-request-id"]
    assert response["via"] == "2 fly.io"
    assert response["server"].startswith("Fly/")


def test_bodies_and_trailers_go_both_ways(world: World) -> None:
    """A body of unknown length is chunked to the Machine, a known one is not; trailers pass."""
    client = H2Peer(world.client())
    stream = client.request(request_fields(method="POST"), b"hello", more=True)
    client.trailers(stream, [("x-sum", "1")])
    app = world.accept()
    assert "\r\nTransfer-Encoding: chunked\r\n" in app.head()
    assert app.until(b"\r\n\r\n") == b"5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n"
    app.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: t\r\n\r\n")
    response = client.response(stream)
    assert (response.body, response.trailers) == (b"abc", [("x-t", "t")])
    known = request_fields("/", ("content-length", "5"), method="POST")
    stream = client.request(known, b"world")
    assert "\r\nContent-Length: 5\r\n" in app.head()
    assert app.take(5) == b"world"
    app.send("HTTP/1.1 204 No Content\r\n\r\n")
    assert client.response(stream)[":status"] == "204"


def test_the_absence_of_a_body_is_told_where_one_is_expected(world: World) -> None:
    """A POST that ends with its head has `Content-Length: 0` (RFC 9110, 8.6), a GET has none."""
    client = H2Peer(world.client())
    app = None
    for method, told in (("POST", 1), ("GET", 0)):
        stream = client.request(request_fields(method=method))
        app = app or world.accept()
        head = app.head()
        assert head.count("\r\nContent-Length: 0\r\n") == told
        assert "Transfer-Encoding" not in head
        app.send(ok())
        assert client.response(stream)[":status"] == "200"


def test_a_connection_goes_over_to_http2_by_upgrade(world: World) -> None:
    """A request with `Upgrade: h2c` is answered on stream 1 of its connection (RFC 7540, 3.2)."""
    offer = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    offer = offer.replace("Upgrade,", "Upgrade, TE,") + "TE: trailers\r\n"
    peer = world.client(get("/up", offer + "X-Long: " + "x" * 20_000 + "\r\n"))
    assert peer.head() == (
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    )
    client = H2Peer(peer, upgraded=True)
    app = world.accept()
    head = app.head()
    assert head.startswith("GET /up HTTP/1.1\r\nHost: a.flycast\r\nx-long: xxx")
    assert "h2c" not in head
    assert "\r\nTE: trailers\r\n" in head
    app.send(ok("first"))
    assert client.response(1).body == b"first"
    stream = client.fetch("/next")
    assert app.head().startswith("GET /next ")
    app.send(ok("second"))
    assert client.response(stream).body == b"second"


def test_interim_responses_and_head_requests(world: World) -> None:
    """1xx responses pass before the final one; a HEAD is answered with a length, without a body."""
    client = H2Peer(world.client())
    stream = client.request(request_fields(method="HEAD"))
    app = world.accept()
    assert app.head().startswith("HEAD / ")
    app.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    app.send("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n")
    response = client.response(stream)
    assert response.interim == [[(":status", "103"), ("link", "</a>")]]
    assert (response["content-length"], response.body) == ("7", b"")


def test_streams_of_one_connection_are_served_at_once(world: World) -> None:
    """A slow request does not hold up another of the same connection."""
    client = H2Peer(world.client())
    slow = client.fetch("/slow")
    first = world.accept()
    assert first.head().startswith("GET /slow ")
    quick = client.fetch("/quick")
    second = world.accept()
    second.head()
    second.send(ok("quick"))
    assert client.response(quick).body == b"quick"
    assert not client.streams[slow].fields
    first.send(ok("slow"))
    assert client.response(slow).body == b"slow"


def test_each_stream_counts_against_the_hard_limit(tmp_path: Path) -> None:
    """With a hard limit of 1 the second stream waits, and its turn comes when the first ends."""
    with http_world(tmp_path, limits={"hard_limit": 1}) as world:
        client = H2Peer(world.client())
        first, second = client.fetch("/1"), client.fetch("/2")
        app = world.accept()
        assert app.head().startswith("GET /1 ")
        world.queued(1)
        app.send(ok("one"))
        assert client.response(first).body == b"one"
        assert app.head().startswith("GET /2 ")
        app.send(ok("two"))
        assert client.response(second).body == b"two"


def test_a_reset_stream_gives_its_unit_back_and_ends_the_machines_request(tmp_path: Path) -> None:
    """RST_STREAM closes the Machine's connection, and the unit of load is free at once."""
    with http_world(tmp_path, limits={"hard_limit": 1}) as world:
        client = H2Peer(world.client())
        given_up, waiting = client.fetch("/1"), client.fetch("/2")
        app = world.accept()
        app.head()
        world.queued(1)
        client.reset(given_up)
        assert app.rest() == b""
        other = world.accept()
        assert other.head().startswith("GET /2 ")
        client.reset(waiting)
        assert other.rest() == b""
        world.queued(0)


def test_a_request_that_breaks_off_is_not_taken_for_a_whole_one(world: World) -> None:
    """A body in chunks whose stream is reset has no last chunk, a known one is too short."""
    client = H2Peer(world.client())
    for more in ((), (("content-length", "9"),)):
        stream = client.request(request_fields("/", *more, method="POST"), b"half", more=True)
        app = world.accept()
        app.head()
        app.until(b"half")
        client.reset(stream)
        assert app.rest() == (b"" if more else b"\r\n")


def test_a_stream_that_is_given_up_waits_no_more(tmp_path: Path) -> None:
    """Also one with more of a body than is read ahead leaves the queue when it is reset."""
    with http_world(tmp_path, limits={"hard_limit": 1}) as world:
        client = H2Peer(world.client())
        client.fetch("/1")
        waiting = client.request(request_fields("/2", method="POST"), b"x" * 16_384, more=True)
        client.data(waiting, b"x" * 16_384)
        world.queued(1)
        client.reset(waiting)
        world.queued(0)


def test_an_early_response_ends_the_request(world: World) -> None:
    """A response that is complete before its request is delivered; the rest is not wanted."""
    client = H2Peer(world.client())
    stream = client.request(request_fields(method="POST"), b"part", more=True)
    app = world.accept()
    app.head()
    app.send("HTTP/1.1 413 No\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
    response = client.response(stream)
    assert (response[":status"], response.body) == ("413", b"big")
    client.until(lambda: response.reset is not None)
    assert response.reset == 0


def test_a_broken_response_is_not_taken_for_a_whole_one(world: World) -> None:
    """A Machine that breaks off makes a reset stream after its head, and before it a 502."""
    client = H2Peer(world.client())
    stream = client.fetch()
    app = world.accept()
    app.head()
    app.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    client.head(stream)
    app.close()
    assert client.response(stream).reset == 2
    stream = client.fetch()
    app = world.accept()
    app.head()
    app.close()
    response = client.response(stream)
    assert (response[":status"], response["fly-error"]) == ("502", "PU02")
    assert world.control.event("log", code="PU02")["machine"] == "m1"


def test_grpc_clients_get_the_proxys_errors_as_their_own(tmp_path: Path) -> None:
    """A gRPC call that reaches no Machine ends with HTTP 200, status 14, and the code in words."""
    with http_world(tmp_path, listening=False, settings={"wake_timeout_ms": 50}) as world:
        client = H2Peer(world.client())
        grpc = (("content-type", "application/grpc+proto"), ("te", "trailers"))
        response = client.response(client.request(request_fields("/a.B/C", *grpc, method="POST")))
        assert (response[":status"], response["grpc-status"]) == ("200", "14")
        assert response["grpc-message"].startswith(response["fly-error"] + " ")
        assert response["content-type"] == "application/grpc"
        assert response.get("content-length") is None
        plain = client.response(client.fetch())
        assert plain[":status"] == "503"


def test_a_slow_reader_is_not_buffered_for(world: World) -> None:
    """What a client makes no room for stays with the Machine; other streams go on."""
    client = H2Peer(world.client(), hold=True)
    stream = client.fetch("/large")
    app = world.accept()
    app.head()
    app.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
    size = 64 << 20
    app.send(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n")
    sent = 0
    app.sock.setblocking(False)
    while select.select([], [app.sock], [], 0.2)[1]:
        sent += app.sock.send(b"x" * (1 << 16))
    client.until(lambda: len(client.streams[stream].body) == WINDOW)
    assert sent < 12 << 20, "what the sockets hold, and little more"
    assert world.peak_memory() < 64 << 20
    app.sock.settimeout(DEADLINE_S)
    other = client.fetch("/other")
    second = world.accept()
    second.head()
    second.send(ok())
    assert client.response(other)[":status"] == "200"


def test_an_upload_waits_for_the_machine(world: World) -> None:
    """A Machine that reads nothing makes the client's windows run out, whatever it would send."""
    world.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    client = H2Peer(world.client())
    stream = client.request(request_fields(method="POST"), b"", more=True)
    app = world.accept()
    sent = 0
    part = b"x" * 16_384
    # The socket to the Machine fills first, then the window.
    while sent < 64 << 20:
        room = client.conn.local_flow_control_window(stream)
        if room < len(part):
            if not select.select([client.peer.sock], [], [], 0.2)[0]:
                break
            assert client.step()
            continue
        client.data(stream, part)
        sent += len(part)
    assert sent < 12 << 20
    app.head()
    chunks = app.until(b"\r\n")
    assert int(chunks, 16) > 0
    client.reset(stream)


def test_what_a_client_may_not_do_has_its_own_answer(world: World) -> None:
    """CONNECT and unknown protocols get 501, and nobody is asked."""
    client = H2Peer(world.client())
    stream = client.request([(":method", "CONNECT"), (":authority", "a:1")])
    assert client.response(stream)[":status"] == "501"
    fields = request_fields(method="CONNECT")
    stream = client.request([*fields, (":protocol", "connect-udp")])
    assert client.response(stream)[":status"] == "501"
    assert world.untouched()


def test_plaintext_streams_are_redirected_where_https_is_asked_for(tmp_path: Path) -> None:
    """`force_https` answers each stream with 301, and the connection goes on."""
    with http_world(tmp_path, port={"force_https": True}) as world:
        client = H2Peer(world.client())
        for path in ("/a?b", "/c"):
            response = client.response(client.fetch(path))
            assert response[":status"] == "301"
            assert response["location"] == f"https://a.flycast{path}"
        assert world.untouched()


def test_websockets_open_by_extended_connect(world: World) -> None:
    """RFC 8441: CONNECT with `:protocol` becomes an upgrade in HTTP/1.1; bytes go both ways."""
    client = H2Peer(world.client())
    client.until(lambda: client.conn.remote_settings.enable_connect_protocol == 1)
    fields = request_fields("/chat", ("sec-websocket-version", "13"), method="CONNECT")
    stream = client.request([*fields[:1], (":protocol", "websocket"), *fields[1:]], more=True)
    app = world.accept()
    head = app.head()
    assert head.startswith("GET /chat HTTP/1.1\r\nHost: a.flycast\r\n")
    assert "\r\nupgrade: websocket\r\n" in head
    assert "\r\nConnection: Upgrade\r\n" in head
    key = re.search(r"sec-websocket-key: (\S+)", head)
    assert key is not None
    guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1((key[1] + guid).encode()).digest()).decode()
    app.send(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: chat\r\n\r\nhello"
    )
    response = client.head(stream)
    assert (response[":status"], response["sec-websocket-protocol"]) == ("200", "chat")
    assert response.get("sec-websocket-accept") is None
    client.data(stream, b"to the app")
    assert app.take(10) == b"to the app"
    load = world.control.event("load")["machines"]
    while "m1" not in load:
        load = world.control.event("load")["machines"]
    assert load["m1"] == {"7000": [1, 1]}
    client.until(lambda: client.streams[stream].body == b"hello")
    client.data(stream, b"", end=True)
    assert app.rest() == b""
    app.close()
    assert client.response(stream).ended


def test_a_websocket_that_is_refused_is_no_success(world: World) -> None:
    """A 200 to an upgrade would mean yes to a client of RFC 8441, so it becomes a 502."""
    client = H2Peer(world.client())
    for status, seen in (("403 No", "403"), ("200 OK", "502")):
        fields = request_fields("/chat", method="CONNECT")
        stream = client.request([*fields, (":protocol", "websocket")], more=True)
        app = world.accept()
        app.head()
        app.send(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno")
        response = client.response(stream)
        assert (response[":status"], response.body) == (seen, b"no")


def test_a_response_that_http2_cannot_have_is_the_machines_error(world: World) -> None:
    """A WebSocket's answer to another key makes a 502 with PU02, in the app's log too."""
    client = H2Peer(world.client())
    fields = request_fields("/chat", method="CONNECT")
    stream = client.request([*fields, (":protocol", "websocket")], more=True)
    app = world.accept()
    app.head()
    app.send(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    )
    response = client.response(stream)
    assert (response[":status"], response["fly-error"]) == ("502", "PU02")
    line = world.control.event("log")
    assert (line["code"], line["machine"]) == ("PU02", "m1")
    assert "another key" in line["message"]


@pytest.mark.parametrize("h2_backend", [False, True], ids=["http1", "http2"])
def test_the_largest_heads_have_room_for_the_proxys_fields(
    tmp_path: Path, h2_backend: bool
) -> None:
    """Heads near 64 KiB, or with nearly 128 fields, pass in both directions."""
    large = [[(f"x-{number}", "v" * size) for number in range(4)] for size in (16_280, 16_334)]
    many = [(f"x-{number}", "v") for number in range(126)]
    options = {"h2_backend": h2_backend, "compress": False}
    with http_world(tmp_path, port={"http_options": options}) as world:
        client = H2Peer(world.client())
        client.conn.decoder.max_header_list_size = 1 << 17
        for asked, answered in (large, (many, many)):
            stream = client.fetch("/", *asked)
            if h2_backend:
                app = H2Peer(world.accept(), client=False)
                app.conn.decoder.max_header_list_size = 1 << 17
                number, message = app.accept()
                assert set(asked) <= set(message.fields)
                app.answer(number, [(":status", "200"), *answered], b"ok")
                app.peer.close()
            else:
                peer = world.accept()
                assert peer.head().count("\r\nx-") == len(asked)
                lines = "".join(f"{name}: {value}\r\n" for name, value in answered)
                peer.send(ok("ok", lines))
                peer.close()
            response = client.response(stream)
            assert (response[":status"], response.body) == ("200", b"ok")
            assert set(answered) <= set(response.fields)


def test_idle_connections_are_told_and_closed(tmp_path: Path) -> None:
    """A connection without streams for the idle time gets GOAWAY without an error, and ends."""
    with http_world(tmp_path, settings={"http_idle_ms": 100}) as world:
        client = H2Peer(world.client())
        assert client.end() == 0


def test_a_stopping_proxy_lets_streams_finish(world: World) -> None:
    """At the end of the process GOAWAY comes, what was begun is answered, and that is the end."""
    client = H2Peer(world.client())
    stream = client.fetch()
    app = world.accept()
    app.head()
    world.control.send("stop", grace_ms=20_000)
    client.until(lambda: client.goaway is not None)
    app.send(ok("late"))
    assert client.response(stream).body == b"late"
    assert client.end() == 0
    client.peer.close()
    assert world.process.wait(DEADLINE_S) == 0


def test_a_client_that_takes_nothing_is_given_up(tmp_path: Path) -> None:
    """A response that a client makes no room for is reset after the idle time."""
    with http_world(tmp_path, settings={"http_idle_ms": 200}, limits={"hard_limit": 1}) as world:
        client = H2Peer(world.client(), hold=True)
        stream = client.fetch()
        app = world.accept()
        app.head()
        app.send(f"HTTP/1.1 200 OK\r\nContent-Length: {1 << 20}\r\n\r\n" + "x" * (1 << 17))
        assert client.response(stream).reset == 2
        assert client.end() == 0


@pytest.mark.parametrize(
    "frame",
    [
        raw(3, b"\0\0\0\x08", stream=1),
        raw(6, b"12345678"),
        raw(4),
        raw(2, b"\0\0\0\0\0", stream=1),
        raw(8, b"\0\0\0\1"),
        raw(0x77),
    ],
    ids=["RST_STREAM", "PING", "SETTINGS", "PRIORITY", "WINDOW_UPDATE", "unknown"],
)
def test_floods_of_frames_end_the_connection(world: World, frame: bytes) -> None:
    """Frames of no use without end are answered ENHANCE_YOUR_CALM, and the connection is closed."""
    client = Frames(world.client())
    client.send(client.headers(request_fields(), stream=1))
    world.accept()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        client.send(frame * 5000)
    assert client.failure() == ("connection", 11)


def test_rapid_reset_ends_the_connection(world: World) -> None:
    """Requests that are given up at once, without end, are answered ENHANCE_YOUR_CALM."""
    client = Frames(world.client())
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for stream in range(1, 10_001, 2):
            reset = raw(3, b"\0\0\0\x08", stream=stream)
            client.send(client.headers(request_fields(), stream=stream), reset)
    kind, code = client.failure()
    while kind != "connection":
        kind, code = client.failure()
    assert code == 11


def test_more_streams_than_allowed_are_refused(tmp_path: Path) -> None:
    """Beyond `http2_max_streams` a stream is refused; those before it are served."""
    with http_world(tmp_path, settings={"http2_max_streams": 2}) as world:
        client = Frames(world.client())
        for stream in (1, 3, 5):
            client.send(client.headers(request_fields(), stream=stream))
        assert client.failure() == ("stream", 7)
        world.accept().send(ok())
        assert client.failure() == ("status", 200)


def test_interim_responses_take_little_memory(world: World) -> None:
    """A few small interim heads pass; clients make no room for them, so more do not."""
    client = H2Peer(world.client())
    stream = client.fetch()
    app = world.accept()
    app.head()
    hints = [f"HTTP/1.1 103 Early Hints\r\nX-A: {'x' * size}\r\n\r\n" for size in (1, 60_000)]
    app.send(hints[0] * 20 + hints[1] + ok("ok"))
    response = client.response(stream)
    assert (response[":status"], response.body) == ("200", b"ok")
    assert response.interim == [[(":status", "103"), ("x-a", "x")]] * 8
    stream = client.fetch()
    app.head()
    app.send(hints[1] * 2 + ok("ok"))
    assert (client.response(stream).body, client.response(stream).interim) == (b"ok", [])


def test_streams_stay_in_the_budget_of_open_files(tmp_path: Path) -> None:
    """Each stream beside others counts as a connection; where none fits it is refused unharmed."""
    with http_world(tmp_path, files=1100) as world:
        room = world.control.call("stats")["stats"]["max_connections"]
        client = H2Peer(world.client())
        streams = [client.fetch() for _ in range(room + 4)]
        assert [client.response(stream).reset for stream in streams[room:]] == [7] * 4
        world.counted("connections", room)
        world.counted("streams", room - 1)
        apps = [world.accept() for _ in range(room)]
        for peer in apps:
            peer.head()
            peer.send(ok())
        assert [client.response(stream)[":status"] for stream in streams[:room]] == ["200"] * room
        world.counted("connections", 1)
        client.fetch()
        apps[-1].head()


def test_a_stream_counts_until_its_client_has_taken_it(world: World) -> None:
    """What of responses waits for a client that does not read is memory, though their Machines are
    free again.
    """
    settings = {SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20}
    client = H2Peer(world.client(room=4096), settings=settings)
    client.conn.increment_flow_control_window(1 << 30)
    client.flush()
    streams = [client.fetch() for _ in range(100)]
    for _ in streams:
        app = world.accept()
        app.head()
        app.send(ok("x" * 65_000, "Connection: close\r\n"))
    world.control.wait(lambda line: line["ev"] == "load" and "m1" in line["machines"])
    world.control.wait(lambda line: line["ev"] == "load" and not any(loads(line)))
    assert world.control.call("stats")["stats"]["streams"] > 9
    assert {len(client.response(stream).body) for stream in streams} == {65_000}
    world.counted("streams", 0)


def loads(line: dict[str, Any]) -> list[int]:
    """What the Machine m1 carries."""
    return [now for now, _ in line["machines"].get("m1", {}).values()]


def test_what_this_host_cannot_do_is_not_the_machines_fault(tmp_path: Path) -> None:
    """Without descriptors requests fail with PC06, and no Machine is left alone for it."""
    bounds = {"type": "requests", "hard_limit": 1}
    with http_world(tmp_path, limits=bounds) as world:
        port = {"port": 80, "handlers": ["http"]}
        other = machine("m2", "a", MACHINE_IP, port=port, limits=bounds)
        world.control.put("machine", other)
        client = H2Peer(world.client())
        client.until(lambda: client.conn.remote_settings.enable_connect_protocol == 1)
        process = world.process.pid
        limits = resource.prlimit(process, resource.RLIMIT_NOFILE)
        resource.prlimit(process, resource.RLIMIT_NOFILE, (0, limits[1]))
        for _ in range(4):
            assert client.response(client.fetch())[":status"] == "503"
        lines = [world.control.event("log") for _ in range(8)]
        assert {(line["code"], line.get("machine")) for line in lines} >= {
            ("PC06", "m1"),
            ("PC06", "m2"),
        }
        assert not any("calls in a row" in line["message"] for line in lines)
        resource.prlimit(process, resource.RLIMIT_NOFILE, limits)
        stream = client.fetch()
        app = world.accept()
        app.head()
        app.send(ok("again"))
        assert client.response(stream).body == b"again"


def test_uploads_that_wait_do_not_hold_up_the_one_that_is_served(tmp_path: Path) -> None:
    """Bodies sent ahead by requests in the queue leave window to the request whose turn it is."""
    with http_world(tmp_path, limits={"hard_limit": 1}) as world:
        client = H2Peer(world.client())
        client.until(lambda: client.conn.remote_settings.enable_connect_protocol == 1)
        post = request_fields(method="POST")
        first = client.request(post, b"", more=True)
        app = world.accept()
        app.head()
        part = 1 << 14
        for _ in range(17):
            waiting = client.request(post, b"", more=True)
            while (room := client.conn.local_flow_control_window(waiting)) > 0:
                client.data(waiting, b"x" * min(room, part))
        world.queued(17)
        client.until(lambda: client.conn.local_flow_control_window(first) >= part)
        client.data(first, b"y" * part, end=True)
        assert app.until(b"\r\n0\r\n\r\n").count(b"y") == part
        app.send(ok("first"))
        assert client.response(first).body == b"first"


def test_streams_are_compressed(world: World) -> None:
    """A stream's response is put into the content coding that its request takes."""
    client = H2Peer(world.client())
    stream = client.fetch("/", ("accept-encoding", "gzip"))
    app = world.accept()
    app.head()
    text = "a line of a response\n" * 1000
    app.send(ok(text, "Content-Type: text/plain\r\n"))
    response = client.response(stream)
    assert (response["content-encoding"], response.get("content-length")) == ("gzip", None)
    assert zlib.decompress(response.body, wbits=31) == text.encode()
