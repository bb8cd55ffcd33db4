"""A network whose app speaks TLS by the real proxy, and certificates as the agent puts them."""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.support.certificates import Authority, make_authority, pem
from tests.support.namespaces import call_inside
from tests.support.proxy_control import (
    DEADLINE_S,
    Control,
    Line,
    app_at,
    greeted,
    machine,
    network,
)
from tests.support.proxy_world import FLYCAST, World, ip, namespace

HTTPS: Line = {"port": 443, "handlers": ["tls", "http"]}
TLS: Line = {"port": 8883, "handlers": ["tls"]}
HOUR = timedelta(hours=1)
P256 = ec.SECP256R1()
NAME = "web.flycast"
OTHER_NETWORK = "fdaa:0:2:0:1::2"
"""Where the app is called on network 2, of the organization acme."""

_ids = itertools.count(1)


def certificate(
    authority: Authority,
    *names: str,
    audience: str | None = "personal",
    ends: timedelta = HOUR,
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None,
    **more: Any,
) -> Line:
    """A `certificate` value of the app `web` that the authority signed."""
    now, key = datetime.now(UTC).replace(microsecond=0), key or ec.generate_private_key(P256)
    begins, until = now - 24 * HOUR, now + ends
    names = names or (NAME,)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"web {next(_ids)}")]))
        .issuer_name(authority.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), False)
        .sign(authority.key, hashes.SHA256())
    )
    value = {
        "id": f"c{next(_ids)}",
        "app": "web",
        "names": list(names),
        "chain": made.public_bytes(Encoding.PEM).decode(),
        "key": pem(key).decode(),
        "not_before": int(begins.timestamp()),
        "not_after": int(until.timestamp()),
        **more,
    }
    return value | ({"audience": audience} if audience else {})


def _general(name: str) -> x509.GeneralName:
    return x509.IPAddress(ip_address(name)) if ":" in name else x509.DNSName(name)


@dataclass(slots=True, kw_only=True)
class TlsWorld:
    """One app `web` with TLS ports, its Machine's listener, and who calls it."""

    world: World
    control: Control
    authority: Authority
    machine_ip: str
    inside: Path
    listener: socket.socket
    elsewhere: Path
    """The router namespace of network 2, of the organization acme."""
    path: Path
    """The proxy's control socket."""
    stack: contextlib.ExitStack
    open: list[socket.socket] = field(default_factory=list)

    def context(self, **options: Any) -> ssl.SSLContext:
        """A client that trusts the authority; `alpn`, `newest` and `ciphers` as given."""
        context = ssl.create_default_context(cafile=str(self.authority.file))
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if "newest" in options:
            context.maximum_version = options["newest"]
        if "alpn" in options:
            context.set_alpn_protocols(options["alpn"])
        if options.get("anybody"):
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def plain(self, port: int = 443) -> socket.socket:
        """A connection to the app without TLS."""
        sock = self.world.call(2, port)
        self.open.append(sock)
        return sock

    def call(
        self,
        port: int = 443,
        *,
        name: str | None = NAME,
        context: ssl.SSLContext | None = None,
        session: ssl.SSLSession | None = None,
        elsewhere: bool = False,
        **options: Any,
    ) -> ssl.SSLSocket:
        """A TLS connection, through its handshake."""
        sock = self._elsewhere(port) if elsewhere else self.plain(port)
        sock.settimeout(options.get("patience_s", DEADLINE_S))
        context = context or self.context(**options)
        if name is None:
            context.check_hostname = False
        wrapped = context.wrap_socket(
            sock, server_hostname=name, session=session, suppress_ragged_eofs=False
        )
        self.open.append(wrapped)
        return wrapped

    def put_machine(self, *ports: Line, **more: Any) -> None:
        """The app's Machine with these ports."""
        value = machine("m1", "web", self.machine_ip, ports=list(ports), **more)
        self.control.put("machine", value)

    def again(self) -> None:
        """The agent, who went away, is back."""
        self.control = Control(self.path)
        self.stack.callback(self.control.close)

    def accept(self) -> socket.socket:
        """The Machine's next connection."""
        sock, _ = self.listener.accept()
        sock.settimeout(DEADLINE_S)
        self.open.append(sock)
        return sock

    def issue(self, *names: str, **more: Any) -> Line:
        """Puts a certificate; gives its value."""
        value = certificate(self.authority, *names, **more)
        self.control.put("certificate", value)
        return value

    def code(self, code: str) -> Line:
        """The next line of the app's log with this code."""
        return self.control.event("log", app="web", code=code)

    def _elsewhere(self, port: int) -> socket.socket:
        def connect() -> socket.socket:
            return socket.create_connection((OTHER_NETWORK, port), timeout=DEADLINE_S)

        sock = call_inside(self.elsewhere, connect)
        self.open.append(sock)
        return sock


@contextlib.contextmanager
def tls_world(folder: Path, **settings: Any) -> Iterator[TlsWorld]:
    """The app with ports 443 (tls, http) and 8883 (tls), and no certificate yet."""
    folder.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        world = World(stack)
        elsewhere = stack.enter_context(namespace())
        ip(elsewhere, "route add local fdaa:0:2:0:1::/80 dev lo")
        control = greeted(stack, folder / "proxy.sock", **settings)
        control.put("network", network(str(world.router)))
        control.put("network", network(str(elsewhere), number=2) | {"org": "acme"})
        ways = [{"network": "1", "ip": f"{FLYCAST}2"}, {"network": "2", "ip": OTHER_NETWORK}]
        control.put("app", app_at("web", ways))
        address, inside = world.add_machine()
        made = TlsWorld(
            world=world,
            control=control,
            authority=make_authority(folder / "ca"),
            machine_ip=address,
            inside=inside,
            listener=stack.enter_context(world.listen(inside)),
            elsewhere=elsewhere,
            path=folder / "proxy.sock",
            stack=stack,
        )
        made.put_machine(HTTPS, TLS)
        try:
            yield made
        finally:
            for sock in made.open:
                sock.close()
