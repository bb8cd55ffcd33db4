"""A small authority and what it signs, made with `cryptography` in a folder of the test."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
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


def pem(key: ec.EllipticCurvePrivateKey, password: bytes = b"") -> bytes:
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
