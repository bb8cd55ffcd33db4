"""A server's certificate, signed by its callers' organization: short-lived, with its own key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from roost.pki import pem
from roost.pki.root import DAY_MS, SKEW_MS, Root, key_usage

LEAF_MS = 7 * DAY_MS
"""Short, since nothing is revoked: what was stolen ends by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A server's certificate with its chain and key, as PEM; times in milliseconds."""

    chain: str
    key: str
    not_before: int
    not_after: int
    renew_at: int


def new_leaf(
    root: Root,
    app: str,
    names: Iterable[str],
    now_ms: int,
    crosses: Iterable[x509.Certificate] = (),
) -> Leaf:
    """A fresh key and its certificate for host names and addresses, all within the root's scope.

    `crosses` go along for those who trust an older root only.
    """
    key = pem.new_key()
    ends = min(now_ms + LEAF_MS, pem.milliseconds(root.certificate.not_valid_after_utc))
    public = key.public_key()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, app)]))
        .issuer_name(root.certificate.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(pem.moment(now_ms - SKEW_MS))
        .not_valid_after(pem.moment(ends))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([_general(name) for name in names]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(root.key.public_key()),
            critical=False,
        )
        .sign(root.key, hashes.SHA256())
    )
    return Leaf(
        chain=pem.chain_text([certificate, *crosses]),
        key=pem.key_text(key),
        not_before=pem.milliseconds(certificate.not_valid_before_utc),
        not_after=pem.milliseconds(certificate.not_valid_after_utc),
        renew_at=now_ms + (ends - now_ms) * 2 // 3,
    )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
