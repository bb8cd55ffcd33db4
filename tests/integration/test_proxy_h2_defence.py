"""What one caller or Machine can do to the others of a shared connection in HTTP/2: nothing."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from h2.settings import SettingCodes

from tests.support.h2_peer import Fields, H2Peer, raw, request_fields
from tests.support.http_peer import MACHINE_IP, World, get, http_world, ok, post
from tests.support.namespaces import call_inside
from tests.support.proxy_control import machine

pytestmark = pytest.mark.root

PORT: dict[str, Any] = {"http_options": {"h2_backend": True}}
OK = [(":status", "200")]
DATA, HEADERS, RST, SETTINGS, PING, WINDOW, CONTINUATION = 0, 1, 3, 4, 6, 8, 9


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world whose Machine speaks HTTP/2."""
    with http_world(tmp_path, port=PORT) as made:
        yield made


def accept(world: World, **settings: int) -> H2Peer:
    """The Machine's next connection."""
    made = {SettingCodes[name.upper()]: value for name, value in settings.items()}
    return H2Peer(world.accept(), client=False, settings=made)


def done(app: H2Peer, stream: int) -> None:
    """Answers a request, with nothing."""
    app.answer(stream, [*OK, ("content-length", "0")])


def goes_on(app: H2Peer, frames: bytes, *, answered: bool = False) -> bool:
    """Whether the connection takes ``frames``; with ``answered``, whether they were read, too."""
    try:
        app.peer.send(frames)
        if answered:
            app.ping()
    except (BrokenPipeError, ConnectionResetError, AssertionError):
        return False
    return True


def head(app: H2Peer, fields: Fields, stream: int) -> bytes:
    """The frames of a head that does not end its stream."""
    block = app.conn.encoder.encode(fields)
    parts = [block[at : at + 16_384] for at in range(0, len(block), 16_384)]
    kinds = [HEADERS, *[CONTINUATION] * (len(parts) - 1)]
    flags = [*[0] * (len(parts) - 1), 4]
    frames = zip(kinds, parts, flags, strict=True)
    return b"".join(raw(kind, part, flags=flag, stream=stream) for kind, part, flag in frames)


def test_interim_heads_that_nobody_reads_are_bounded(world: World) -> None:
    """Heads need no window: a Machine that sends 1xx without end to a client that does not read is
    given up before they take memory, and the next request gets another connection.
    """
    world.client(get(), room=4096)
    app = accept(world)
    stream, _ = app.accept()
    before = world.peak_memory()
    fields = [(":status", "103"), *[(f"x-{at}", "z" * 4000) for at in range(15)]]
    hint = head(app, fields, stream)
    assert any(not goes_on(app, hint) for _ in range(2000))
    assert world.peak_memory() - before < 16 << 20
    after = world.client(get("/after"))
    other = accept(world)
    stream, request = other.accept()
    assert request[":path"] == "/after"
    done(other, stream)
    assert after.head().startswith("HTTP/1.1 200 ")


def test_interim_heads_that_are_read_pass(world: World) -> None:
    """Twenty interim responses, one after the other, are no flood."""
    client = world.client(get())
    app = accept(world)
    stream, _ = app.accept()
    for number in range(20):
        app.peer.send(head(app, [(":status", "103"), ("x-a", str(number))], stream))
        assert f"\r\nx-a: {number}\r\n" in client.head()
    done(app, stream)
    assert client.head().startswith("HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "frame",
    [
        raw(PING, b"12345678"),
        raw(SETTINGS),
        raw(RST, b"\0\0\0\x08", stream=1),
        raw(WINDOW, b"\0\0\0\1"),
        raw(DATA, b"", stream=1),
        raw(0x77),
    ],
    ids=["PING", "SETTINGS", "RST_STREAM", "WINDOW_UPDATE", "DATA", "unknown"],
)
def test_floods_of_a_machines_frames_end_its_connection(world: World, frame: bytes) -> None:
    """Frames of no use without end are not answered without end."""
    world.client(get())
    app = accept(world)
    app.accept()
    assert any(not goes_on(app, frame * 100, answered=True) for _ in range(100))
    line = world.control.event("log", code="PU02")
    while "ended for what the Machine sent" not in line["message"]:
        line = world.control.event("log", code="PU02")
    assert line["machine"] == "m1"


def test_chunk_lines_of_one_upload_take_no_room_from_others(world: World) -> None:
    """The window that a Machine gives a connection is for bodies: one that came in small chunks,
    and goes no further, leaves what it did not use to the next.
    """
    slow = world.client(post("Transfer-Encoding: chunked\r\n", "1\r\na\r\n" * 10_800))
    app = H2Peer(world.accept(), client=False, hold=True)
    _, first = app.accept()
    app.until(lambda: len(first.body) == 10_800)
    world.client(post("Content-Length: 30000\r\n", "b" * 30_000))
    _, second = app.accept()
    app.until(lambda: len(second.body) == 30_000)
    slow.close()


def test_chunk_lines_of_one_response_take_no_room_from_others(tmp_path: Path) -> None:
    """The same for the window that a client gives."""
    with http_world(tmp_path) as world:
        client = H2Peer(world.client(), hold=True)
        slow = client.fetch("/slow")
        app = world.accept()
        app.head()
        head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        app.send(head + "1\r\na\r\n" * 10_800)
        client.until(lambda: len(client.streams[slow].body) == 10_800)
        quick = client.fetch("/quick")
        other = world.accept()
        other.head()
        other.send(ok("b" * 30_000))
        assert len(client.response(quick).body) == 30_000


def test_a_connection_that_takes_nothing_and_carries_nothing_is_closed(tmp_path: Path) -> None:
    """A Machine that allows no more streams makes no heap of connections that rest."""
    with http_world(tmp_path, port=PORT, settings={"idle_pool_ms": 600_000}) as world:
        client = world.client(get())
        app = accept(world)
        stream, _ = app.accept()
        done(app, stream)
        client.head()
        app.conn.update_settings({SettingCodes.MAX_CONCURRENT_STREAMS: 0})
        app.flush()
        app.ping()
        client.send(get())
        accept(world).accept()
        assert app.end() == 0


def test_connections_to_one_machine_are_bounded(tmp_path: Path) -> None:
    """Where each takes one request only, so many are opened; the next request is a 503."""
    most = 256
    with http_world(tmp_path, port=PORT) as world:
        world.listener.listen(most)
        apps = []
        for _ in range(most):
            world.client(get())
            app = accept(world, max_concurrent_streams=1)
            app.accept()
            apps.append(app)
        status, body = world.client(get()).answer()
        assert status.startswith("HTTP/1.1 503 ")
        assert body.startswith(b"PC06 ")
        assert "SETTINGS_MAX_CONCURRENT_STREAMS" in world.control.event("log")["message"]
        done(apps[0], 1)
        app = apps[0]
        app.ping()
        world.client(get("/again"))
        assert app.accept()[1][":path"] == "/again"


def test_requests_that_are_given_up_do_not_end_the_connection_of_others(world: World) -> None:
    """What a Machine had sent already to clients who left is not held against the connection."""
    client = H2Peer(world.client())
    client.until(lambda: client.conn.remote_settings.enable_connect_protocol == 1)
    streams = [client.fetch(f"/{at}") for at in range(100)]
    app = accept(world, max_concurrent_streams=128)
    asked = [app.accept() for _ in streams]
    for stream, _ in asked:
        app.answer(stream, OK, more=True)
    kept = client.fetch("/kept")
    waiting, _ = app.accept()
    for stream in streams:
        client.head(stream)
        client.reset(stream)
    app.until(lambda: all(request.reset is not None for _, request in asked))
    for _ in range(25):
        app.peer.send(b"".join(raw(DATA, b"x", stream=stream) for stream, _ in asked))
        app.ping()
    app.answer(waiting, OK, b"kept")
    assert client.response(kept).body == b"kept"


def test_a_connection_that_nobody_uses_or_reads_is_closed(tmp_path: Path) -> None:
    """A Machine that takes no bytes cannot keep a connection once its callers are gone."""
    with http_world(tmp_path, port=PORT, settings={"http_idle_ms": 200}) as world:
        client = world.client(post("Content-Length: 100000000\r\n"))
        app = accept(world, initial_window_size=(1 << 31) - 1)
        app.conn.increment_flow_control_window((1 << 31) - 1 - 65_535)
        app.flush()
        app.accept()
        descriptors = Path(f"/proc/{world.process.pid}/fd")
        before = len(list(descriptors.iterdir()))
        with contextlib.suppress(TimeoutError, ConnectionError):
            client.sock.settimeout(0.2)
            client.send("x" * 50_000_000)
        client.reset()
        world.control.call("drain", machine="m1", if_idle=False)
        while len(list(descriptors.iterdir())) > before - 2:
            world.control.event("load")


def test_those_who_wait_for_a_connection_share_its_failure(tmp_path: Path) -> None:
    """A Machine that accepts and says nothing costs all who wait the time of one attempt."""
    with http_world(tmp_path, port=PORT, settings={"connect_timeout_ms": 300}) as world:
        client = H2Peer(world.client())
        streams = [client.fetch(f"/{at}") for at in range(3)]
        world.accept()
        answers = [client.response(stream) for stream in streams]
        assert [answer["fly-error"] for answer in answers] == ["PU01"] * 3
        assert world.untouched()


def test_ports_of_one_machine_have_connections_of_their_own(world: World) -> None:
    """A request to another port of the Machine leaves the connection to the first one open."""
    ports = [{"port": 80, "handlers": ["http"], **PORT}]
    value = machine("m1", "a", MACHINE_IP, ports=ports, limits={"type": "requests"})
    second = {**value["services"][0], "internal_port": 7001}
    second["ports"] = [{"port": 81, "handlers": ["http"], **PORT}]
    value["services"].append(second)
    world.control.put("machine", value)
    listener = call_inside(world.netns, lambda: socket.create_server((MACHINE_IP, 7001)))
    with listener:
        client, elsewhere = world.client(get()), world.client(port=81)
        app = accept(world)
        stream, _ = app.accept()
        done(app, stream)
        client.head()
        elsewhere.send(get())
        other = H2Peer(world.kept(listener.accept()[0]), client=False)
        stream, _ = other.accept()
        done(other, stream)
        elsewhere.head()
        client.send(get("/again"))
        assert app.accept()[1][":path"] == "/again"


def test_a_request_that_the_machine_ended_is_not_sent_again(world: World) -> None:
    """A GET whose stream is reset with an error was looked at: it gets a 502, and no second try."""
    client = world.client(get())
    app = accept(world)
    stream, _ = app.accept()
    done(app, stream)
    client.head()
    client.send(get("/once"))
    stream, _ = app.accept()
    app.reset(stream, 2)
    assert client.answer()[0].startswith("HTTP/1.1 502 ")
    client.send(get("/next"))
    assert app.accept()[1][":path"] == "/next"


@pytest.mark.parametrize(
    "request_text",
    [
        get("/a<b"),
        "GET / HTTP/1.1\r\nHost: a%20b\r\n\r\n",
        get("/", "Connection: Upgrade\r\nUpgrade: websocket\r\n"),
    ],
    ids=["path", "host", "key"],
)
def test_what_http2_cannot_say_is_the_clients_error(world: World, request_text: str) -> None:
    """Such a request is answered with 400, and no Machine is blamed for it."""
    known = world.client(get())
    app = accept(world, enable_connect_protocol=1)
    stream, _ = app.accept()
    done(app, stream)
    known.head()
    assert world.client(request_text).answer()[0].startswith("HTTP/1.1 400 ")
    known.send(get("/next"))
    assert app.accept()[1][":path"] == "/next"


def test_options_of_the_whole_server_reach_it(world: World) -> None:
    """`OPTIONS *` has the path `*` in HTTP/2 too (RFC 9113, 8.3.1)."""
    world.client("OPTIONS * HTTP/1.1\r\nHost: a.flycast\r\n\r\n")
    _, request = accept(world).accept()
    assert (request[":method"], request[":path"]) == ("OPTIONS", "*")


def test_what_a_response_makes_a_client_send_is_no_flood(tmp_path: Path) -> None:
    """Room for each part of a body, and a PING to measure it as gRPC's clients do, are answers."""
    with http_world(tmp_path) as world:
        client = H2Peer(world.client())
        stream = client.fetch()
        app = world.accept()
        app.head()
        app.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for count in range(1, 1201):
            app.send("1\r\na\r\n")
            while len(client.streams[stream].body) < count:
                assert client.step()
            client.ping()
        app.send("0\r\n\r\n")
        assert client.response(stream).ended


def test_a_websocket_that_is_refused_waits_for_its_answer(tmp_path: Path) -> None:
    """A client that has ended its side gets the whole refusal."""
    with http_world(tmp_path) as world:
        client = H2Peer(world.client())
        fields = request_fields("/chat", method="CONNECT")
        stream = client.request([*fields, (":protocol", "websocket")], more=True)
        app = world.accept()
        app.head()
        client.data(stream, b"", end=True)
        client.ping()
        app.send("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\n")
        client.head(stream)
        client.ping()
        app.send("no")
        assert client.response(stream).body == b"no"


def test_small_frames_that_wait_hold_little_memory(tmp_path: Path) -> None:
    """A few bytes of a body are kept without what was read with them, however long they wait."""
    with http_world(tmp_path, limits={"hard_limit": 1}) as world:
        client = H2Peer(world.client())
        streams = [client.request(request_fields(method="POST"), more=True) for _ in range(10)]
        world.queued(9)
        for stream in streams[1:]:
            client.ping()
            # As much as is read ahead; what follows waits.
            client.data(stream, b"z" * 16_000)
        before = world.peak_memory()
        for _ in range(100):
            for stream in streams[1:]:
                client.conn.send_data(stream, b"s" * 256)
                client.peer.send(client.conn.data_to_send() + raw(0x77, b"f" * 12_000))
        client.ping()
        assert world.peak_memory() - before < 3 << 20
        client.data(streams[1], b"end", end=True)
        first = world.accept()
        client.reset(streams[0])
        assert first.rest().startswith(b"POST ")
        second = world.accept()
        second.head()
        body = second.until(b"\r\n0\r\n\r\n")
        assert (body.count(b"z"), body.count(b"s")) == (16_000, 100 * 256)


def test_one_source_leaves_streams_to_others(tmp_path: Path) -> None:
    """Where memory allows 128 streams beside others a source has half of them; one more is refused,
    on whichever of its connections, and another source has its own.
    """
    with http_world(tmp_path, memory=256 << 20, limits={"hard_limit": 1}) as world:
        world.add_address("fdaa:0:1:0:2:0:6:2")
        assert world.control.call("stats")["stats"]["max_streams"] == 128

        def fill(source: str | None, count: int) -> list[H2Peer]:
            """So many streams on two connections, which have one each for nothing."""
            clients = [H2Peer(world.client(source=source)) for _ in range(2)]
            for at in range(count):
                clients[at % 2].fetch()
            return clients

        for source, before in ((None, 0), ("fdaa:0:1:0:2:0:6:2", 64)):
            clients = fill(source, 66)
            world.counted("streams", before + 64)
            for client in clients:
                refused = client.fetch()
                assert client.response(refused).reset == 7
        third = H2Peer(world.client())
        third.fetch("/first")
        world.queued(132)
        assert third.response(third.fetch("/second")).reset == 7
        for client in clients:
            client.peer.close()
        world.counted("streams", 64)
