"""What RFC 9113 calls an error, sent raw to the real proxy: a table of mistakes and answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.support.h2_peer import PREFACE, Fields, Frames, raw, request_fields
from tests.support.http_peer import World, http_world

pytestmark = pytest.mark.root

PROTOCOL, INTERNAL, FLOW, CLOSED, SIZE, COMPRESSION, CALM = 1, 2, 3, 5, 6, 9, 11
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED, HAS_PRIORITY = 1, 4, 8, 0x20


@dataclass(frozen=True, slots=True)
class Mistake:
    """Frames, and the section that says what comes of them: an error of a stream or of all."""

    section: str
    what: str
    send: Callable[[Frames], list[bytes]]
    kind: str
    codes: tuple[int, ...]


def head(frames: Frames, fields: Fields | None = None, *, flags: int = 5, stream: int = 1) -> bytes:
    """A HEADERS frame."""
    block = frames.encoder.encode(request_fields() if fields is None else fields)
    return raw(HEADERS, block, flags=flags, stream=stream)


def fields(section: str, what: str, *some: tuple[str, str], drop: str = "") -> Mistake:
    """A request that is malformed by its fields: a stream error, or an answer 400."""
    kept = [field for field in request_fields() if field[0] != drop]
    made = [*kept, *some]
    return Mistake(section, what, lambda f: [head(f, made)], "stream", (PROTOCOL,))


def whole(section: str, what: str, code: int, *some: bytes) -> Mistake:
    """Frames that end the connection."""
    return Mistake(section, what, lambda _: list(some), "connection", (code,))


def after(section: str, what: str, kind: str, code: int, *some: bytes, flags: int = 4) -> Mistake:
    """Frames after the head of a request on stream 1, which is open unless ``flags`` end it."""
    return Mistake(section, what, lambda f: [head(f, flags=flags), *some], kind, (code,))


def setting(number: int, value: int) -> bytes:
    """A SETTINGS frame with one setting."""
    return raw(SETTINGS, number.to_bytes(2, "big") + value.to_bytes(4, "big"))


def window(size: int, stream: int = 0) -> bytes:
    """A WINDOW_UPDATE frame."""
    return raw(WINDOW, size.to_bytes(4, "big"), stream=stream)


POST = request_fields("/", ("content-length", "4"), method="POST")
MISTAKES = [
    whole("4.2", "a frame larger than agreed", SIZE, raw(DATA, b"x" * 16_385, stream=1)),
    Mistake(
        "4.3",
        "a header block that does not decompress",
        lambda _: [raw(HEADERS, b"\xff\xff\xff\xff\xff\xff", flags=5, stream=1)],
        "connection",
        (COMPRESSION,),
    ),
    after(
        "4.3", "a frame within a header block", "connection", PROTOCOL, raw(PING, b"x" * 8), flags=0
    ),
    after(
        "4.3",
        "CONTINUATION of another stream",
        "connection",
        PROTOCOL,
        raw(CONTINUATION, b"", flags=4, stream=3),
        flags=0,
    ),
    whole("5.1", "DATA on an idle stream", PROTOCOL, raw(DATA, b"x", stream=1)),
    whole("5.1", "RST_STREAM on an idle stream", PROTOCOL, raw(RST, b"\0\0\0\x08", stream=1)),
    whole("5.1", "WINDOW_UPDATE on an idle stream", PROTOCOL, window(1, 1)),
    whole(
        "5.1", "CONTINUATION on an idle stream", PROTOCOL, raw(CONTINUATION, b"", flags=4, stream=1)
    ),
    after(
        "5.1", "DATA on a half-closed stream", "stream", CLOSED, raw(DATA, b"x", stream=1), flags=5
    ),
    Mistake(
        "5.1", "HEADERS on a half-closed stream", lambda f: [head(f), head(f)], "stream", (CLOSED,)
    ),
    Mistake("5.1.1", "an even stream", lambda f: [head(f, stream=2)], "connection", (PROTOCOL,)),
    Mistake(
        "5.1.1",
        "a stream below one before it",
        lambda f: [head(f, stream=5), head(f, stream=3)],
        "connection",
        (PROTOCOL, CLOSED),
    ),
    Mistake(
        "5.3.1",
        "a stream that depends on itself",
        lambda _: [raw(PRIORITY, b"\0\0\0\x01\x10", stream=1)],
        "stream",
        (PROTOCOL,),
    ),
    whole("6.1", "DATA on stream 0", PROTOCOL, raw(DATA, b"x")),
    after(
        "6.1",
        "padding as long as the frame",
        "connection",
        PROTOCOL,
        raw(DATA, b"\x05abcd", flags=PADDED, stream=1),
    ),
    Mistake("6.2", "HEADERS on stream 0", lambda f: [head(f, stream=0)], "connection", (PROTOCOL,)),
    whole(
        "6.2",
        "HEADERS with too much padding",
        PROTOCOL,
        raw(HEADERS, b"\x09abc", flags=PADDED | 5, stream=1),
    ),
    whole("6.3", "PRIORITY on stream 0", PROTOCOL, raw(PRIORITY, b"\0\0\0\0\0")),
    whole("6.3", "PRIORITY of a wrong length", SIZE, raw(PRIORITY, b"\0\0\0\0", stream=1)),
    whole("6.4", "RST_STREAM on stream 0", PROTOCOL, raw(RST, b"\0\0\0\0")),
    after("6.4", "RST_STREAM of a wrong length", "connection", SIZE, raw(RST, b"\0\0\0", stream=1)),
    whole("6.5", "SETTINGS on a stream", PROTOCOL, raw(SETTINGS, stream=1)),
    whole("6.5", "SETTINGS of a wrong length", SIZE, raw(SETTINGS, b"\0" * 5)),
    whole("6.5", "an acknowledgment with settings", SIZE, raw(SETTINGS, b"\0" * 6, flags=1)),
    whole("6.5.2", "ENABLE_PUSH that is neither 0 nor 1", PROTOCOL, setting(2, 2)),
    whole("6.5.2", "INITIAL_WINDOW_SIZE above 2^31-1", FLOW, setting(4, 1 << 31)),
    whole("6.5.2", "MAX_FRAME_SIZE too small", PROTOCOL, setting(5, 16_383)),
    whole("6.5.2", "MAX_FRAME_SIZE too large", PROTOCOL, setting(5, 1 << 24)),
    whole("RFC 8441, 3", "ENABLE_CONNECT_PROTOCOL above 1", PROTOCOL, setting(8, 2)),
    whole(
        "6.6",
        "PUSH_PROMISE from a client",
        PROTOCOL,
        raw(PUSH, b"\0\0\0\x02", flags=END_HEADERS, stream=1),
    ),
    whole("6.7", "PING on a stream", PROTOCOL, raw(PING, b"x" * 8, stream=1)),
    whole("6.7", "PING of a wrong length", SIZE, raw(PING, b"x" * 7)),
    whole("6.8", "GOAWAY on a stream", PROTOCOL, raw(GOAWAY, b"\0" * 8, stream=1)),
    whole("6.9", "WINDOW_UPDATE of 0 for the connection", PROTOCOL, window(0)),
    after("6.9", "WINDOW_UPDATE of 0 for a stream", "stream", PROTOCOL, window(0, 1)),
    whole("6.9", "WINDOW_UPDATE of a wrong length", SIZE, raw(WINDOW, b"\0\0\x01")),
    whole("6.9.1", "a window above 2^31-1 for the connection", FLOW, window((1 << 31) - 1)),
    after("6.9.1", "a window above 2^31-1 for a stream", "stream", FLOW, window((1 << 31) - 1, 1)),
    after(
        "6.9.1",
        "more data than there is room for",
        "stream or connection",
        FLOW,
        *[raw(DATA, b"x" * 16_384, stream=1)] * 40,
    ),
    whole(
        "6.10",
        "CONTINUATION after a whole head",
        PROTOCOL,
        raw(CONTINUATION, b"", flags=4, stream=1),
    ),
    whole("3.4", "no SETTINGS at first", PROTOCOL, raw(PING, b"x" * 8)),
    fields("8.2.1", "a name in upper case", ("X-Upper", "1")),
    fields("8.2.1", "a space in a name", ("x y", "1")),
    fields("8.2.1", "an empty name", ("", "1")),
    fields("8.2.1", "a line end in a value", ("x", "a\r\nb: c")),
    fields("8.2.1", "a zero byte in a value", ("x", "a\0b")),
    fields("8.2.1", "white space before a value", ("x", " a")),
    fields("8.2.1", "white space behind a value", ("x", "a\t")),
    fields("8.2.2", "Connection", ("connection", "close")),
    fields("8.2.2", "Keep-Alive", ("keep-alive", "1")),
    fields("8.2.2", "Proxy-Connection", ("proxy-connection", "close")),
    fields("8.2.2", "Transfer-Encoding", ("transfer-encoding", "chunked")),
    fields("8.2.2", "Upgrade", ("upgrade", "websocket")),
    fields("8.2.2", "TE with more than trailers", ("te", "trailers, gzip")),
    fields("8.3", "a pseudo field behind others", ("x", "1"), (":path", "/"), drop=":path"),
    fields("8.3", "an unknown pseudo field", (":color", "red")),
    fields("8.3", "a response's pseudo field", (":status", "200")),
    fields("8.3.1", "no :method", drop=":method"),
    fields("8.3.1", "no :scheme", drop=":scheme"),
    fields("8.3.1", "no :path", drop=":path"),
    fields("8.3.1", "an empty :path", (":path", ""), drop=":path"),
    fields("8.3.1", "a path that is none", (":path", "a"), drop=":path"),
    fields("8.3.1", "two :path", (":path", "/b")),
    fields("8.3.1", "two :method", (":method", "GET")),
    fields("8.3.1", "Host unlike :authority", ("host", "b.flycast")),
    fields("8.3.1", "two Host", ("host", "a.flycast"), ("host", "a.flycast")),
    fields("8.3.1", "another host as :path", (":path", "http://b.flycast/"), drop=":path"),
    fields("8.3.1", "neither Host nor :authority", drop=":authority"),
    fields("RFC 8441, 4", ":protocol without CONNECT", (":protocol", "websocket")),
    Mistake(
        "8.5",
        "CONNECT with a path",
        lambda f: [head(f, request_fields(method="CONNECT"))],
        "stream",
        (PROTOCOL,),
    ),
    Mistake(
        "8.1.1",
        "less data than Content-Length",
        lambda f: [head(f, POST, flags=4), raw(DATA, b"abc", flags=1, stream=1)],
        "stream",
        (PROTOCOL,),
    ),
    Mistake(
        "8.1.1",
        "more data than Content-Length",
        lambda f: [head(f, POST, flags=4), raw(DATA, b"abcde", flags=1, stream=1)],
        "stream",
        (PROTOCOL,),
    ),
    Mistake(
        "8.1.1", "no data and a Content-Length", lambda f: [head(f, POST)], "stream", (PROTOCOL,)
    ),
    Mistake(
        "8.1",
        "trailers that do not end the stream",
        lambda f: [head(f, flags=4), head(f, [("x", "1")], flags=4)],
        "stream",
        (PROTOCOL,),
    ),
]
REFUSED = [
    ("8.3.1", "user information in :authority", [(":authority", "u@a")], ":authority", 400),
    ("RFC 9112, 3.2.4", "* without OPTIONS", [(":path", "*")], ":path", 400),
    ("10.5.1", "a head that is too large", [("x", "y" * 70_000)], "", 431),
    ("10.5.1", "too many fields", [(f"x{at}", "1") for at in range(140)], "", 431),
]


COARSE = {
    "a header block that does not decompress",
    "DATA on a half-closed stream",
    "HEADERS on a half-closed stream",
    "INITIAL_WINDOW_SIZE above 2^31-1",
    "WINDOW_UPDATE of 0 for a stream",
    "a name in upper case",
    "a space in a name",
    "an empty name",
    "a line end in a value",
    "a zero byte in a value",
    "an unknown pseudo field",
}
"""Where the library takes a stream's error for the connection's, or knows no better code."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One world for all mistakes: whoever makes one harms only itself."""
    with http_world(tmp_path_factory.mktemp("errors")) as made:
        yield made


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda one: f"{one.section}: {one.what}")
def test_mistakes_are_answered_as_the_standard_says(world: World, mistake: Mistake) -> None:
    """Each is an error of its stream or of the connection, with its section's code."""
    client = Frames(world.client(), begin=mistake.section != "3.4")
    if mistake.section == "3.4":
        client.peer.send(PREFACE)
    client.send(*mistake.send(client))
    kind, code = client.failure()
    if mistake.what in COARSE:
        assert (kind, code) == ("connection", PROTOCOL)
    else:
        assert kind in mistake.kind.split(" or ")
        assert code in mistake.codes
    client.peer.close()


@pytest.mark.parametrize(("section", "what", "more", "drop", "status"), REFUSED)
def test_what_the_proxy_does_not_pass_on_is_answered(
    world: World, section: str, what: str, more: Fields, drop: str, status: int
) -> None:
    """Requests that HTTP/2 can carry and HTTP/1.1 must not are answered by themselves."""
    assert section
    assert what
    client = Frames(world.client())
    kept = [field for field in request_fields() if field[0] != drop]
    pseudo = [field for field in more if field[0].startswith(":")]
    rest = [field for field in more if not field[0].startswith(":")]
    block = client.encoder.encode([*kept, *pseudo, *rest])
    parts = [block[at : at + 16_384] for at in range(0, len(block), 16_384)]
    frames = [raw(HEADERS, parts[0], flags=1 | (4 if len(parts) == 1 else 0), stream=1)]
    for at, part in enumerate(parts[1:], 2):
        frames.append(raw(CONTINUATION, part, flags=4 if at == len(parts) else 0, stream=1))
    client.send(*frames)
    assert client.failure() == ("status", status)
    client.peer.close()


def test_no_machine_was_touched_by_a_mistake_in_a_head(world: World) -> None:
    """A request that is malformed in its head reaches nobody."""
    while not world.untouched():
        pass
    for mistake in (one for one in MISTAKES if one.section in {"8.2.1", "8.2.2", "8.3", "8.3.1"}):
        client = Frames(world.client())
        client.send(*mistake.send(client))
        client.failure()
        client.peer.close()
    assert world.untouched()


def test_a_header_block_without_end_is_cut_off(world: World) -> None:
    """CONTINUATION frames without end are answered before they are many (CVE-2024-27316)."""
    client = Frames(world.client())
    block = client.encoder.encode([("x", "y" * 16_000)])
    client.send(raw(HEADERS, b"", flags=1, stream=1))
    kind = ""
    try:
        for _ in range(1000):
            client.send(raw(CONTINUATION, block, stream=1))
    except (BrokenPipeError, ConnectionResetError):
        kind = "connection"
    assert kind == "connection" or client.failure()[0] == "connection"


def test_a_compression_bomb_is_bounded(world: World) -> None:
    """A value that is remembered once and named a thousand times is too large a head."""
    client = Frames(world.client())
    client.encoder.header_table_size = 4096
    many = [*request_fields(), *[("x", "y" * 3000)] * 1000]
    before = world.peak_memory()
    client.send(head(client, many))
    assert client.failure() in {("status", 431), ("connection", CALM), ("connection", COMPRESSION)}
    assert world.peak_memory() - before < 8 << 20


def test_pseudo_fields_of_trailers_reach_no_machine(world: World) -> None:
    """What is no field of a request cannot become one behind its body (RFC 9113, 8.1)."""
    while not world.untouched():
        pass
    client = Frames(world.client())
    client.send(head(client, flags=4), head(client, [(":path", "/evil"), ("x-sum", "1")], flags=5))
    app = world.accept()
    app.head()
    assert app.until(b"\r\n\r\n") == b"0\r\nx-sum: 1\r\n\r\n"
    client.peer.close()
