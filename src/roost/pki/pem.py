"""PEM to objects and back, in the few forms that Roost keeps.

Private keys are kept as PKCS#8 (RFC 5958), which every TLS library reads; chains as certificates
one after the other, the server's own first (RFC 8446, 4.4.2).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)


def new_key() -> ec.EllipticCurvePrivateKey:
    """A fresh ECDSA P-256 key: about a hundred microseconds."""
    return ec.generate_private_key(ec.SECP256R1())


def key_text(key: PrivateKeyTypes) -> str:
    """A private key as unencrypted PKCS#8 PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def load_signing_key(text: str) -> ec.EllipticCurvePrivateKey:
    """A key that `new_key` made. Raises ValueError for anything else."""
    key = load_pem_private_key(text.encode(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("not an ECDSA key")
    return key


def chain_text(chain: Iterable[x509.Certificate]) -> str:
    """Certificates as PEM, in their order."""
    return "".join(one.public_bytes(Encoding.PEM).decode() for one in chain)


def load_chain(text: str) -> list[x509.Certificate]:
    """The certificates of a PEM text, in their order. Raises ValueError when there is none."""
    return x509.load_pem_x509_certificates(text.encode())


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate, 64 hexadecimal digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def same_key(key: PrivateKeyTypes, certificate: x509.Certificate) -> bool:
    """Whether a private key belongs to a certificate."""
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    mine = key.public_key().public_bytes(*form)
    return mine == certificate.public_key().public_bytes(*form)


def moment(ms: int) -> datetime:
    """Milliseconds since the epoch as what certificates take: whole seconds of UTC."""
    return datetime.fromtimestamp(ms // 1000, UTC)


def milliseconds(at: datetime) -> int:
    """The reverse of `moment`."""
    return int(at.timestamp() * 1000)
