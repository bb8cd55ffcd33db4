"""The `pg_tls` handler of the real proxy: PostgreSQL's ways into TLS, and what is refused."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.http_peer import Peer
from tests.support.proxy_world import FLYCAST, served
from tests.support.tls_world import NAME, TlsWorld, tls_world

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces, which needs root"),
]

PORT = 5432
SSL_REQUEST = struct.pack("!II", 8, 80877103)
GSSENC_REQUEST = struct.pack("!II", 8, 80877104)
CANCEL_REQUEST = struct.pack("!IIII", 16, 80877102, 7, 9)


@pytest.fixture
def pg(tmp_path: Path) -> Iterator[TlsWorld]:
    with tls_world(tmp_path) as world:
        world.put_machine({"port": PORT, "handlers": ["pg_tls"]})
        world.issue()
        yield world


def startup(user: bytes = b"u") -> bytes:
    """A StartupMessage of protocol 3.0."""
    body = struct.pack("!I", 3 << 16) + b"user\0" + user + b"\0\0"
    return struct.pack("!I", len(body) + 4) + body


def message(kind: bytes, body: bytes) -> bytes:
    """A message of the server."""
    return kind + struct.pack("!I", len(body) + 4) + body


def server(connection: socket.socket) -> None:
    """Takes one session without a password, and answers one query with one row `secure`."""
    peer = Peer(connection)
    (length,) = struct.unpack("!I", peer.take(4))
    assert peer.take(length - 4)[:4] == struct.pack("!I", 3 << 16)
    ready = message(b"Z", b"I")
    peer.send(message(b"R", struct.pack("!I", 0)) + ready)
    kind, length = struct.unpack("!cI", peer.take(5))
    assert (kind, peer.take(length - 4)) == (b"Q", b"select 1\0")
    column = b"x\0" + struct.pack("!IHIHIH", 0, 0, 25, 0xFFFF, 0xFFFFFFFF, 0)
    row = struct.pack("!HI", 1, 6) + b"secure"
    peer.send(message(b"T", struct.pack("!H", 1) + column) + message(b"D", row))
    peer.send(message(b"C", b"SELECT 1\0") + ready)
    # psql takes its leave.
    assert peer.take(1) == b"X"


def psql(pg: TlsWorld, mode: str) -> subprocess.CompletedProcess[str]:
    """psql inside the network, with this `sslmode`."""
    words = f"host={NAME} hostaddr={FLYCAST}2 port={PORT} user=u dbname=d sslmode={mode}"
    words += f" sslrootcert={pg.authority.file} connect_timeout=20"
    command = ["nsenter", f"--net={pg.world.router}", "psql", words, "-XAtc", "select 1"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_psql_by_its_verified_name(pg: TlsWorld) -> None:
    """psql verifies the server's name, and the Machine gets plain PostgreSQL."""
    with served(pg.listener, server):
        done = psql(pg, "verify-full")
    assert (done.stdout, done.returncode) == ("secure\n", 0), done.stderr


def test_psql_without_tls_is_told(pg: TlsWorld) -> None:
    """A session without TLS is refused in PostgreSQL's words, and no Machine hears of it."""
    done = psql(pg, "disable")
    assert done.returncode == 2
    assert "FATAL:  SSL required" in done.stderr
    assert "HINT:  use sslmode=require" in done.stderr
    assert "without TLS" in pg.code("PT04")["message"]


def into_tls(pg: TlsWorld, sock: socket.socket) -> Peer:
    """Goes on inside TLS."""
    wrapped = pg.context().wrap_socket(sock, server_hostname=NAME)
    pg.open.append(wrapped)
    return Peer(wrapped)


def test_gssapi_is_declined_first(pg: TlsWorld) -> None:
    """A client may ask for GSSAPI, is told no, and asks for TLS on the same connection."""
    sock = pg.plain(PORT)
    sock.sendall(GSSENC_REQUEST)
    assert sock.recv(9) == b"N"
    sock.sendall(SSL_REQUEST)
    assert sock.recv(9) == b"S"
    into_tls(pg, sock).send(startup())
    assert Peer(pg.accept()).take(len(startup())) == startup()


def test_gssapi_is_declined_once(pg: TlsWorld) -> None:
    """Who asks again is not answered: the connection ends."""
    sock = pg.plain(PORT)
    sock.sendall(GSSENC_REQUEST)
    assert sock.recv(9) == b"N"
    sock.sendall(GSSENC_REQUEST)
    assert Peer(sock).rest() == b""
    assert "twice" in pg.code("PT04")["message"]


def test_direct_tls(pg: TlsWorld) -> None:
    """A client may begin with TLS when it says `postgresql` by ALPN, and not without."""
    sock = pg.call(PORT, alpn=["postgresql"])
    assert sock.selected_alpn_protocol() == "postgresql"
    sock.sendall(startup())
    assert Peer(pg.accept()).take(len(startup())) == startup()
    with pytest.raises(OSError, match=r"EOF|reset"):
        pg.call(PORT).recv(1)
    assert "ALPN" in pg.code("PT04")["message"]


def test_a_cancel_needs_no_tls(pg: TlsWorld) -> None:
    """A request for a cancel reaches the Machine as it is, and its end the client."""
    sock = pg.plain(PORT)
    sock.sendall(CANCEL_REQUEST)
    inside = pg.accept()
    assert Peer(inside).take(16) == CANCEL_REQUEST
    inside.close()
    assert sock.recv(1) == b""


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (SSL_REQUEST + startup(), "before it was answered"),
        (SSL_REQUEST + b"\x16\x03\x01", "before it was answered"),
        (GSSENC_REQUEST + SSL_REQUEST, "before it was answered"),
        (CANCEL_REQUEST + b"x", "behind a CancelRequest"),
        (b"GET / HTTP/1.1\r\n\r\n", "something else"),
        (struct.pack("!II", 8, 2 << 16), "something else"),
    ],
)
def test_what_is_refused(pg: TlsWorld, data: bytes, why: str) -> None:
    """Bytes before TLS that nobody vouches for, and other protocols, end the connection."""
    sock = pg.plain(PORT)
    sock.sendall(data)
    with contextlib.suppress(ConnectionResetError):
        assert sock.recv(9) == b""
    assert why in pg.code("PT04")["message"]


def test_wakes_after_the_handshake(pg: TlsWorld) -> None:
    """A session inside TLS waits for a sleeping Machine and reaches it whole."""
    pg.put_machine({"port": PORT, "handlers": ["pg_tls"]}, state="suspended")
    sock = pg.plain(PORT)
    sock.sendall(SSL_REQUEST)
    assert sock.recv(9) == b"S"
    into_tls(pg, sock).send(startup())
    pg.control.event("wake", machine="m1")
    pg.put_machine({"port": PORT, "handlers": ["pg_tls"]}, state="started")
    assert Peer(pg.accept()).take(len(startup())) == startup()


def test_a_slow_beginning_ends(tmp_path: Path) -> None:
    """Half a request for encryption is waited for no longer than for a handshake."""
    with tls_world(tmp_path, tls_handshake_timeout_ms=100) as pg:
        pg.put_machine({"port": PORT, "handlers": ["pg_tls"]})
        sock = pg.plain(PORT)
        sock.sendall(SSL_REQUEST[:5])
        with contextlib.suppress(ConnectionResetError):
            assert sock.recv(1) == b""
        assert "100 ms" in pg.code("PT08")["message"]


STARTING = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"


def session(pg: TlsWorld) -> Peer:
    """A client inside TLS that has begun its session."""
    client = Peer(pg.call(PORT, alpn=["postgresql"]))
    client.send(startup())
    return client


def says(pg: TlsWorld, reply: bytes) -> Peer:
    """The Machine's next connection, whose beginning was answered so."""
    inside = Peer(pg.accept())
    assert inside.take(len(startup())) == startup()
    inside.send(reply)
    return inside


def test_a_server_that_starts_up_is_waited_for(pg: TlsWorld) -> None:
    """Who comes before the server takes sessions is not told so: the same beginning is said on
    another connection until the server takes it, and goes on there.
    """
    client = session(pg)
    for _ in range(3):
        assert says(pg, message(b"E", STARTING)).rest() == b""
    accepted = message(b"R", struct.pack("!I", 0)) + message(b"Z", b"I")
    inside = says(pg, accepted)
    assert client.take(len(accepted)) == accepted
    client.send(b"query")
    assert inside.take(5) == b"query"
    inside.send(b"answer")
    assert client.take(6) == b"answer"


@pytest.mark.parametrize("reply", [b"C28P01\0Mno\0\0", b"C57P01\0\0", b"M57P03\0\0", b""])
def test_other_errors_are_passed_on(pg: TlsWorld, reply: bytes) -> None:
    """A server that refuses for another reason has the word."""
    client = session(pg)
    said = message(b"E", reply)
    inside = says(pg, said)
    assert client.take(len(said)) == said
    inside.close()
    assert client.rest() == b""


def test_a_server_that_stays_so_is_not_waited_for(tmp_path: Path) -> None:
    """One that is up for longer than a wake may last tells its callers itself."""
    with tls_world(tmp_path, wake_timeout_ms=1) as pg:
        pg.put_machine({"port": PORT, "handlers": ["pg_tls"]})
        pg.issue()
        client = session(pg)
        said = message(b"E", STARTING)
        says(pg, said)
        assert client.take(len(said)) == said


def test_a_silent_client_wakes_nobody(tmp_path: Path) -> None:
    """Who says nothing after the handshake is waited for no longer than for the handshake."""
    with tls_world(tmp_path, tls_handshake_timeout_ms=400) as pg:
        pg.put_machine({"port": PORT, "handlers": ["pg_tls"]}, state="stopped")
        pg.issue()
        client = pg.call(PORT, alpn=["postgresql"])
        with contextlib.suppress(OSError):
            assert client.recv(1) == b""
        assert "did not begin its session" in pg.code("PT08")["message"]
        assert not [line for line in pg.control.events if line["ev"] == "wake"]
