"""The PROXY protocol through the real proxy: the headers Machines get, and those callers send."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.http_peer import Peer
from tests.support.proxy_control import Control, Line, app, app_at, greeted, machine, network
from tests.support.proxy_world import FLYCAST, MACHINES, World, echo, read_all, served
from tests.support.tls_world import NAME, tls_world

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces, which needs root"),
]

WEB = f"{MACHINES}5:2"
OTHER = f"{MACHINES}6:2"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
CLAIM = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n"
TLVS = b"\xe0\0\3abc" + b"\4\0\2\0\0" + b"\2\0\4name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A running proxy that serves app `a`, and the agent's connection to it."""

    world: World
    control: Control

    def offer(self, name: str = "m1", *, state: str = "started", **port: object) -> Path:
        """A Machine of `a` whose port 5000 has these options; gives its namespace."""
        address, inside = self.world.add_machine()
        self.put(name, address, state, **port)
        return inside

    def put(self, name: str, address: str, state: str = "started", **port: object) -> None:
        """The same at any address."""
        more = {"allowed_apps": port.pop("allowed_apps", None)}
        value = machine(name, "a", address, state, port={"port": 5000, **port}, **more)
        self.control.put("machine", value)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with contextlib.ExitStack() as stack:
        world = World(stack)
        control = greeted(stack, tmp_path / "proxy.sock")
        control.put("network", network(str(world.router)))
        control.put("app", app("a", f"{FLYCAST}2"))
        yield Stage(world=world, control=control)


def exchange(stage: Stage, sent: bytes, source: str | None = WEB) -> tuple[bytes, tuple[str, int]]:
    """All that comes back, and where the call came from."""
    with stage.world.call(2, source=source) as caller:
        caller.sendall(sent)
        caller.shutdown(socket.SHUT_WR)
        return read_all(caller), caller.getsockname()[:2]


def expect_reset(stage: Stage, sent: bytes, source: str | None = WEB) -> None:
    """A call is reset, when it is accepted or once this was sent."""

    def say(caller: socket.socket) -> None:
        caller.sendall(sent)
        caller.recv(1)

    with pytest.raises(ConnectionResetError), stage.world.call(2, source=source) as caller:
        say(caller)


def line_of(source: str, port: int) -> bytes:
    """The first version's header of a call."""
    return f"PROXY TCP6 {source} {FLYCAST}2 {port} 5000\r\n".encode()


def binary(ends: bytes, family: int, tlvs: bytes = b"", command: int = 0x21) -> bytes:
    """A header of the second version."""
    block = ends + tlvs
    return SIGNATURE + bytes([command, family]) + struct.pack("!H", len(block)) + block


def inet6(source: str, port: int) -> bytes:
    """The addresses of a call."""
    ips = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(
        socket.AF_INET6, f"{FLYCAST}2"
    )
    return ips + struct.pack("!HH", port, 5000)


INET4 = socket.inet_aton("192.0.2.7") + socket.inet_aton("198.51.100.1") + b"\x12\x67\x01\xbb"


def with_sum(header: bytes) -> bytes:
    """The header with a right checksum added (the spec, 2.2.3)."""
    length = len(header) - 16 + 7
    bare = header[:14] + struct.pack("!H", length) + header[16:] + b"\3\0\4\0\0\0\0"
    total = 0xFFFFFFFF
    for byte in bare:
        total ^= byte
        for _ in range(8):
            total = total >> 1 ^ (0x82F63B78 if total & 1 else 0)
    return bare[:-4] + struct.pack("!I", total ^ 0xFFFFFFFF)


def test_a_machine_gets_the_header_first(stage: Stage) -> None:
    """Version 1 by default: the caller's and the Flycast address; then the caller's bytes."""
    inside = stage.offer(handlers=["proxy_proto"])
    with served(stage.world.listen(inside), echo):
        answer, (source, port) = exchange(stage, b"hello")
    assert answer == line_of(source, port) + b"hello"
    assert source == WEB


def test_a_program_that_speaks_first_has_the_header(stage: Stage) -> None:
    """The header does not wait for the caller to say something."""
    inside = stage.offer(handlers=["proxy_proto"])
    with served(stage.world.listen(inside), echo), stage.world.call(2) as caller:
        assert caller.recv(200) == line_of(*caller.getsockname()[:2])


def test_version_2(stage: Stage) -> None:
    """The binary header says the same."""
    inside = stage.offer(handlers=["proxy_proto"], proxy_proto_options={"version": "v2"})
    with served(stage.world.listen(inside), echo):
        answer, (source, port) = exchange(stage, b"hello")
    assert answer == binary(inet6(source, port), 0x21) + b"hello"


def test_every_connection_to_a_machine_has_it(stage: Stage) -> None:
    """Also one that proved a woken Machine's port, and one made after another Machine failed."""
    stage.put("m0", "172.16.9.9", handlers=["proxy_proto"])
    address, inside = stage.world.add_machine()
    stage.put("m1", address, "stopped", handlers=["proxy_proto"])
    with stage.world.call(2) as caller:
        caller.sendall(b"x")
        stage.control.event("wake", machine="m1")
        stage.put("m1", address, "starting", handlers=["proxy_proto"])
        with served(stage.world.listen(inside), echo):
            expected = line_of(*caller.getsockname()[:2]) + b"x"
            received = b""
            while len(received) < len(expected):
                received += caller.recv(200)
            assert received == expected
            caller.close()


def test_only_machines_that_ask_for_it_get_it(stage: Stage) -> None:
    """While a deploy changes Machines one by one, each gets what it asks for."""
    listening = [
        stage.world.listen(stage.offer("m1", handlers=["proxy_proto"])),
        stage.world.listen(stage.offer("m2", handlers=[])),
    ]
    answers: set[bytes] = set()
    with served(listening[0], echo), served(listening[1], echo):
        while len(answers) < 2:
            answers.add(exchange(stage, b"x")[0][:1])
    assert answers == {b"P", b"x"}


@pytest.mark.parametrize(
    ("header", "source", "destination"),
    [
        (CLAIM, "192.0.2.7 198.51.100.1", "4711 443"),
        (binary(INET4, 0x11, TLVS), "192.0.2.7 198.51.100.1", "4711 443"),
        (with_sum(binary(INET4, 0x11)), "192.0.2.7 198.51.100.1", "4711 443"),
    ],
)
def test_a_callers_header_counts(
    stage: Stage, header: bytes, source: str, destination: str
) -> None:
    """What an accepted header says is passed on, and the header itself is not among the bytes."""
    inside = stage.offer(handlers=["proxy_proto"], accept_proxy_proto=True)
    with served(stage.world.listen(inside), echo):
        answer, _ = exchange(stage, header + b"hello")
    assert answer == f"PROXY TCP4 {source} {destination}\r\n".encode() + b"hello"


def test_a_header_that_says_nothing(stage: Stage) -> None:
    """With LOCAL, UNKNOWN and what is no TCP the call is the caller's own."""
    inside = stage.offer(handlers=["proxy_proto"], accept_proxy_proto=True)
    headers = (
        b"PROXY UNKNOWN\r\n",
        binary(b"", 0),
        binary(INET4, 0x11, command=0x20),
        binary(INET4, 0x12),
        binary(bytes(216), 0x31),
    )
    with served(stage.world.listen(inside), echo):
        for header in headers:
            answer, (source, port) = exchange(stage, header + b"hello")
            assert answer == line_of(source, port) + b"hello"


def test_what_else_it_says_is_passed_on(stage: Stage) -> None:
    """What a header of version 2 says goes into the one the Machine gets, with a sum anew."""
    version = {"version": "v2"}
    inside = stage.offer(
        handlers=["proxy_proto"], proxy_proto_options=version, accept_proxy_proto=True
    )
    with served(stage.world.listen(inside), echo):
        plain, _ = exchange(stage, binary(INET4, 0x11, TLVS) + b"x")
        summed, _ = exchange(stage, with_sum(binary(INET4, 0x11, TLVS)) + b"x")
    kept = TLVS.replace(b"\4\0\2\0\0", b"")
    assert plain == binary(INET4, 0x11, kept) + b"x"
    assert summed == with_sum(binary(INET4, 0x11, kept)) + b"x"


def test_a_header_in_pieces(stage: Stage) -> None:
    """A header may come byte by byte; what is cut off is refused with a line in the app's log."""
    inside = stage.offer(handlers=[], accept_proxy_proto=True)
    with served(stage.world.listen(inside), echo):
        with stage.world.call(2) as caller:
            caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in CLAIM + b"x":
                caller.sendall(bytes([byte]))
            assert caller.recv(9) == b"x"
        with stage.world.call(2) as caller:
            caller.sendall(CLAIM[:20])
            caller.shutdown(socket.SHUT_WR)
            with pytest.raises(ConnectionResetError):
                caller.recv(1)
    assert "cut short" in stage.control.event("log", app="a", code="RA02")["message"]


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"GET / HTTP/1.1\r\n", "neither version"),
        (b"\x16\x03\x01", "neither version"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", "CR LF"),
        (b"PROXY UNKNOWN " + b"x" * 200, "longer than 107"),
        (binary(bytes(4100), 0), "longer than 4096"),
        (with_sum(binary(INET4, 0x11))[:-1] + b"\0", "checksum"),
    ],
)
def test_no_header_no_service(stage: Stage, sent: bytes, reason: str) -> None:
    """Whoever does not begin with a valid header is reset, and no Machine is woken or called."""
    stage.offer(state="stopped", handlers=["http"], accept_proxy_proto=True)
    expect_reset(stage, sent)
    line = stage.control.event("log", app="a")
    assert line["code"] == "RA02"
    assert reason in line["message"]
    assert stage.control.event("load")["waiting"] == {}


def test_a_header_has_its_time(stage: Stage) -> None:
    """Who sends half a header and then nothing is reset."""
    stage.control.hello(head_timeout_ms=50)
    stage.offer(handlers=[], accept_proxy_proto=True)
    expect_reset(stage, b"PROXY")
    assert "in time" in stage.control.event("log", app="a", code="RA02")["message"]


def known_callers(stage: Stage) -> None:
    """The Machines WEB and OTHER of the apps web and other."""
    for name, address in (("web", WEB), ("other", OTHER)):
        stage.control.put("app", app_at(name, []))
        stage.control.put("machine", machine(f"m-{name}", name, "172.16.9.8", ip6=address))


def test_a_claim_opens_no_door(stage: Stage) -> None:
    """`allowed_apps` asks who really calls: no header makes another caller of it."""
    known_callers(stage)
    inside = stage.offer(handlers=[], allowed_apps=["web"], accept_proxy_proto=True)
    claims = (WEB, OTHER, f"{FLYCAST}9")
    with served(stage.world.listen(inside), echo):
        for claimed in claims:
            header = f"PROXY TCP6 {claimed} {FLYCAST}2 1 5000\r\n".encode()
            assert exchange(stage, header + b"x", WEB)[0] == b"x"
            expect_reset(stage, header + b"x", OTHER)
            assert stage.control.event("log", app="a")["code"] == "RA01"


def test_http_takes_the_claimed_client(stage: Stage) -> None:
    """The client is the claimed one in the headers, and Fly-Src has the Machine that calls."""
    stage.control.hello(src_key="AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
    known_callers(stage)
    inside = stage.offer(handlers=["http"], accept_proxy_proto=True)
    heads: list[bytes] = []

    def backend(connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        heads.append(head)
        connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

    header = f"PROXY TCP6 {OTHER} {FLYCAST}2 1 5000\r\n".encode()
    request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    with served(stage.world.listen(inside), backend):
        for sent in (header, CLAIM):
            with stage.world.call(2, source=WEB) as caller:
                caller.sendall(sent + request)
                assert read_all(caller).startswith(b"HTTP/1.1 204")
    for head, client in zip(heads, (OTHER, "192.0.2.7"), strict=True):
        lines: Line = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:-2])
        fields = {name.lower(): value for name, value in lines.items()}
        assert fields["fly-client-ip"] == client
        assert fields["x-forwarded-for"] == f"{client}, {FLYCAST}2"
        assert "app=web;" in fields["fly-src"]


def test_not_at_a_shared_address(stage: Stage) -> None:
    """Where apps share an address a name has to come first, so the port is not served there."""
    shared = [{"network": "1", "ip": f"{FLYCAST}7", "shared": True}]
    stage.control.put("app", app_at("a", shared, hosts=["a.example"]))
    inside = stage.offer(handlers=["http"], accept_proxy_proto=True)
    with served(stage.world.listen(inside), echo), stage.world.call(7) as caller:
        caller.sendall(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        assert caller.recv(12) == b"HTTP/1.1 404"
    assert "accept_proxy_proto" in stage.control.event("log", app="a", code="PR01")["message"]


def test_a_released_address_ends_them(stage: Stage) -> None:
    """Who began with a header is reset with its address as any other, also while nothing moves."""
    inside = stage.offer(handlers=[], accept_proxy_proto=True)
    with served(stage.world.listen(inside), echo), stage.world.call(2) as caller:
        caller.sendall(CLAIM + b"x")
        assert caller.recv(9) == b"x"
        stage.control.put("app", app_at("a", [], drain_ms=1))
        with pytest.raises(ConnectionResetError):
            caller.recv(9)


def test_a_claim_does_not_spend_anothers_handshakes(stage: Stage) -> None:
    """The rate of TLS handshakes is that of who really calls, whatever its header says."""
    stage.control.hello(tls_handshakes_source=3)
    stage.offer(handlers=["tls", "http"], accept_proxy_proto=True)

    def is_taken(source: str) -> bool:
        """Whether a handshake may begin that the header says is WEB's."""
        with contextlib.suppress(ConnectionError), stage.world.call(2, source=source) as caller:
            caller.sendall(line_of(WEB, 1) + b"GET / HTTP/1.1\r\n\r\n")
            return caller.recv(12) == b"HTTP/1.1 400"
        return False

    assert not all(is_taken(OTHER) for _ in range(12))
    assert is_taken(WEB)


def tlvs_of(header: bytes) -> dict[int, bytes]:
    """What a header of version 2 over IPv6 says besides addresses, by type."""
    return _by_type(header[16 + 36 :])


def _by_type(rest: bytes) -> dict[int, bytes]:
    found = {}
    while rest:
        kind, length = struct.unpack("!BH", rest[:3])
        assert kind not in found
        found[kind], rest = rest[3 : 3 + length], rest[3 + length :]
    return found


PORT_2: Line = {
    "port": 8883,
    "handlers": ["proxy_proto", "tls"],
    "proxy_proto_options": {"version": "v2"},
    "tls_options": {"alpn": ["mqtt"]},
}


@pytest.mark.parametrize(
    ("newest", "version", "cipher"),
    [
        (ssl.TLSVersion.TLSv1_3, b"TLSv1.3", b"TLS_AES_256_GCM_SHA384"),
        (ssl.TLSVersion.TLSv1_2, b"TLSv1.2", b"ECDHE-ECDSA-AES256-GCM-SHA384"),
    ],
)
def test_version_2_after_tls(
    tmp_path: Path, newest: ssl.TLSVersion, version: bytes, cipher: bytes
) -> None:
    """The Machine gets the header, with what was agreed on in TLS, then the plain bytes."""
    with tls_world(tmp_path) as web:
        web.put_machine(PORT_2)
        web.issue()
        caller = web.call(8883, newest=newest, alpn=["mqtt"])
        caller.sendall(b"hello")
        inside = Peer(web.accept())
        header = inside.take(16)
        header += inside.take(struct.unpack("!H", header[14:])[0])
        assert inside.take(5) == b"hello"
    said = tlvs_of(header)
    assert (said.pop(1), said.pop(2)) == (b"mqtt", NAME.encode())
    ssl_value = said.pop(0x20)
    assert said == {}
    assert ssl_value[:5] == b"\1\0\0\0\1"
    assert _by_type(ssl_value[5:]) == {0x21: version, 0x23: cipher}


def test_what_a_header_said_of_tls_gives_way(tmp_path: Path) -> None:
    """A caller's own words on TLS are replaced by what was agreed on here; others are passed on."""
    with tls_world(tmp_path) as web:
        web.put_machine(PORT_2 | {"accept_proxy_proto": True})
        web.issue()
        plain = web.plain(8883)
        forged = b"\2\0\4evil" + b"\1\0\2h2" + b"\xe0\0\3abc"
        plain.sendall(binary(INET4, 0x11, forged))
        caller = web.context(alpn=["mqtt"]).wrap_socket(plain, server_hostname=NAME)
        web.open.append(caller)
        caller.sendall(b"hello")
        inside = Peer(web.accept())
        header = inside.take(16)
        header += inside.take(struct.unpack("!H", header[14:])[0])
        assert inside.take(5) == b"hello"
    said = _by_type(header[16 + 12 :])
    assert (said[1], said[2], said[0xE0]) == (b"mqtt", NAME.encode(), b"abc")
