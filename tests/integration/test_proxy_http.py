"""The `http` handler of the real proxy, seen from both sides at the level of bytes."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.http_peer import (
    DEADLINE_S,
    MACHINE_IP,
    Peer,
    World,
    get,
    http_world,
    ok,
    post,
)
from tests.support.proxy_control import machine

pytestmark = pytest.mark.root

MIB = 1 << 20


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world with the defaults and unlimited `requests`."""
    with http_world(tmp_path) as made:
        yield made


def test_the_machine_gets_the_documented_headers(world: World) -> None:
    """The request arrives with the proxy's fields, byte for byte, and without forged ones."""
    client = world.client(
        get("/p?q", "Fly-Client-IP: ::1\r\nX-Forwarded-For: 9.9.9.9\r\nX-A: b\r\n")
    )
    app = world.accept()
    assert app.head() == (
        "GET /p?q HTTP/1.1\r\nHost: a.flycast\r\nX-A: b\r\n"
        "X-Forwarded-For: 9.9.9.9, fdaa:0:1:0:2:0:5:2, fdaa:0:1:0:1::2\r\nX-Forwarded-Port: 80\r\n"
        "Fly-Client-IP: fdaa:0:1:0:2:0:5:2\r\nFly-Forwarded-Port: 80\r\nFly-Region: local\r\n"
        "X-Forwarded-Proto: http\r\nX-Forwarded-SSL: off\r\nVia: 1.1 fly.io\r\n\r\n"
    )
    app.send(ok("hi", "Server: app\r\nX-B: c\r\n"))
    head, body = client.answer()
    assert re.fullmatch(
        r"HTTP/1\.1 200 OK\r\nContent-Length: 2\r\nX-B: c\r\n"
        r"Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\nServer: Fly/\S+ \(\S+\)\r\n"
        r"Via: 1\.1 fly\.io\r\nFly-Request-Id: [0-9A-HJKMNP-TV-Z]{26}-local\r\n\r\n",
        head,
    )
    assert b"hi" == body


def test_response_options_of_the_port_are_kept(tmp_path: Path) -> None:
    """`pristine` adds and alters nothing of ours; `headers` sets, lists and removes, last."""
    rules = {"X-Set": ["1"], "X-List": ["1", "2"], "X-Gone": []}
    options = {"http_options": {"response": {"pristine": True, "headers": rules}}}
    with http_world(tmp_path, port=options) as world:
        client = world.client(get())
        world.accept().send(ok("hi", "Server: app\r\nDate: d\r\nX-Gone: 1\r\nx-set: 0\r\n"))
        expected = "Server: app\r\nDate: d\r\nX-List: 1\r\nX-List: 2\r\nX-Set: 1\r\n"
        assert (f"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{expected}\r\n", b"hi") == client.answer()


def test_requests_share_one_connection_to_the_machine(world: World) -> None:
    """Several requests of several clients go over one kept connection to the Machine."""
    app = None
    for client in [world.client(), world.client()]:
        for path in ("/1", "/2"):
            client.send(get(path))
            app = app or world.accept()
            assert app.head().startswith(f"GET {path} ")
            app.send(ok(path))
            assert path.encode() == client.answer()[1]
    assert world.untouched()


def test_connections_are_new_for_each_request_when_they_are_what_is_counted(
    tmp_path: Path,
) -> None:
    """With `connections` each request has a connection of its own, and the Machine is told so."""
    with http_world(tmp_path, limits={"type": "connections"}) as world:
        client = world.client()
        for path in ("/1", "/2"):
            client.send(post("Content-Length: 2\r\n", "hi"))
            app = world.accept()
            assert "\r\nConnection: close\r\n" in app.head()
            assert b"hi" == app.take(2)
            app.send(ok(path))
            assert path.encode() == client.answer()[1]
            assert b"" == app.rest()


def test_bytes_flow_both_ways_before_the_request_ends(world: World) -> None:
    """A response begins and goes on while its request is still being sent."""
    client = world.client(post("Transfer-Encoding: chunked\r\n"))
    app = world.accept()
    app.head()
    app.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert client.head().startswith("HTTP/1.1 200 OK\r\n")
    for turn in range(5):
        chunk = f"1\r\n{turn}\r\n".encode()
        client.send(chunk)
        assert chunk == app.take(len(chunk))
        app.send(chunk)
        assert chunk == client.take(len(chunk))
    client.send("0\r\n\r\n")
    assert b"0\r\n\r\n" == app.take(5)
    app.send("0\r\n\r\n")
    assert b"0\r\n\r\n" == client.take(5)


def test_continue_is_asked_for_and_relayed(world: World) -> None:
    """`Expect` reaches the Machine before the body, and its 100 the client before the response."""
    client = world.client(post("Content-Length: 2\r\nExpect: 100-continue\r\n"))
    app = world.accept()
    assert "\r\nExpect: 100-continue\r\n" in app.head()
    app.send("HTTP/1.1 100 Continue\r\n\r\n")
    assert "HTTP/1.1 100 Continue\r\n\r\n" == client.head()
    client.send("hi")
    assert b"hi" == app.take(2)
    app.send("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + ok("done"))
    assert "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" == client.head()
    assert b"done" == client.answer()[1]


def test_a_refused_expectation_ends_the_connection(world: World) -> None:
    """A final response in place of 100 is relayed, and the unsent body closes the connection."""
    client = world.client(post("Content-Length: 2\r\nExpect: 100-continue\r\n"))
    app = world.accept()
    app.head()
    app.send("HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n")
    answer = client.rest()
    assert answer.startswith(b"HTTP/1.1 413 No\r\n")
    assert b"\r\nConnection: close\r\n" in answer
    assert b"" == app.rest()


def test_an_early_response_is_delivered_though_the_body_goes_on(world: World) -> None:
    """A response to half a request arrives whole, and the connection ends after it."""
    client = world.client(post(f"Content-Length: {MIB}\r\n", "x" * 1000))
    app = world.accept()
    app.head()
    app.send(ok("no"))
    head, body = client.answer()
    assert "\r\nConnection: close\r\n" in head
    assert b"no" == body
    client.send(b"x" * 1000)
    assert b"" == client.rest()


def test_silent_websockets_hold_no_buffers(world: World) -> None:
    """What carried a message or bulk gives its memory back, and the next message passes."""
    upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
    both: list[tuple[Peer, Peer]] = []

    def talk(client: Peer, app: Peer, size: int) -> None:
        for one, other in ((client, app), (app, client)):
            one.send(b"m" * size)
            assert other.take(size) == b"m" * size

    def open_and_talk(count: int) -> int:
        for _ in range(count):
            client = world.client(get("/", upgrade))
            app = world.accept()
            app.head()
            app.send(f"HTTP/1.1 101 Switching Protocols\r\n{upgrade}\r\n")
            client.head()
            for size in (10, 300_000, 10):
                talk(client, app, size)
            both.append((client, app))
        return world.memory()

    before = open_and_talk(50)
    assert (open_and_talk(200) - before) / 200 < 13 << 10
    talk(*both[0], 300_000)


def test_a_connection_with_something_left_is_not_used_again(tmp_path: Path) -> None:
    """What a Machine answers to half a request, or with more than an answer, is delivered; its
    connection ends, so that nothing of the last request can be taken for the next one's."""
    with http_world(tmp_path, settings={"idle_pool_ms": 60_000}) as world:
        for count, sent in ((1, post("Content-Length: 9\r\n", "x")), (2, get())):
            client = world.client(sent)
            app = world.accept()
            app.head()
            app.send(ok("no") * count)
            assert b"no" == client.answer()[1]
            assert not app.rest().strip(b"x")


def test_a_websocket_is_tunnelled_and_counts_for_its_whole_life(tmp_path: Path) -> None:
    """After 101 bytes pass both ways untouched, and the unit of load is held until the end."""
    with http_world(tmp_path, limits={"hard_limit": 1}) as world:
        key = base64.b64encode(b"0123456789abcdef").decode()
        client = world.client(
            get(
                "/ws",
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                f"Sec-WebSocket-Key: {key}\r\n",
            )
        )
        app = world.accept()
        head = app.head()
        assert "\r\nUpgrade: websocket\r\n" in head
        assert "\r\nConnection: Upgrade\r\n" in head
        proof = hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        accept = base64.b64encode(proof).decode()
        app.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\nfirst"
        )
        head = client.head()
        assert head.startswith("HTTP/1.1 101 ")
        assert f"\r\nSec-WebSocket-Accept: {accept}\r\n" in head
        assert b"first" == client.take(5)
        other = world.client(get("/other"))
        for frame in (b"\x81\x02hi", b"\0" * 70_000):
            client.send(frame)
            assert frame == app.take(len(frame))
            app.send(frame)
            assert frame == client.take(len(frame))
        assert world.untouched()
        client.close()
        assert b"" == app.rest()
        app.close()
        second = world.accept()
        assert second.head().startswith("GET /other ")
        second.send(ok())
        assert other.head().startswith("HTTP/1.1 200 ")


def test_trailers_pass_both_ways_and_forged_ones_do_not(world: World) -> None:
    """Fields after the chunks go through, but for those that frame, route or identify."""
    client = world.client(
        post(
            "Transfer-Encoding: chunked\r\n", "1\r\na\r\n0\r\nSum: 1\r\nFly-Client-IP: ::1\r\n\r\n"
        )
    )
    app = world.accept()
    app.head()
    assert b"1\r\na\r\n0\r\nSum: 1\r\n\r\n" == app.until(b"\r\n\r\n")
    app.send(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        "1\r\nb\r\n0\r\nSum: 2\r\nContent-Length: 9\r\n\r\n"
    )
    client.head()
    assert b"1\r\nb\r\n0\r\nSum: 2\r\n\r\n" == client.until(b"\r\n\r\n")


def test_responses_without_a_body_do_not_wait_for_one(world: World) -> None:
    """HEAD, 204 and 304 end with their head, whatever length it tells of."""
    client, app = world.client(), None
    for method, answer in (
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
    ):
        client.send(get().replace("GET", method, 1))
        app = app or world.accept()
        app.head()
        app.send(answer)
        assert client.head().startswith(answer.split("\r\n", 1)[0])
    client.send(get("/last"))
    assert app is not None
    assert app.head().startswith("GET /last ")
    app.send(ok("end"))
    assert b"end" == client.answer()[1]
    assert world.untouched()


@pytest.mark.parametrize("fields", ["", "Connection: keep-alive\r\n"])
def test_old_clients_get_plain_bodies(world: World, fields: str) -> None:
    """An HTTP/1.0 client gets the data of chunks, without interim responses, ended by the close
    though it would have gone on."""
    client = world.client(f"GET / HTTP/1.0\r\n{fields}\r\n")
    app = world.accept()
    assert "\r\nHost: [fdaa:0:1:0:1::2]\r\n" in app.head()
    app.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    app.send("3\r\nabc\r\n3\r\ndef\r\n0\r\nA: b\r\n\r\n")
    head = client.head()
    assert "HTTP/1.1 200 OK" == head.split("\r\n", 1)[0]
    assert "chunked" not in head
    assert b"abcdef" == client.rest()


def test_a_body_that_ends_by_close_is_chunked_for_the_client(world: World) -> None:
    """The client can tell the end of such a body from a lost one, and keeps its connection."""
    client = world.client(get())
    app = world.accept()
    app.head()
    app.send("HTTP/1.0 200 OK\r\n\r\nabc")
    assert "\r\nTransfer-Encoding: chunked\r\n" in client.head()
    assert b"3\r\nabc\r\n" == client.take(8)
    app.close()
    assert b"0\r\n\r\n" == client.take(5)
    client.send(get("/next"))
    assert world.accept().head().startswith("GET /next ")


def test_large_bodies_pass_in_little_memory(world: World) -> None:
    """64 MiB each way, at once, arrive unchanged while the proxy stays small."""
    before = world.peak_memory()
    size, piece = 64 * MIB, bytes(range(256)) * 256
    client = world.client(post(f"Content-Length: {size}\r\n"))
    app = world.accept()
    app.head()
    app.send(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n")
    client.head()

    def pour(peer: Peer, pieces: int) -> None:
        for _ in range(pieces):
            peer.send(piece)

    def digest(peer: Peer) -> str:
        seen, left = hashlib.sha256(), size
        while left:
            data = peer.take(min(left, len(piece)))
            seen.update(data)
            left -= len(data)
        return seen.hexdigest()

    digests: list[str] = []
    pieces = size // len(piece)
    answering = threading.Thread(target=pour, args=(app, pieces - 1))

    def read_all_then_end_the_answer() -> None:
        digests.append(digest(app))
        answering.join()
        app.send(piece)

    threads = [
        answering,
        threading.Thread(target=pour, args=(client, pieces)),
        threading.Thread(target=read_all_then_end_the_answer),
    ]
    for thread in threads:
        thread.start()
    digests.append(digest(client))
    for thread in threads:
        thread.join()
    expected = hashlib.sha256(piece * pieces).hexdigest()
    assert [expected, expected] == digests
    assert world.peak_memory() - before < 16 * MIB


@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_leaves_frees_the_machine(tmp_path: Path, reset: bool) -> None:
    """Its connection to the Machine ends, and its unit of load goes to the next in line."""
    with http_world(tmp_path, limits={"hard_limit": 1}) as world:
        client = world.client(get("/slow"))
        app = world.accept()
        app.head()
        waiting = world.client(get("/next"))
        if reset:
            client.reset()
        else:
            client.close()
        assert b"" == app.rest()
        second = world.accept()
        assert second.head().startswith("GET /next ")
        second.send(ok("yes"))
        assert b"yes" == waiting.answer()[1]


def test_a_client_that_leaves_the_queue_is_not_served(tmp_path: Path) -> None:
    """A request whose client is gone before its turn never reaches the Machine."""
    with http_world(tmp_path, limits={"hard_limit": 1}) as world:
        client = world.client(get("/first"))
        app = world.accept()
        app.head()
        leaver = world.client(get("/leaver"))
        world.queued(1)
        leaver.close()
        world.queued(0)
        stayer = world.client(get("/stayer"))
        app.send(ok("1"))
        assert b"1" == client.answer()[1]
        assert app.head().startswith("GET /stayer ")
        app.send(ok("2"))
        assert b"2" == stayer.answer()[1]


@pytest.mark.parametrize("client_breaks", [False, True])
def test_a_tunnel_that_breaks_off_is_never_ended_cleanly(world: World, client_breaks: bool) -> None:
    """What one side of an upgraded connection resets is a reset for the other."""
    client = world.client(get("/", "Connection: Upgrade\r\nUpgrade: x\r\n"))
    app = world.accept()
    app.head()
    app.send("HTTP/1.1 101 Up\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nabc")
    client.until(b"abc")
    breaks, sees = (client, app) if client_breaks else (app, client)
    breaks.reset()
    with pytest.raises(ConnectionResetError):
        sees.rest()


@pytest.mark.parametrize(
    "begin",
    [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ],
)
@pytest.mark.parametrize("reset", [False, True])
def test_a_response_that_breaks_off_is_never_ended_cleanly(
    world: World, begin: str, reset: bool
) -> None:
    """A client sees a reset, not an end, when the Machine goes in the middle of a body."""
    client = world.client(get())
    app = world.accept()
    app.head()
    app.send(begin)
    client.until(b"abc")
    if reset:
        app.reset()
    else:
        app.close()
    with pytest.raises(ConnectionResetError):
        client.rest()


def test_pipelined_requests_are_answered_in_order(world: World) -> None:
    """Requests sent at once, bodies between, come one by one to the Machine and back in order."""
    client = world.client(
        get("/1")
        + post("Content-Length: 3\r\n", "abc")
        + post("Transfer-Encoding: chunked\r\n")
        + "1\r\nx\r\n0\r\n\r\n"
        + get("/4")
    )
    app = world.accept()
    for number, body in enumerate((b"", b"abc", b"1\r\nx\r\n0\r\n\r\n", b"")):
        app.head()
        assert body == app.take(len(body))
        assert b"" == app.buffer
        app.send(ok(str(number)))
        assert str(number).encode() == client.answer()[1]


def test_the_hard_limit_queues_requests_in_order(tmp_path: Path) -> None:
    """Above the hard limit a request waits for its turn; an idle client holds no unit."""
    with http_world(tmp_path, limits={"hard_limit": 1}) as world:
        idle = world.client(get("/0"))
        app = world.accept()
        app.head()
        app.send(ok("0"))
        assert b"0" == idle.answer()[1]
        first = world.client(get("/1"))
        assert app.head().startswith("GET /1 ")
        with ExitStack() as stack:
            waiting = [stack.enter_context(world.client()) for _ in range(3)]
            for number, client in enumerate(waiting):
                client.send(get(f"/w{number}"))
                world.queued(number + 1)
            app.send(ok("1"))
            assert b"1" == first.answer()[1]
            for number, client in enumerate(waiting):
                assert app.head().startswith(f"GET /w{number} ")
                app.send(ok(str(number)))
                assert str(number).encode() == client.answer()[1]
        assert world.untouched()


def test_the_queue_ends_with_503(tmp_path: Path) -> None:
    """Past the deadline a waiting request gets 503 with its code, and keeps its connection."""
    settings = {"queue_timeout_ms": 100}
    with http_world(tmp_path, settings=settings, limits={"hard_limit": 1}) as world:
        world.client(get("/first"))
        app = world.accept()
        app.head()
        client = world.client(get("/second"))
        head, body = client.answer()
        assert head.startswith("HTTP/1.1 503 Service Unavailable\r\n")
        code = re.search(r"\r\nFly-Error: (\w{4})\r\n", head)
        assert code is not None
        assert body.decode().startswith(code[1])
        assert "Connection: close" not in head
        log = world.control.event("log", app="a", code=code[1])
        identity = re.search(r"Fly-Request-Id: (\S+)", head)
        assert identity is not None
        assert f"{identity[1]} GET http://a.flycast/second" == log["request"]


def test_an_unused_connection_that_ended_is_replaced(world: World) -> None:
    """A request that a dying kept connection swallows is sent again once, if it may be."""
    client = world.client(get("/1"))
    app = world.accept()
    app.head()
    app.send(ok("1"))
    assert b"1" == client.answer()[1]
    client.send(get("/2"))
    app.head()
    app.close()
    second = world.accept()
    assert second.head().startswith("GET /2 ")
    second.send(ok("2"))
    assert b"2" == client.answer()[1]
    client.send(post("Content-Length: 1\r\n", "x"))
    second.head()
    second.take(1)
    second.close()
    head, body = client.answer()
    assert head.startswith("HTTP/1.1 502 Bad Gateway\r\n")
    assert body.startswith(b"PU02 ")
    assert world.untouched()


def test_a_connection_that_ended_while_unused_is_not_taken(world: World) -> None:
    """A request that may not be repeated does not go to a kept connection that has ended."""
    client = world.client(get("/1"))
    app = world.accept()
    app.head()
    app.send(ok("1"))
    assert b"1" == client.answer()[1]
    app.close()
    client.send(post("Content-Length: 1\r\n", "x"))
    second = world.accept()
    assert second.head().startswith("POST / ")
    second.send(ok("2"))
    assert b"2" == client.answer()[1]


def test_a_new_connection_that_ends_is_not_tried_again(world: World) -> None:
    """A Machine that takes a request and closes gave no answer; the request is not sent twice."""
    client = world.client(get("/1"))
    app = world.accept()
    app.head()
    app.close()
    assert client.answer()[0].startswith("HTTP/1.1 502 ")
    assert world.untouched()


def test_a_response_that_cannot_be_passed_on_is_502(world: World) -> None:
    """The client gets the code and the request id, the app's log the same, and the Machine's
    connection is not used again."""
    client = world.client(get("/x"))
    app = world.accept()
    app.head()
    app.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx")
    head, body = client.answer()
    assert head.startswith("HTTP/1.1 502 Bad Gateway\r\n")
    assert "\r\nFly-Error: PU02\r\n" in head
    assert re.fullmatch(r"PU02 .+ \(request \S+-local\)\n", body.decode())
    log = world.control.event("log", app="a", code="PU02")
    assert "m1" == log["machine"]
    assert log["request"].endswith(" GET http://a.flycast/x")
    assert b"" == app.rest()


def test_a_machine_that_refuses_is_503(tmp_path: Path) -> None:
    """When nothing listens at the Machine's port until the deadline, the client gets 503."""
    settings = {"wake_timeout_ms": 200, "queue_timeout_ms": 200}
    with http_world(tmp_path, settings=settings, listening=False) as world:
        head, body = world.client(get()).answer()
        assert head.startswith("HTTP/1.1 503 Service Unavailable\r\n")
        assert re.search(r"\r\nFly-Error: P\w\d\d\r\n", head)
        assert b"7000" in body


def test_force_https_redirects(tmp_path: Path) -> None:
    """Each plaintext request is sent to https, the connection stays, no Machine is touched; one
    with a body is the last, since nobody reads that."""
    with http_world(tmp_path, port={"force_https": True}) as world:
        client = world.client(get("/a?b") + get("/c"))
        assert "\r\nLocation: https://a.flycast/a?b\r\n" in client.answer()[0]
        head = client.answer()[0]
        assert head.startswith("HTTP/1.1 301 ")
        assert "\r\nLocation: https://a.flycast/c\r\n" in head
        client.send(post(f"Content-Length: {len(get())}\r\n", get()))
        assert "\r\nConnection: close\r\n" in client.answer()[0]
        assert client.rest() == b""
        assert world.untouched()


def test_silence_ends_a_connection(tmp_path: Path) -> None:
    """A half-sent head gets 408; a client that sent nothing is closed without a word."""
    with http_world(tmp_path, settings={"http_idle_ms": 100, "head_timeout_ms": 100}) as world:
        assert b"" == world.client().rest()
        assert world.client("GET / HT").rest().startswith(b"HTTP/1.1 408 ")
        assert world.untouched()


def test_a_machine_that_says_nothing_is_502(tmp_path: Path) -> None:
    """No byte in either direction for the idle time ends the exchange."""
    with http_world(tmp_path, settings={"http_idle_ms": 100}) as world:
        client = world.client(get())
        app = world.accept()
        app.head()
        head, body = client.answer()
        assert head.startswith("HTTP/1.1 502 ")
        assert body.startswith(b"PU02 ")
        assert b"" == app.rest()


def test_kept_connections_rest_only_shortly(tmp_path: Path) -> None:
    """An unused connection to a Machine is closed after `idle_pool_ms`, though the client stays."""
    with http_world(tmp_path, settings={"idle_pool_ms": 100}) as world:
        client = world.client(get())
        app = world.accept()
        app.head()
        app.send(ok("1"))
        client.answer()
        assert b"" == app.rest()
        client.send(get())
        world.accept().send(ok("2"))
        assert b"2" == client.answer()[1]


def test_a_drained_machine_has_no_unused_connection(tmp_path: Path) -> None:
    """`drain` closes what rests in the pools before it is acknowledged."""
    with http_world(tmp_path, settings={"idle_pool_ms": 60_000}) as world:
        client = world.client(get())
        app = world.accept()
        app.head()
        app.send(ok("1"))
        client.answer()
        while not world.control.call("drain", machine="m1", if_idle=True)["drained"]:
            pass
        app.sock.setblocking(False)
        assert b"" == app.sock.recv(1)


def test_who_does_not_read_the_proxy_s_answers_is_reset(tmp_path: Path) -> None:
    """A client that sends requests and reads no answer does not hold its connection for ever."""
    idle = {"http_idle_ms": 200}
    with http_world(tmp_path, settings=idle, port={"force_https": True}) as world:
        client = world.client()
        client.sock.settimeout(DEADLINE_S)
        requests = get() * 1_000_000
        with pytest.raises(ConnectionError):
            client.send(requests)
        world.counted("connections", 0)


def test_a_udp_service_says_nothing_of_requests(world: World) -> None:
    """Another service of the same internal port over UDP does not change what a unit of load is."""
    value = machine(
        "m1",
        "a",
        MACHINE_IP,
        port={"port": 80, "handlers": ["http"]},
        limits={"type": "requests"},
    )
    udp = {"protocol": "udp", "internal_port": 7000, "ports": [{"port": 53}]}
    world.control.put("machine", {**value, "services": [udp, *value["services"]]})
    client = world.client(get())
    inside = world.accept()
    for _ in range(2):
        assert "Connection: close" not in inside.head()
        inside.send(ok())
        client.answer()
        client.send(get())


def test_a_stopping_proxy_lets_idle_clients_go_and_requests_end(world: World) -> None:
    """On `stop` an idle client is closed, a request under way answered, and the proxy exits 0."""
    idle = world.client(get("/1"))
    app = world.accept()
    app.head()
    app.send(ok("1"))
    assert b"1" == idle.answer()[1]
    busy = world.client(get("/2"))
    app.head()
    world.control.call("stop", grace_ms=20_000)
    assert b"" == idle.rest()
    app.send(ok("2"))
    assert b"2" == busy.answer()[1]
    assert b"" == busy.rest()
    assert 0 == world.process.wait(20)


def test_a_client_that_stalls_in_its_body_gets_408(tmp_path: Path) -> None:
    """A body that stops coming is the client's failure, and frees the Machine."""
    with http_world(tmp_path, settings={"http_idle_ms": 100}) as world:
        client = world.client(post("Content-Length: 9\r\n", "abc"))
        app = world.accept()
        app.head()
        assert client.rest().startswith(b"HTTP/1.1 408 ")
        assert b"abc" == app.rest()


def test_a_connection_that_waits_owns_no_buffer(world: World) -> None:
    """What its last request needed (here 20 KiB) is not kept for the next: there may be very many
    connections that wait.
    """
    apps: list[Peer] = []

    def served() -> None:
        client = world.client(get("/", f"X-A: {'a' * 6000}\r\n"))
        apps[:] = apps or [world.accept()]
        apps[0].head()
        apps[0].send(ok("b" * 5000))
        client.answer()

    for _ in range(20):
        served()
    before = world.memory()
    for _ in range(400):
        served()
    world.counted("connections", 420)
    assert world.memory() - before < 400 * 16 * 1024
