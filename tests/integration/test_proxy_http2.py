"""The `http` handler of the real proxy with clients that speak HTTP/2."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.h2_peer import H2Peer, request_fields
from tests.support.http_peer import World, get, http_world, ok

pytestmark = pytest.mark.root


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


def test_a_connection_goes_over_to_http2_by_upgrade(world: World) -> None:
    """A request with `Upgrade: h2c` is answered on stream 1 of its connection (RFC 7540, 3.2)."""
    offer = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    peer = world.client(get("/up", offer + "X-Long: " + "x" * 20_000 + "\r\n"))
    assert peer.head() == (
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    )
    client = H2Peer(peer, upgraded=True)
    app = world.accept()
    head = app.head()
    assert head.startswith("GET /up HTTP/1.1\r\nHost: a.flycast\r\nx-long: xxx")
    assert "h2c" not in head
    app.send(ok("first"))
    assert client.response(1).body == b"first"
    stream = client.fetch("/next")
    assert app.head().startswith("GET /next ")
    app.send(ok("second"))
    assert client.response(stream).body == b"second"
