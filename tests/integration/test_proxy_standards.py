"""HTTP/1.1 as RFC 9110 and RFC 9112 have it: raw requests through the real proxy to a program that
keeps the raw bytes it gets, and raw responses back. A row names the section that it comes from.

crates/http1/tests has more spellings of the same; here is what becomes of them on the wire.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.http_peer import DEADLINE_S, World, get, http_world, post
from tests.support.http_recorder import Recorder

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces, which needs root"),
]

SENTINEL = get("/sentinel", "Connection: close\r\n")
SMALL_CHUNKS = "Transfer-Encoding: chunked\r\n"


@dataclass(frozen=True, slots=True)
class Stage:
    """One proxy for the whole table, and the program behind it."""

    world: World
    recorder: Recorder

    def send(self, sent: str | bytes) -> bytes:
        """All that comes back until the proxy closes."""
        data = sent.encode("latin-1") if isinstance(sent, str) else sent
        with self.world.client(data) as client:
            answer = client.rest()
        self.world.open.clear()
        return answer


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    recorder = Recorder()
    with (
        http_world(
            tmp_path_factory.mktemp("standards"), settings={"idle_pool_ms": 60_000}
        ) as world,
        recorder.running(world.listener),
    ):
        yield Stage(world, recorder)


def line(text: str) -> str:
    """A request with this first line."""
    return f"{text}\r\nHost: a.flycast\r\n\r\n"


REFUSED: list[tuple[str, str, int]] = [
    # Two readers could find different ends: RFC 9112, 6.1 and 6.3; RFC 9110, 8.6.
    (
        "9112 6.3 CL.TE",
        post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        400,
    ),
    (
        "9112 6.3 TE.CL",
        post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "0\r\n\r\n"),
        400,
    ),
    ("9112 6.3 CL.TE none", post("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"), 400),
    ("9112 6.3 not final", post("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n"), 400),
    ("9112 6.1 unknown", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501),
    ("9112 6.1 twice", post("Transfer-Encoding: chunked\r\n" * 2, "0\r\n\r\n"), 400),
    ("9112 6.1 listed twice", post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), 400),
    ("9112 6.1 identity", post("Transfer-Encoding: identity\r\n"), 400),
    ("9112 6.1 quoted", post('Transfer-Encoding: "chunked"\r\n', "0\r\n\r\n"), 400),
    ("9112 6.1 parameter", post("Transfer-Encoding: chunked;a=b\r\n", "0\r\n\r\n"), 400),
    ("9112 6.1 other word", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), 400),
    ("9112 6.1 vertical tab", post("Transfer-Encoding:\x0bchunked\r\n", "0\r\n\r\n"), 400),
    ("9112 6.1 empty member", post("Transfer-Encoding: ,chunked\r\n", "0\r\n\r\n"), 400),
    ("9112 6.1 empty", post("Transfer-Encoding:\r\n"), 400),
    ("9112 6.1 in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("9110 8.6 two lengths", post("Content-Length: 4\r\nContent-Length: 5\r\n", "abcd"), 400),
    ("9110 8.6 same twice", post("Content-Length: 4\r\nContent-Length: 4\r\n", "abcd"), 400),
    ("9110 8.6 list", post("Content-Length: 4, 4\r\n", "abcd"), 400),
    ("9110 8.6 plus", post("Content-Length: +4\r\n", "abcd"), 400),
    ("9110 8.6 minus", post("Content-Length: -4\r\n"), 400),
    ("9110 8.6 hex", post("Content-Length: 0x4\r\n", "abcd"), 400),
    ("9110 8.6 fraction", post("Content-Length: 4.0\r\n", "abcd"), 400),
    ("9110 8.6 underscore", post("Content-Length: 1_0\r\n", "abcd"), 400),
    ("9110 8.6 two words", post("Content-Length: 4 4\r\n", "abcd"), 400),
    ("9110 8.6 empty", post("Content-Length:\r\n"), 400),
    ("9110 8.6 overflow", post("Content-Length: 18446744073709551620\r\n", "abcd"), 400),
    # Lines that are no field lines: RFC 9112, 2.2, 5.1 and 5.2; RFC 9110, 5.1 and 5.5.
    ("9112 5.1 space before colon", post("Content-Length : 4\r\n", "abcd"), 400),
    ("9112 5.1 tab before colon", post("Transfer-Encoding\t: chunked\r\n", "0\r\n\r\n"), 400),
    ("9112 5.2 folded", get(fields="A: b\r\n c\r\n"), 400),
    ("9112 5.2 folded with tab", get(fields="A: b\r\n\tc\r\n"), 400),
    ("9112 5.2 folded framing", post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"), 400),
    ("9112 2.2 folded first", "GET / HTTP/1.1\r\n Host: b\r\nHost: a\r\n\r\n", 400),
    ("9112 2.2 bare LF", "GET / HTTP/1.1\nHost: a\n\n", 400),
    ("9112 2.2 one bare LF", get(fields="A: b\nContent-Length: 4\r\n"), 400),
    ("9112 2.2 LF at the end", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
    ("9112 2.2 bare CR", get(fields="A: b\rC: d\r\n"), 400),
    ("9112 2.2 CR CR LF", get(fields="A: b\r\r\n"), 400),
    ("9112 2.2 two empty lines", "\r\n\r\n" + get(), 400),
    ("9110 5.5 NUL", get(fields="A: b\0c\r\n"), 400),
    ("9110 5.5 control", get(fields="A: b\x01c\r\n"), 400),
    ("9110 5.5 DEL", get(fields="A: b\x7fc\r\n"), 400),
    ("9110 5.1 space in a name", get(fields="A b: c\r\n"), 400),
    ("9110 5.1 empty name", get(fields=": c\r\n"), 400),
    ("9110 5.1 no colon", get(fields="A\r\n"), 400),
    ("9110 5.1 no token", get(fields="A(b): c\r\n"), 400),
    ("9110 5.1 beyond ASCII", get(fields="\xe4: c\r\n"), 400),
    ("9110 5.1 NUL in a name", get(fields="Content-Length\0: 4\r\n"), 400),
    # The request line: RFC 9112, 3.
    ("9112 3 two spaces", line("GET  / HTTP/1.1"), 400),
    ("9112 3 tab", line("GET\t/\tHTTP/1.1"), 400),
    ("9112 3 space first", line(" GET / HTTP/1.1"), 400),
    ("9112 3 space last", line("GET / HTTP/1.1 "), 400),
    ("9112 3 four words", line("GET / / HTTP/1.1"), 400),
    ("9112 3.1 no token", line("G{T / HTTP/1.1"), 400),
    ("9112 2.3 HTTP/0.9", line("GET /"), 400),
    ("9112 2.3 lower case", line("GET / http/1.1"), 400),
    ("9112 2.3 no minor", line("GET / HTTP/1"), 400),
    ("9112 2.3 two digits", line("GET / HTTP/1.10"), 400),
    ("9110 15.6.6 HTTP/2.0", line("GET / HTTP/2.0"), 505),
    # 9110, 2.5 would have it served as 1.1; there is no such version, and who says so is no client.
    ("9110 15.6.6 HTTP/1.2", line("GET / HTTP/1.2"), 505),
    ("9110 15.6.6 HTTP/0.9 said", line("GET / HTTP/0.9"), 505),
    ("9112 3 long line", line(f"GET /{'x' * 17_000} HTTP/1.1"), 414),
    ("9112 3 long method", line(f"{'G' * 17_000} / HTTP/1.1"), 501),
    ("6585 5 large", get(fields=f"A: {'x' * 66_000}\r\n"), 431),
    ("6585 5 many", get(fields="A: b\r\n" * 200), 431),
    ("9110 7.6.1 many options", get(fields=f"Connection: {'a,' * 32_000}\r\n"), 400),
    # What is called: RFC 9112, 3.2; RFC 9110, 7.2.
    ("9112 3.2 no Host", "GET / HTTP/1.1\r\n\r\n", 400),
    ("9112 3.2 two Hosts", get(fields="Host: a.flycast\r\n"), 400),
    ("9112 3.2 another Host", get(fields="hOST: b\r\n"), 400),
    ("9112 3.2 list of Hosts", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    ("9112 3.2 user in Host", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
    ("9112 3.2 path in Host", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    ("9112 3.2 space in Host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    ("9112 3.2 port of words", "GET / HTTP/1.1\r\nHost: a:http\r\n\r\n", 400),
    ("9112 3.2.1 no slash", line("GET a HTTP/1.1"), 400),
    ("9112 3.2.1 fragment", line("GET /a#b HTTP/1.1"), 400),
    ("9112 3.2.1 beyond ASCII", line("GET /\xe4 HTTP/1.1"), 400),
    ("9112 3.2.1 control", line("GET /\x01 HTTP/1.1"), 400),
    ("9112 3.2.2 other scheme", line("GET ftp://a.flycast/ HTTP/1.1"), 400),
    ("9110 4.2.4 user in target", line("GET http://u:p@a.flycast/ HTTP/1.1"), 400),
    ("9112 3.2.2 absolute, no Host", "GET http://a.flycast/ HTTP/1.1\r\n\r\n", 400),
    ("9112 3.2.3 authority-form", line("GET a.flycast:80 HTTP/1.1"), 400),
    ("9112 3.2.4 asterisk", line("GET * HTTP/1.1"), 400),
    ("9110 9.3.6 CONNECT", "CONNECT a.flycast:80 HTTP/1.1\r\nHost: a.flycast:80\r\n\r\n", 501),
    ("9110 9.3.6 CONNECT a path", line("CONNECT / HTTP/1.1"), 501),
]


def named(rows: list[tuple[str, str, int]]) -> list[object]:
    return [pytest.param(sent, status, id=name) for name, sent, status in rows]


@pytest.mark.parametrize(("sent", "status"), named(REFUSED))
def test_a_request_that_is_none_reaches_no_machine(stage: Stage, sent: str, status: int) -> None:
    """It is answered by its status alone, and what is behind it on the connection is not served."""
    answer = stage.send(sent + SENTINEL)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert len(re.findall(rb"HTTP/1\.1 \d{3} ", answer)) == 1
    assert b"\r\nConnection: close\r\n" in answer
    assert stage.recorder.take() == []


CUT: list[tuple[str, str]] = [
    ("9112 7.1 no number", "zz\r\nabc\r\n0\r\n\r\n"),
    ("9112 7.1 empty size", "\r\nabc\r\n0\r\n\r\n"),
    ("9112 7.1 prefix", "0x3\r\nabc\r\n0\r\n\r\n"),
    ("9112 7.1 minus", "-3\r\nabc\r\n0\r\n\r\n"),
    ("9112 7.1 space before", " 3\r\nabc\r\n0\r\n\r\n"),
    ("9112 7.1 overflow", "10000000000000003\r\nabc\r\n0\r\n\r\n"),
    ("9112 7.1 bare LF", "3\nabc\r\n0\r\n\r\n"),
    ("9112 7.1 LF after data", "3\r\nabc\n0\r\n\r\n"),
    ("9112 7.1 more data", "3\r\nabcd\r\n0\r\n\r\n"),
    ("9112 7.1 less data", "3\r\nab\r\n0\r\n\r\n"),
    ("9112 7.1.1 LF in an extension", "3;a\nb\r\nabc\r\n0\r\n\r\n"),
    ("9112 7.1.1 CR in an extension", "3;a\rb\r\nabc\r\n0\r\n\r\n"),
    ("9112 7.1.1 NUL in an extension", "3;a\0b\r\nabc\r\n0\r\n\r\n"),
    ("9112 7.1.1 endless extension", "3;" + "x" * 70_000 + "\r\nabc\r\n0\r\n\r\n"),
    ("9112 7.1.2 folded trailer", "0\r\nA: b\r\n c\r\n\r\n"),
    ("9112 7.1.2 no field", "0\r\nA\r\n\r\n"),
    ("9112 7.1.2 space before colon", "0\r\nA : b\r\n\r\n"),
    ("9112 7.1.2 large trailers", "0\r\nA: " + "x" * 70_000 + "\r\n\r\n"),
]


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in CUT])
def test_a_body_that_is_none_is_never_whole(stage: Stage, body: str) -> None:
    """It is answered 400, the Machine sees no whole request, and what follows is not served."""
    answer = stage.send(post(SMALL_CHUNKS, body) + SENTINEL)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert len(re.findall(rb"HTTP/1\.1 \d{3} ", answer)) == 1
    assert stage.recorder.take() == []


@dataclass(frozen=True, slots=True)
class Passed:
    """A request, and what the Machine has to get of it: whole lines, and what must be gone."""

    sent: str
    first: str
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    body: bytes = b""


CHAIN = "X-Forwarded-For: fdaa:0:1:0:2:0:5:2, fdaa:0:1:0:1::2"
CLIENT = "Fly-Client-IP: fdaa:0:1:0:2:0:5:2"
PASSED: dict[str, Passed] = {
    "9110 8.6 length": Passed(
        post("Content-Length: 4\r\n", "abcd"),
        "POST / HTTP/1.1",
        ("Content-Length: 4",),
        (),
        b"abcd",
    ),
    "9110 8.6 spaces around": Passed(
        post("content-length: \t4 \r\n", "abcd"),
        "POST / HTTP/1.1",
        ("Content-Length: 4",),
        (),
        b"abcd",
    ),
    "9110 8.6 length on GET": Passed(
        get("/", "Content-Length: 4\r\n") + "abcd",
        "GET / HTTP/1.1",
        ("Content-Length: 4",),
        (),
        b"abcd",
    ),
    "9112 7.1 chunks": Passed(
        post(SMALL_CHUNKS, "3\r\nabc\r\n0\r\n\r\n"),
        "POST / HTTP/1.1",
        ("Transfer-Encoding: chunked",),
        ("Content-Length:",),
        b"3\r\nabc\r\n0\r\n\r\n",
    ),
    "9112 7.1 zeros and capitals": Passed(
        post("Transfer-Encoding: CHUNKED\r\n", "00A\r\n0123456789\r\n000\r\n\r\n"),
        "POST / HTTP/1.1",
        ("Transfer-Encoding: chunked",),
        (),
        b"00A\r\n0123456789\r\n000\r\n\r\n",
    ),
    "9112 7.1.2 trailers": Passed(
        post(SMALL_CHUNKS, "0\r\nContent-Length: 9\r\nX-Sum: 1\r\nFly-Client-IP: 1.2.3.4\r\n\r\n"),
        "POST / HTTP/1.1",
        ("Transfer-Encoding: chunked",),
        (),
        b"0\r\nX-Sum: 1\r\n\r\n",
    ),
    "9112 2.2 one empty line": Passed("\r\n" + get("/"), "GET / HTTP/1.1"),
    "9110 5.5 obs-text": Passed(get("/", "A: \xe4\xff\r\n"), "GET / HTTP/1.1", ("A: \xe4\xff",)),
    "9110 5.5 empty value": Passed(get("/", "A:\r\n"), "GET / HTTP/1.1", ("A: ",)),
    "9110 5.3 same name": Passed(
        get("/", "Cookie: a\r\nB: c\r\nCookie: d\r\n"),
        "GET / HTTP/1.1",
        ("Cookie: a", "B: c", "Cookie: d"),
    ),
    "9110 9.1 own method": Passed(line("BREW /pot HTTP/1.1"), "BREW /pot HTTP/1.1"),
    "9112 3.2.1 kept as it is": Passed(
        line("GET //a/../b/%2e%2e/;c?d=//e%00 HTTP/1.1"), "GET //a/../b/%2e%2e/;c?d=//e%00 HTTP/1.1"
    ),
    "9112 3.2.2 absolute": Passed(
        line("GET http://other.example:81/x HTTP/1.1"),
        "GET /x HTTP/1.1",
        ("Host: other.example:81",),
        ("Host: a.flycast",),
    ),
    "9112 3.2.2 absolute, no path": Passed(
        line("GET http://other.example?q HTTP/1.1"), "GET /?q HTTP/1.1", ("Host: other.example",)
    ),
    "9112 3.2.4 asterisk": Passed(line("OPTIONS * HTTP/1.1"), "OPTIONS * HTTP/1.1"),
    "9112 3.2.4 absolute asterisk": Passed(
        line("OPTIONS http://other.example HTTP/1.1"),
        "OPTIONS * HTTP/1.1",
        ("Host: other.example",),
    ),
    "9110 7.6.1 listed": Passed(
        get("/", "Connection: X-A, keep-alive\r\nX-A: 1\r\nKeep-Alive: timeout=5\r\nX-B: 2\r\n"),
        "GET / HTTP/1.1",
        ("X-B: 2",),
        ("X-A:", "Keep-Alive:", "Connection:"),
    ),
    "9110 7.6.1 listing the proxy's": Passed(
        get("/", "Connection: Fly-Client-IP, X-Forwarded-For, X-Forwarded-Proto, Host, Via\r\n"),
        "GET / HTTP/1.1",
        ("Host: a.flycast", CLIENT, CHAIN, "X-Forwarded-Proto: http", "Via: 1.1 fly.io"),
    ),
    "9110 7.6.1 listing the framing": Passed(
        post("Connection: Content-Length\r\nContent-Length: 4\r\n", "abcd"),
        "POST / HTTP/1.1",
        ("Content-Length: 4",),
        (),
        b"abcd",
    ),
    "9110 7.6.1 of old proxies": Passed(
        get("/", "Proxy-Connection: keep-alive\r\nProxy-Authorization: x\r\n"),
        "GET / HTTP/1.1",
        (),
        ("Proxy-Connection:",),
    ),
    "9110 10.1.4 TE": Passed(
        get("/", "TE: gzip, trailers\r\nConnection: TE\r\n"),
        "GET / HTTP/1.1",
        ("TE: trailers", "Connection: TE"),
        ("TE: gzip",),
    ),
    "9110 7.8 Upgrade unlisted": Passed(
        get("/", "Upgrade: websocket\r\n"), "GET / HTTP/1.1", (), ("Upgrade:", "Connection:")
    ),
    "9110 7.8 Upgrade with a body": Passed(
        post("Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 4\r\n", "abcd"),
        "POST / HTTP/1.1",
        ("Content-Length: 4",),
        ("Upgrade:", "Connection:"),
        b"abcd",
    ),
    "9110 7.8 h2c smuggled": Passed(
        get("/", "Connection: Upgrade\r\nUpgrade: h2c\r\n"),
        "GET / HTTP/1.1",
        (),
        ("Upgrade:", "Connection:"),
    ),
    "forged": Passed(
        get(
            "/",
            "Fly-Client-IP: 1.2.3.4\r\nfly-src: x\r\nX-Forwarded-Proto: https\r\nFly-Region: x\r\n",
        ),
        "GET / HTTP/1.1",
        (CLIENT, "X-Forwarded-Proto: http", "Fly-Region: local"),
        ("Fly-Client-IP: 1.2.3.4", "fly-src:", "X-Forwarded-Proto: https", "Fly-Region: x"),
    ),
    "forged with underscores": Passed(
        get("/", "Fly_Client_IP: 1.2.3.4\r\nContent_Length: 5\r\nX_Forwarded_For: 1.2.3.4\r\n"),
        "GET / HTTP/1.1",
        (CLIENT, CHAIN),
        ("Fly_Client_IP:", "Content_Length:", "X_Forwarded_For:"),
    ),
    "9110 7.6.3 Via": Passed(
        get("/", "Via: 1.0 other\r\n"), "GET / HTTP/1.1", ("Via: 1.0 other", "Via: 1.1 fly.io")
    ),
}


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in PASSED.items()])
def test_a_request_is_passed_on_as_the_only_thing_it_means(stage: Stage, row: Passed) -> None:
    """The Machine gets exactly that request and the next, and the client an answer to each."""
    answer = stage.send(row.sent + SENTINEL)
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 2
    got, sentinel = stage.recorder.take()
    assert sentinel.startswith(b"GET /sentinel HTTP/1.1\r\n")
    head, _, body = got.decode("latin-1").partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    assert first == row.first
    assert body.encode("latin-1") == row.body
    for expected in row.has:
        assert lines.count(expected) == 1, lines
    for start in row.lacks:
        assert not [one for one in lines if one.lower().startswith(start.lower())], lines
    for once in ("host:", "x-forwarded-for:", "fly-client-ip:"):
        assert sum(one.lower().startswith(once) for one in lines) == 1, lines


def test_a_request_of_http_1_0(stage: Stage) -> None:
    """Without Host the Machine gets the called address; the answer ends with the connection."""
    answer = stage.send("GET / HTTP/1.0\r\n\r\n" + SENTINEL)
    assert answer.endswith(b"\r\n\r\nok")
    (got,) = stage.recorder.take()
    assert got.startswith(b"GET / HTTP/1.1\r\nHost: [fdaa:0:1:0:1::2]\r\n")


BAD: dict[str, str] = {
    "9112 6.3 CL.TE": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx",
    "9110 8.6 two lengths": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
    "9110 8.6 list": "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\nx",
    "9110 8.6 plus": "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\nx",
    "9112 6.1 unknown": "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx",
    "9112 6.1 twice": "HTTP/1.1 200 OK\r\n" + SMALL_CHUNKS * 2 + "\r\n0\r\n\r\n",
    "9112 5.1 space before colon": "HTTP/1.1 200 OK\r\nContent-Length : 1\r\n\r\nx",
    "9112 5.2 folded": "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "9112 2.2 bare LF": "HTTP/1.1 200 OK\nContent-Length: 1\n\nx",
    "9112 2.2 split by LF": "HTTP/1.1 200 OK\r\nA: b\nSet-Cookie: c\r\nContent-Length: 0\r\n\r\n",
    "9112 2.2 split by CR": "HTTP/1.1 200 OK\r\nA: b\rSet-Cookie: c\r\nContent-Length: 0\r\n\r\n",
    "9110 5.5 NUL": "HTTP/1.1 200 OK\r\nA: b\0\r\nContent-Length: 0\r\n\r\n",
    "9112 4 no HTTP": "SSH-2.0-x\r\n\r\n",
    "9112 4 HTTP/2": "HTTP/2 200 OK\r\n\r\n",
    "9112 4 short status": "HTTP/1.1 20 OK\r\n\r\n",
    "9110 15 low status": "HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
    "9110 15.2.2 101 unasked": "HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    "9110 15.2 endless interim": "HTTP/1.1 100 Continue\r\n\r\n" * 100,
    "6585 5 large": f"HTTP/1.1 200 OK\r\nA: {'x' * 70_000}\r\nContent-Length: 0\r\n\r\n",
    "6585 5 many": "HTTP/1.1 200 OK\r\n" + "A: b\r\n" * 200 + "Content-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("raw", [pytest.param(raw, id=name) for name, raw in BAD.items()])
def test_a_response_that_is_none_is_not_passed_on(stage: Stage, raw: str) -> None:
    """The client gets 502 with the code; the next request is served on another connection."""
    stage.recorder.answers[b"/r"] = raw.encode("latin-1")
    answer = stage.send(get("/r") + SENTINEL)
    final = answer[answer.index(b"HTTP/1.1 502 ") :]
    assert answer[: -len(final)].replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"") == b""
    assert b"\r\nFly-Error: PU02\r\n" in final
    assert final.endswith(b"\r\n\r\nok")
    assert b"Set-Cookie" not in answer
    assert len(stage.recorder.take()) == 2


@dataclass(frozen=True, slots=True)
class Answer:
    """A raw response, and what the client has to get of it."""

    raw: str
    first: str
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    body: bytes = b""
    method: str = "GET"
    closes: bool = False


EVIL = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
CLIENT_CHUNKS = ("Transfer-Encoding: chunked",)
ANSWERS: dict[str, Answer] = {
    "9110 8.6 length": Answer(
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", "200 OK", ("Content-Length: 1",), (), b"x"
    ),
    "9112 6.3 more than the length": Answer(
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx" + EVIL, "200 OK", (), (), b"x"
    ),
    "9112 6.3 more than the chunks": Answer(
        "HTTP/1.1 200 OK\r\n" + SMALL_CHUNKS + "\r\n0\r\n\r\n" + EVIL,
        "200 OK",
        (),
        (),
        b"0\r\n\r\n",
    ),
    "9110 15.3.5 204 with a body": Answer(
        "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n" + EVIL,
        "204 No Content",
        (),
        ("Content-Length:", "Transfer-Encoding:"),
    ),
    "9110 15.4.5 304 with a length": Answer(
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
        "304 Not Modified",
        ("Content-Length: 9",),
    ),
    "9110 9.3.2 HEAD": Answer(
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
        "200 OK",
        ("Content-Length: 9",),
        method="HEAD",
    ),
    "9110 9.3.2 HEAD with a body": Answer(
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n" + EVIL,
        "200 OK",
        ("Content-Length: 4",),
        method="HEAD",
    ),
    "9112 6.3 until close": Answer(
        "HTTP/1.1 200 OK\r\n\r\nabc",
        "200 OK",
        CLIENT_CHUNKS,
        (),
        b"3\r\nabc\r\n0\r\n\r\n",
        closes=True,
    ),
    "9110 15.2 interim": Answer(
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "103 Early Hints",
        ("Link: x",),
    ),
    "9110 7.6.1 listed": Answer(
        "HTTP/1.1 200 OK\r\nConnection: X-A\r\nX-A: 1\r\nKeep-Alive: a\r\nContent-Length: 0\r\n"
        "\r\n",
        "200 OK",
        (),
        ("X-A:", "Keep-Alive:", "Connection:"),
    ),
    "9110 7.6.1 listing the framing": Answer(
        "HTTP/1.1 200 OK\r\nConnection: Content-Length\r\nContent-Length: 1\r\n\r\nx",
        "200 OK",
        ("Content-Length: 1",),
        (),
        b"x",
    ),
    "9112 7.1.2 trailers": Answer(
        "HTTP/1.1 200 OK\r\n" + SMALL_CHUNKS + "\r\n0\r\nSet-Cookie: a\r\nX-Sum: 1\r\n\r\n",
        "200 OK",
        CLIENT_CHUNKS,
        (),
        b"0\r\nX-Sum: 1\r\n\r\n",
    ),
}


@pytest.mark.parametrize("row", [pytest.param(row, id=name) for name, row in ANSWERS.items()])
def test_a_response_is_passed_on_as_the_only_thing_it_means(stage: Stage, row: Answer) -> None:
    """The client gets that response and, whatever came behind it, its next request's own."""
    stage.recorder.answers[b"/r"] = row.raw.encode("latin-1")
    stage.recorder.closing = {b"/r"} if row.closes else set()
    answer = stage.send(get("/r").replace("GET", row.method, 1) + SENTINEL)
    assert b"evil" not in answer
    head, _, rest = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    assert first == f"HTTP/1.1 {row.first}"
    for expected in row.has:
        assert lines.count(expected) == 1, lines
    for start in row.lacks:
        assert not [one for one in lines if one.startswith(start)], lines
    body, _, last = rest.partition(b"HTTP/1.1 200 OK\r\n")
    assert body == row.body
    assert last.endswith(b"\r\n\r\nok")
    assert len(stage.recorder.take()) == 2


def test_what_breaks_off_in_a_response_is_not_ended_cleanly(stage: Stage) -> None:
    """A Machine's chunk that is none resets the client in the middle of its response."""
    raw = "HTTP/1.1 200 OK\r\n" + SMALL_CHUNKS + "\r\n3\r\nabc\r\nzz\r\n"
    stage.recorder.answers[b"/r"] = raw.encode()
    with pytest.raises(ConnectionResetError):
        stage.send(get("/r") + SENTINEL)
    stage.recorder.take()


def test_a_cut_request_is_seen_as_cut(stage: Stage) -> None:
    """Once a Machine has the head of a request whose body goes wrong, its connection ends there."""
    with stage.world.client(post(SMALL_CHUNKS, "3\r\nabc\r\n")) as client:
        client.send("zz\r\n" + SENTINEL)
        assert client.rest().startswith(b"HTTP/1.1 400 ")
    stage.world.open.clear()
    cut = stage.recorder.cut.get(timeout=DEADLINE_S)
    assert b"sentinel" not in cut
    assert stage.recorder.take() == []
