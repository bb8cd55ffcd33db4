"""Responses that the real proxy compresses on their way, and those that it leaves alone."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.http_peer import APP_IP, MACHINE_IP, Peer, World, get, http_world, ok
from tests.support.proxy_control import app, machine

pytestmark = pytest.mark.root

TEXT = "all work and no play makes a dull response\n" * 2000
GZIP = "Accept-Encoding: gzip\r\n"
TYPE = "Content-Type: text/plain\r\n"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world with the defaults."""
    with http_world(tmp_path) as made:
        yield made


def chunks(client: Peer) -> Iterator[bytes]:
    """The data of each chunk until the last one, whose trailers are left unread."""
    while size := int(client.until(b"\r\n"), 16):
        yield client.take(size + 2)[:-2]


def exchange(world: World, asked: str, answer: str) -> tuple[Peer, str]:
    """A request and the Machine's answer to it; the head that the client gets."""
    client = world.client(get("/", asked))
    app = world.accept()
    app.head()
    app.send(answer)
    return client, client.head()


@pytest.mark.parametrize(
    "answer",
    [
        ok(TEXT, TYPE),
        f"HTTP/1.1 200 OK\r\n{TYPE}Transfer-Encoding: chunked\r\n\r\n"
        f"{len(TEXT):x}\r\n{TEXT}\r\n0\r\nX-Sum: 7\r\n\r\n",
    ],
    ids=["length", "chunks"],
)
def test_text_is_compressed_for_who_takes_it(world: World, answer: str) -> None:
    """The body comes back whole and much smaller, and the connection serves another request."""
    client, head = exchange(world, GZIP, answer)
    assert "\r\nContent-Encoding: gzip\r\n" in head
    assert "\r\nVary: Accept-Encoding\r\n" in head
    assert "Content-Length" not in head
    coded = b"".join(chunks(client))
    assert TEXT.encode() == zlib.decompress(coded, wbits=31)
    assert len(coded) < len(TEXT) / 20
    trailers = b"X-Sum: 7\r\n\r\n" if "X-Sum" in answer else b"\r\n"
    assert trailers == client.take(len(trailers))
    client.send(get("/again"))
    world.open[-1].head()


@pytest.mark.parametrize("coding", ["zstd", "br", "gzip", "deflate"])
def test_the_first_coding_of_ours_is_used(world: World, coding: str) -> None:
    """Of what the client takes, zstd goes before br, gzip and deflate."""
    order = ["deflate", "gzip", "br", "zstd"]
    taken = ", ".join(order[: order.index(coding) + 1])
    client, head = exchange(world, f"Accept-Encoding: {taken}\r\n", ok(TEXT, TYPE))
    assert f"\r\nContent-Encoding: {coding}\r\n" in head
    assert 0 < len(b"".join(chunks(client))) < len(TEXT) / 20


@pytest.mark.parametrize(
    ("asked", "fields", "body"),
    [
        ("", TYPE, TEXT),
        ("Accept-Encoding: gzip;q=0\r\n", TYPE, TEXT),
        (GZIP, "Content-Type: image/png\r\n", TEXT),
        (GZIP, "", TEXT),
        (GZIP, TYPE, "short"),
        (GZIP, f"{TYPE}Content-Encoding: identity\r\n", TEXT),
        (GZIP, f"{TYPE}Content-Encoding: none\r\n", TEXT),
        (GZIP, f"{TYPE}Cache-Control: no-transform\r\n", TEXT),
        (GZIP, "Content-Type: text/event-stream\r\n", TEXT),
    ],
)
def test_others_pass_untouched(world: World, asked: str, fields: str, body: str) -> None:
    """Who does not ask, what is coded, small, not text or forbidden, comes as it was sent."""
    client, head = exchange(world, asked, ok(body, fields))
    assert f"\r\nContent-Length: {len(body)}\r\n" in head
    assert "gzip" not in head
    assert body.encode() == client.take(len(body))


def test_an_old_client_gets_what_was_sent(world: World) -> None:
    """HTTP/1.0 has no chunks for a body whose length is not known beforehand."""
    with world.client(f"GET / HTTP/1.0\r\n{GZIP}\r\n") as client, world.accept() as app:
        app.head()
        app.send(ok(TEXT, TYPE))
        head = client.head()
        assert f"\r\nContent-Length: {len(TEXT)}\r\n" in head
        assert "gzip" not in head
        assert client.rest() == TEXT.encode()


def test_a_stream_is_not_held_back(world: World) -> None:
    """Each line can be read when the Machine has sent it, long before the body's end."""
    client = world.client(get("/", GZIP))
    app = world.accept()
    app.head()
    app.send(f"HTTP/1.1 200 OK\r\n{TYPE}\r\n")
    assert "gzip" in client.head()
    decoder = zlib.decompressobj(wbits=31)
    for number in range(5):
        line = f"line {number}\n".encode()
        app.send(line)
        got = b""
        for data in chunks(client):
            got += decoder.decompress(data)
            if got == line:
                break
    app.close()
    assert b"" == b"".join(decoder.decompress(data) for data in chunks(client))
    assert decoder.eof


def test_a_body_that_breaks_off_is_no_whole_one(world: World) -> None:
    """When the Machine goes in the middle of a body, the client's connection is reset."""
    client, head = exchange(
        world, GZIP, f"HTTP/1.1 200 OK\r\n{TYPE}Content-Length: 90000\r\n\r\n{TEXT[:50]}"
    )
    assert "gzip" in head
    next(chunks(client))
    world.open[-1].close()
    with pytest.raises((ConnectionResetError, AssertionError)):
        for _ in chunks(client):
            pass


@pytest.mark.parametrize("options", [{"compress": False}, {"response": {"pristine": True}}])
def test_an_app_can_turn_it_off(tmp_path: Path, options: dict[str, Any]) -> None:
    """With `compress = false`, or `response.pristine`, nothing is compressed."""
    with http_world(tmp_path, port={"http_options": options}) as world:
        client, head = exchange(world, GZIP, ok(TEXT, TYPE))
        assert "gzip" not in head
        assert TEXT.encode() == client.take(len(TEXT))


def test_no_app_has_all_encoders(world: World) -> None:
    """Beyond 32 responses at a time an app's are not compressed, beyond 128 in all nobody's; one
    that ends makes room.
    """
    options = {"port": 80, "handlers": ["http"]}

    def begun(to: str) -> tuple[Peer, str]:
        client = world.client(get("/", GZIP), to=to)
        peer = world.accept()
        peer.head()
        peer.send(f"HTTP/1.1 200 OK\r\n{TYPE}\r\n")
        return peer, client.head()

    peers = []
    for number in range(3, 7):
        address = f"fdaa:0:1:0:1::{number}"
        world.control.put("app", app(f"app-{number}", address))
        world.control.put(
            "machine", machine(f"n{number}", f"app-{number}", MACHINE_IP, port=options)
        )
        begins = [begun(address) for _ in range(33)]
        assert ["gzip" in head for _, head in begins] == [True] * 32 + [False], number
        peers += [peer for peer, _ in begins]
    assert "gzip" not in begun(APP_IP)[1]
    peers[0].close()
    world.counted("compressing", 127)
    assert "gzip" in begun("fdaa:0:1:0:1::3")[1]
