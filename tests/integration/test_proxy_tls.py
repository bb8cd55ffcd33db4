"""The `tls` handler of the real proxy: what is shown to whom, what is spoken, what is refused."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.support.certificates import make_authority
from tests.support.http_peer import Peer, get, ok
from tests.support.proxy_control import DEADLINE_S, ControlError, Line, app_at, machine
from tests.support.proxy_world import FLYCAST, served
from tests.support.tls_world import HTTPS, NAME, TLS, TlsWorld, certificate, tls_world

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces, which needs root"),
]

OLD, NEW = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture
def web(tmp_path: Path) -> Iterator[TlsWorld]:
    with tls_world(tmp_path) as world:
        yield world


def with_options(port: Line, **options: object) -> Line:
    """A port with these `tls_options`."""
    return port | {"tls_options": options}


def shown(sock: ssl.SSLSocket) -> str:
    """Of a verified connection: the subject of what the server showed."""
    found = sock.getpeercert()
    assert found is not None
    return str(found["subject"])


def refused(web: TlsWorld, wanted: str, **call: object) -> None:
    """A handshake fails, and the client is told why by an alert."""
    with pytest.raises(ssl.SSLError) as error:
        web.call(**call)  # type: ignore[arg-type]
    assert wanted in str(error.value)


def test_http_inside_tls(web: TlsWorld) -> None:
    """The Machine gets plain HTTP that says it came by https, the client its answers, on one
    connection."""
    web.issue()
    peer = Peer(web.call())
    peer.send(get("/a"))
    inside = Peer(web.accept())
    head = inside.head()
    for line in ("x-forwarded-proto: https", "x-forwarded-ssl: on", "fly-forwarded-port: 443"):
        assert line in head.lower()
    inside.send(ok("hello"))
    assert peer.answer()[1] == b"hello"
    peer.send("POST /b HTTP/1.1\r\nHost: w\r\nContent-Length: 300000\r\n\r\n" + "x" * 300_000)
    inside = Peer(web.accept())
    inside.head()
    assert inside.take(300_000) == b"x" * 300_000
    inside.send(ok("y" * 300_000))
    assert peer.answer()[1] == b"y" * 300_000


@pytest.mark.parametrize(("option", "version"), [("--http1.1", "1.1"), ("--http2", "2")])
def test_curl(web: TlsWorld, option: str, version: str) -> None:
    """curl, which trusts the authority, gets answers by the version it asks for with ALPN."""
    web.issue()

    def backend(connection: socket.socket) -> None:
        peer = Peer(connection)
        head = peer.head()
        peer.send(ok(f"https={'x-forwarded-proto: https' in head.lower()}"))

    with served(web.listener, backend):
        command = ["nsenter", f"--net={web.world.router}", "curl", "-sS", option]
        command += ["--cacert", str(web.authority.file), "--resolve", f"{NAME}:443:{FLYCAST}2"]
        command += ["-w", " %{http_version}", f"https://{NAME}/"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"https=True {version}"


def test_an_upgrade_inside_tls(web: TlsWorld) -> None:
    """After an upgrade bytes go both ways, and the Machine's end is a close_notify."""
    web.issue()
    peer = Peer(web.call())
    peer.send(get("/", "Connection: upgrade\r\nUpgrade: websocket\r\n"))
    inside = Peer(web.accept())
    inside.head()
    inside.send("HTTP/1.1 101 Up\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nfirst")
    assert peer.head().startswith("HTTP/1.1 101")
    assert peer.take(5) == b"first"
    peer.send("ping")
    assert inside.take(4) == b"ping"
    inside.close()
    assert peer.rest() == b""


def test_tcp_inside_tls(web: TlsWorld) -> None:
    """Without `http` bytes go both ways as they are, in bulk too; the end of one way is passed on
    and the other way goes on."""
    web.issue()
    payload, ended_sending = os.urandom(4 << 20), threading.Event()

    def backend(connection: socket.socket) -> None:
        received = Peer(connection).take(len(payload))
        connection.sendall(received)
        assert connection.recv(1) == b""
        assert ended_sending.wait(DEADLINE_S)
        connection.sendall(b"late")

    with served(web.listener, backend):
        caller = web.call(8883)
        caller.sendall(payload)
        assert Peer(caller).take(len(payload)) == payload
        end_sending(caller)
        ended_sending.set()
        assert Peer(caller).take(4) == b"late"
        with pytest.raises(ssl.SSLZeroReturnError):
            caller.recv(1)


def end_sending(sock: ssl.SSLSocket) -> None:
    """Says close_notify and does not wait for the other side's."""
    sock.setblocking(False)
    with pytest.raises(ssl.SSLWantReadError):
        sock.unwrap()
    sock.settimeout(DEADLINE_S)


def test_a_cut_is_not_an_end(web: TlsWorld) -> None:
    """A client that ends without close_notify was perhaps cut off: the Machine sees a reset."""
    web.issue()
    caller = web.call(8883)
    caller.sendall(b"half")
    inside = web.accept()
    assert inside.recv(4) == b"half"
    caller.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionResetError):
        inside.recv(1)


def test_wakes_after_the_handshake(web: TlsWorld) -> None:
    """A call to a sleeper is through its handshake before the Machine is, and then reaches it."""
    web.issue()
    web.put_machine(TLS, state="stopped")
    caller = web.call(8883)
    caller.sendall(b"hello")
    web.control.event("wake", machine="m1")
    web.put_machine(TLS, state="started")
    assert web.accept().recv(5) == b"hello"


@pytest.mark.parametrize("version", [OLD, NEW], ids=str)
def test_sessions_are_resumed(web: TlsWorld, version: ssl.TLSVersion) -> None:
    """A second handshake resumes the session of the first; not with another app's certificate, nor
    on another organization's network, nor with the one that came after."""
    web.issue()
    web.issue(audience="acme")
    context = web.context(newest=version)
    web.control.put(
        "app",
        {
            "id": "two",
            "org": "personal",
            "network": "1",
            "addresses": [{"network": "1", "ip": "fdaa:0:1:0:1::3"}],
        },
    )
    web.control.put("machine", machine("m2", "two", web.machine_ip, ports=[HTTPS]))
    web.control.put("certificate", certificate(web.authority) | {"app": "two"})

    def again(session: ssl.SSLSession | None, *, elsewhere: bool = False) -> ssl.SSLSocket:
        sock = web.call(context=context, session=session, elsewhere=elsewhere)
        # Tickets of TLS 1.3 come behind the handshake.
        sock.sendall(b"GET / BAD\r\n\r\n")
        assert sock.recv(12) == b"HTTP/1.1 400"
        return sock

    first = again(None)
    assert not first.session_reused
    assert again(first.session).session_reused
    assert not again(first.session, elsewhere=True).session_reused
    with web.world.call(3, 443) as plain:
        other = context.wrap_socket(plain, server_hostname=NAME, session=first.session)
        assert not other.session_reused
        other.close()
    web.issue()
    assert not again(first.session).session_reused


def test_versions(web: TlsWorld) -> None:
    """Both versions unless the port says one; older ones never."""
    web.issue()
    assert web.call(newest=OLD).version() == "TLSv1.2"
    assert web.call().version() == "TLSv1.3"
    web.put_machine(with_options(HTTPS, versions=["TLSv1.2"]))
    assert web.call().version() == "TLSv1.2"
    web.put_machine(with_options(HTTPS, versions=["TLSv1.3"]))
    refused(web, "protocol version", newest=OLD)
    assert "PT04" in web.code("PT04")["code"]


SUITES = [
    ("-tls1_3 -ciphersuites", "TLS_AES_128_GCM_SHA256", True),
    ("-tls1_3 -ciphersuites", "TLS_AES_256_GCM_SHA384", True),
    ("-tls1_3 -ciphersuites", "TLS_CHACHA20_POLY1305_SHA256", True),
    ("-tls1_3 -ciphersuites", "TLS_AES_128_CCM_SHA256", False),
    ("-tls1_2 -cipher", "ECDHE-ECDSA-AES128-GCM-SHA256", True),
    ("-tls1_2 -cipher", "ECDHE-ECDSA-AES256-GCM-SHA384", True),
    ("-tls1_2 -cipher", "ECDHE-ECDSA-CHACHA20-POLY1305", True),
    ("-tls1_2 -cipher", "ECDHE-ECDSA-AES128-SHA256", False),
    ("-tls1_2 -cipher", "ECDHE-RSA-AES128-GCM-SHA256", False),
    ("-tls1_2 -cipher", "AES128-GCM-SHA256", False),
]


SUITES_WITH_RSA = [
    ("-tls1_3 -ciphersuites", "TLS_AES_128_GCM_SHA256", True),
    ("-tls1_2 -cipher", "ECDHE-RSA-AES128-GCM-SHA256", True),
    ("-tls1_2 -cipher", "ECDHE-RSA-AES256-GCM-SHA384", True),
    ("-tls1_2 -cipher", "ECDHE-RSA-CHACHA20-POLY1305", True),
    ("-tls1_2 -cipher", "ECDHE-RSA-AES128-SHA256", False),
    ("-tls1_2 -cipher", "ECDHE-ECDSA-AES128-GCM-SHA256", False),
    ("-tls1_2 -cipher", "AES128-GCM-SHA256", False),
]


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_suites(web: TlsWorld, kind: str) -> None:
    """openssl gets each suite that is promised for the key of the certificate, and no other."""
    web.issue(key=rsa.generate_private_key(65537, 2048) if kind == "rsa" else None)
    target = "[fdaa:0:1:0:1::2]:443"
    begin = ["nsenter", f"--net={web.world.router}", "openssl", "s_client", "-connect", target]
    for option, suite, spoken in SUITES_WITH_RSA if kind == "rsa" else SUITES:
        command = [*begin, "-servername", NAME, *option.split(), suite]
        done = subprocess.run(command, input=b"", capture_output=True, check=False)
        assert (f"Cipher is {suite}".encode() in done.stdout) == spoken, (suite, done.stdout)


def test_alpn(web: TlsWorld) -> None:
    """`http` has its own protocols, `tls` alone none unless configured; a client whose offers all
    fail is told so, one that offers nothing is served."""
    web.issue()
    assert web.call(alpn=["http/1.1"]).selected_alpn_protocol() == "http/1.1"
    assert web.call().selected_alpn_protocol() is None
    refused(web, "no application protocol", alpn=["mqtt"])
    assert "(ALPN)" in web.code("PT04")["message"]
    assert web.call(8883, alpn=["mqtt"]).selected_alpn_protocol() is None
    web.put_machine(with_options(TLS, alpn=["mqtt", "x"]))
    assert web.call(8883, alpn=["x", "mqtt"]).selected_alpn_protocol() == "mqtt"
    refused(web, "no application protocol", port=8883, alpn=["http/1.1"])


def test_given_and_issued_certificates(web: TlsWorld) -> None:
    """A name that a given certificate has gets that one, the app's own names and none at all the
    issued one of the caller's organization."""
    issued, exact, star, theirs = (
        web.issue(NAME, "fdaa:0:1:0:1::2"),
        web.issue("www.shop.example", audience=None),
        web.issue("*.shop.example", audience=None),
        web.issue(audience="acme"),
    )
    names = {one["chain"]: one for one in (issued, exact, star, theirs)}

    def which(name: str | None, *, elsewhere: bool = False) -> Line:
        sock = web.call(name=name, elsewhere=elsewhere)
        der = sock.getpeercert(binary_form=True)
        assert der is not None
        return names[ssl.DER_cert_to_PEM_cert(der)]

    assert which(NAME) == issued
    assert which(None) == issued
    assert which("www.shop.example") == exact
    assert which("WWW.shop.example") == exact
    assert which("a.shop.example") == star
    assert which(NAME, elsewhere=True) == theirs
    assert which(None, elsewhere=True) == theirs


def test_unknown_names(web: TlsWorld) -> None:
    """A name that is nobody's is refused by its alert; with `default_self_signed` it is shown a
    certificate for it, the same again the next time."""
    web.issue()
    refused(web, "unrecognized name", name="else.example")
    assert "else.example" in web.code("PT05")["message"]
    web.put_machine(with_options(HTTPS, default_self_signed=True))
    one, two = (web.call(name="else.example", anybody=True) for _ in range(2))
    made = one.getpeercert(binary_form=True)
    assert made is not None
    assert made == two.getpeercert(binary_form=True)
    assert b"else.example" in made
    assert "web " in shown(web.call())


def test_what_has_ended_is_not_shown(web: TlsWorld) -> None:
    """A given certificate that has ended is refused with a line that says so."""
    web.issue("shop.example", audience=None, ends=timedelta(seconds=-60))
    refused(web, "unrecognized name", name="shop.example")
    assert "has ended" in web.code("PT05")["message"]


def test_waits_for_a_certificate(web: TlsWorld) -> None:
    """Who needs one that is not there or has ended waits, it is asked for again each second, and
    the handshake goes on with what comes."""
    web.issue(ends=timedelta(seconds=-60))
    context, sock = web.context(), web.plain()
    caller = context.wrap_socket(sock, server_hostname=NAME, do_handshake_on_connect=False)
    waiting = threading.Thread(target=caller.do_handshake)
    waiting.start()
    for _ in range(3):
        web.control.event("certificate", app="web", audience="personal")
    # Another organization's does not help.
    web.issue(audience="acme")
    web.control.event("certificate", app="web", audience="personal")
    web.issue()
    waiting.join()
    assert shown(caller)
    caller.close()


def test_a_certificate_that_will_not_come(web: TlsWorld) -> None:
    """Who waits is refused when the agent says so, with its sentence in the app's log; with
    `default_self_signed` one made here will do."""

    def fail() -> None:
        web.control.event("certificate", app="web", audience="personal")
        fields = {"app": "web", "audience": "personal", "message": "the authority is broken"}
        web.control.call("certificate_failed", **fields)

    for options in ({}, {"default_self_signed": True}):
        web.put_machine(with_options(HTTPS, **options))
        sock = web.plain()
        wrap = web.context(anybody=True).wrap_socket
        caller = wrap(sock, server_hostname=NAME, do_handshake_on_connect=False)
        failing = threading.Thread(target=fail)
        failing.start()
        if options:
            caller.do_handshake()
        else:
            with pytest.raises(ssl.SSLError, match="INTERNAL_ERROR"):
                caller.do_handshake()
        failing.join()
        caller.close()
    assert "the authority is broken" in web.code("PT06")["message"]


def test_nobody_is_there_who_could_issue(web: TlsWorld) -> None:
    """While no agent is connected a port with `default_self_signed` shows what it can make, at
    once; without it the agent is waited for, and issues when it is back.
    """
    web.put_machine(HTTPS | {"tls_options": {"default_self_signed": True}}, TLS)
    web.control.close()
    made = web.call(anybody=True, patience_s=5).getpeercert(binary_form=True)
    assert made is not None
    assert b"self-signed by roost" in made
    context, sock = web.context(), web.plain(8883)
    caller = context.wrap_socket(sock, server_hostname=NAME, do_handshake_on_connect=False)
    waiting = threading.Thread(target=caller.do_handshake)
    waiting.start()
    web.again()
    web.control.event("certificate", app="web", audience="personal")
    web.issue()
    waiting.join()
    assert shown(caller)
    caller.close()
    assert "web " in shown(web.call())


def test_a_name_that_is_never_issued(web: TlsWorld) -> None:
    """When the answer is the certificate that lacks the name, the caller is refused and it is not
    asked for again; sessions that began with it are resumed."""
    host = "late.example"
    ways = [{"network": "1", "ip": f"{FLYCAST}2"}]
    web.control.put("app", app_at("web", ways, hosts=[host]))
    issued = web.issue()
    context = web.context()

    def again(session: ssl.SSLSession | None) -> ssl.SSLSocket:
        sock = web.call(context=context, session=session)
        sock.sendall(b"GET / BAD\r\n\r\n")
        assert sock.recv(12) == b"HTTP/1.1 400"
        return sock

    first = again(None)

    def answer() -> None:
        web.control.event("certificate", app="web", audience="personal")
        web.control.put("certificate", issued)

    answering = threading.Thread(target=answer)
    answering.start()
    refused(web, "unrecognized name", name=host)
    answering.join()
    assert host in web.code("PT05")["message"]
    assert again(first.session).session_reused


def test_asks_for_the_next_one_in_time(web: TlsWorld) -> None:
    """A certificate past its renewal is shown, and another asked for, once for many uses."""
    web.issue(renew_at=1)
    for _ in range(3):
        web.call()
    web.control.event("certificate", app="web", audience="personal")
    # Loads come each second, after what is asked for again.
    for _ in range(2):
        web.control.event("load")
    assert not [line for line in web.control.events if line["ev"] == "certificate"]


def test_bad_certificates_are_not_taken(web: TlsWorld) -> None:
    """A chain or key that cannot be used is refused with a sentence, and what was there stays."""
    good = web.issue()
    other = certificate(web.authority)
    for change, sentence in (
        ({"key": other["key"]}, "the key is not that of the chain"),
        ({"key": "secret text"}, "the key is no PEM private key"),
        ({"chain": "text"}, "0 certificates"),
        ({"chain": good["chain"] * 17}, "17 certificates"),
        ({"chain": good["chain"].replace("MII", "AAA", 1)}, "cannot be used"),
    ):
        with pytest.raises(ControlError, match=sentence) as error:
            web.control.put("certificate", good | change)
        assert "secret text" not in str(error.value)
    assert shown(web.call())


def test_certificates_go(web: TlsWorld) -> None:
    """One that is removed, or that a snapshot leaves out, is not shown any more."""
    one, two = web.issue("a.example", audience=None), web.issue("b.example", audience=None)
    web.control.call("del", kind="certificate", id=one["id"])
    refused(web, "unrecognized name", name="a.example")
    web.call(name="b.example")
    assert web.control.call("stats")["stats"]["certificates"] == 1
    web.control.call("snapshot", stage="begin")
    web.control.call("snapshot", stage="end")
    assert web.control.call("stats")["stats"]["certificates"] == 0
    assert two["id"] != one["id"]


def test_limits_of_handshakes(tmp_path: Path) -> None:
    """A source, and an app, gets so many handshakes a second; who has too many is reset unread."""
    for setting, code in (("tls_handshakes_source", "PT01"), ("tls_handshakes_app", "PT02")):
        with tls_world(tmp_path / code, **{setting: 3}) as web:
            web.issue()
            alive = sum(is_taken(web) for _ in range(12))
            assert 3 <= alive < 12
            assert " 3 TLS handshakes a second" in web.code(code)["message"]


def is_taken(web: TlsWorld) -> bool:
    """Whether a connection is not reset when something is sent that nobody understands."""
    try:
        sock = web.plain()
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        return sock.recv(12) == b"HTTP/1.1 400"
    except ConnectionError:
        return False


def test_what_is_no_tls(web: TlsWorld) -> None:
    """A request without TLS is answered so where HTTP is spoken; anything else is closed."""
    web.issue()
    plain = Peer(web.plain())
    plain.send(get())
    head, body = plain.answer()
    assert head.startswith("HTTP/1.1 400")
    assert b"https" in body
    assert plain.rest() == b""
    assert "without TLS" in web.code("PT04")["message"]
    for port, data in ((443, b"\x00junk"), (8883, b"GET / HTTP/1.1\r\n\r\n")):
        sock = web.plain(port)
        sock.sendall(data)
        assert ended(sock) == b""
        assert "something else than TLS" in web.code("PT04")["message"]
    sock = web.plain()
    sock.sendall(b"\x16\x03\x01\x00\x05junk!")
    assert ended(sock)[:1] in (b"\x15", b"")
    assert web.code("PT04")


def ended(sock: socket.socket) -> bytes:
    """What a connection gives until it ends, by a close or a reset."""
    try:
        return Peer(sock).rest()
    except ConnectionResetError:
        return b""


def test_who_leaves_early(web: TlsWorld) -> None:
    """Leaving without a word is nobody's fault; in the middle, or by an alert, there is a line."""
    web.plain().close()
    sock = web.plain()
    sock.sendall(b"\x16\x03\x01")
    sock.close()
    assert "in the middle" in web.code("PT03")["message"]
    web.issue()
    stranger = make_authority(Path(web.authority.folder) / "other")
    context = ssl.create_default_context(cafile=str(stranger.file))
    with pytest.raises(ssl.SSLCertVerificationError):
        web.call(context=context)
    assert "refused the handshake" in web.code("PT04")["message"]
    assert not [line for line in web.control.events if line["ev"] == "log"]


def test_who_leaves_while_a_certificate_is_awaited(web: TlsWorld) -> None:
    """Nobody waits for it any more, and there is a line."""
    hello = ssl.MemoryBIO()
    half = web.context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname=NAME)
    with pytest.raises(ssl.SSLWantReadError):
        half.do_handshake()
    peer = Peer(web.plain())
    peer.send(hello.read())
    web.control.event("certificate", app="web")
    peer.reset()
    assert "before its certificate came" in web.code("PT03")["message"]


def test_slow_handshakes_end(tmp_path: Path) -> None:
    """Who takes too long before or in the middle of its ClientHello is closed."""
    with tls_world(tmp_path, tls_handshake_timeout_ms=100) as web:
        web.issue()
        for data in (b"", b"\x16\x03\x01\x02\x00\x01"):
            sock = web.plain()
            sock.sendall(data)
            assert ended(sock) == b""
            assert "100 ms" in web.code("PT08")["message"]


def test_a_redirect_names_the_port_that_has_tls(web: TlsWorld) -> None:
    """`force_https` sends to the app's port with `tls` and `http`."""
    plain = {"port": 80, "handlers": ["http"], "force_https": True}
    for port, wanted in ((443, "https://web.flycast/x"), (8443, "https://web.flycast:8443/x")):
        web.put_machine(plain, HTTPS | {"port": port}, TLS)
        peer = Peer(web.plain(80))
        peer.send("GET /x HTTP/1.1\r\nHost: web.flycast:80\r\n\r\n")
        head, _ = peer.answer()
        assert head.startswith("HTTP/1.1 301")
        assert f"location: {wanted}\r\n" in head.lower()


def test_who_came_by_tls_is_sent_nowhere(web: TlsWorld) -> None:
    """`force_https` of a port with `tls` is kept by itself."""
    web.issue()
    web.put_machine(HTTPS | {"force_https": True})
    peer = Peer(web.call())
    peer.send(get())
    with web.accept() as inside:
        Peer(inside).head()
        inside.sendall(ok("yes").encode())
        assert peer.answer()[1] == b"yes"


def test_a_released_address_ends_tls(web: TlsWorld) -> None:
    """Connections inside TLS end with their address, handshakes too."""
    web.issue()
    idle, half = web.call(), web.plain()
    half.sendall(b"\x16")
    web.control.event("load")
    value = {"id": "web", "org": "personal", "network": "1", "addresses": [], "drain_ms": 1}
    web.control.put("app", value)
    assert idle.recv(1) == b""
    assert ended(half) == b""


def test_a_reset_of_the_machine_is_a_reset(web: TlsWorld) -> None:
    """A connection that the Machine resets does not look like one that ended."""
    web.issue()
    caller = web.call(8883)
    caller.sendall(b"x")
    inside = web.accept()
    assert inside.recv(1) == b"x"
    inside.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    inside.close()
    with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
        caller.recv(1)
