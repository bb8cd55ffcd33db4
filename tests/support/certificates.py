"""A small authority and what it signs, made with `cryptography` in a folder of the test."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from roost.api.tls import TlsFiles

DAY = timedelta(days=1)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes = b"") -> bytes:
    """A key as PEM."""
    how = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


@dataclass(frozen=True, slots=True)
class Authority:
    """An authority whose certificate is in `file`."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def file(self) -> Path:
        """For those who trust it."""
        return self.folder / "ca.pem"

    def issue(
        self, name: str = "site", *, begins: datetime | None = None, ends: datetime | None = None
    ) -> TlsFiles:
        """A certificate for 127.0.0.1 and localhost, in `name`.pem and `name`.key."""
        now = datetime.now(UTC)
        key = ec.generate_private_key(ec.SECP256R1())
        made = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins or now - DAY)
            .not_valid_after(ends or now + DAY)
            .add_extension(
                x509.SubjectAlternativeName(
                    [x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")]
                ),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )
        files = TlsFiles(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        files.certificate.write_bytes(made.public_bytes(Encoding.PEM))
        files.key.write_bytes(pem(key))
        return files


def make_authority(folder: Path) -> Authority:
    """A fresh one."""
    folder.mkdir(parents=True, exist_ok=True)
    now, key = datetime.now(UTC), ec.generate_private_key(ec.SECP256R1())
    made = (
        x509.CertificateBuilder()
        .subject_name(_name("test authority"))
        .issuer_name(_name("test authority"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + 10 * DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    authority = Authority(folder, key, made)
    authority.file.write_bytes(made.public_bytes(Encoding.PEM))
    return authority


@dataclass(frozen=True, slots=True)
class Made:
    """A certificate and its key, to be changed and put together as a test likes."""

    certificate: x509.Certificate
    key: PrivateKeyTypes

    @property
    def text(self) -> str:
        """The certificate as PEM."""
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def key_text(self) -> str:
        """The key as PEM."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def make(
    *names: str,
    by: Made | None = None,
    key: PrivateKeyTypes | None = None,
    begins: datetime,
    days: float = 90,
    ca: bool = False,
    subject: str = "made",
) -> Made:
    """A certificate for host names, signed by another one or by itself."""
    own = key or ec.generate_private_key(ec.SECP256R1())
    issuer = by.certificate.subject if by else _name(subject)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer)
        .public_key(own.public_key())  # type: ignore[arg-type]
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + days * DAY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names:
        known = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(known, critical=False)
    signer = by.key if by else own
    plain = isinstance(signer, ed25519.Ed25519PrivateKey)
    made = builder.sign(signer, None if plain else hashes.SHA256())  # type: ignore[arg-type]
    return Made(made, own)
