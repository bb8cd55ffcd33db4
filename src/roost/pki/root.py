"""An organization's root: made to be trusted by its Machines and laptops, and for nothing else.

Its name constraints (RFC 5280, 4.2.1.10, critical) bind it to what this Roost gives out, so that a
stolen key cannot stand in for the rest of the internet with those who trust it. A root that takes
another's place is also signed by that one: who trusts only the older root believes what the newer
one signs, by the `cross` certificate that goes along.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from roost.pki import pem

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
ROOT_DAYS = 3652
"""Ten years: people put roots into their trust stores by hand."""
SKEW_MS = HOUR_MS // 12
"""How far the clocks of callers may be behind ours."""

FLYCAST = "flycast"
INSIDE = IPv6Network("fdaa::/16")
"""Every address of every private network."""

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Root:
    """A root with its key, and the certificate of the same key by the root before it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    cross: x509.Certificate | None = None

    @classmethod
    def load(cls, certificate: str, key: str, cross: str = "") -> Root:
        """From PEM. Raises ValueError or TypeError for what is not such a root."""
        return cls(
            certificate=pem.load_chain(certificate)[0],
            key=pem.load_signing_key(key),
            cross=pem.load_chain(cross)[0] if cross else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a root may sign for: names at or below `domains`, addresses in `networks`."""

    domains: tuple[str, ...] = (FLYCAST,)
    networks: tuple[Network, ...] = (INSIDE,)

    def __contains__(self, name: str) -> bool:
        """Whether a host name or an address in text is within."""
        try:
            address = ip_address(name)
        except ValueError:
            return any(name == one or name.endswith(f".{one}") for one in self.domains)
        return any(address in one for one in self.networks)


def new_root(org: str, scope: Scope, *, mark: str, now_ms: int, before: Root | None = None) -> Root:
    """A fresh root; `mark` tells it from the organization's others, `before` signs it too."""
    key = pem.new_key()
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, org),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Roost CA {mark}"),
        ]
    )
    ends = now_ms + ROOT_DAYS * DAY_MS
    certificate = _signed(_Asked(subject, key, scope, now_ms, ends), subject, key)
    cross = None
    if before is not None:
        ends = min(ends, pem.milliseconds(before.certificate.not_valid_after_utc))
        asked = _Asked(subject, key, scope, now_ms, ends)
        cross = _signed(asked, before.certificate.subject, before.key)
    return Root(certificate=certificate, key=key, cross=cross)


def scope_of(certificate: x509.Certificate) -> Scope:
    """What a root of ours may sign for."""
    permitted = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    subtrees = permitted.permitted_subtrees or []
    return Scope(
        domains=tuple(one.value for one in subtrees if isinstance(one, x509.DNSName)),
        networks=tuple(
            one.value
            for one in subtrees
            if isinstance(one, x509.IPAddress) and isinstance(one.value, Network)
        ),
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    subject: x509.Name
    key: ec.EllipticCurvePrivateKey
    scope: Scope
    now_ms: int
    ends_ms: int


def _signed(
    asked: _Asked, issuer: x509.Name, signer: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    public, authority = asked.key.public_key(), signer.public_key()
    usage = key_usage(certificates=True)
    return (
        x509.CertificateBuilder()
        .subject_name(asked.subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(pem.moment(asked.now_ms - SKEW_MS))
        .not_valid_after(pem.moment(asked.ends_ms))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(_constraints(asked.scope), critical=True)
        # The constraints say nothing of mail or code, which some trust stores believe roots for.
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority), critical=False
        )
        .sign(signer, hashes.SHA256())
    )


def _constraints(scope: Scope) -> x509.NameConstraints:
    names: list[x509.GeneralName] = [x509.DNSName(one) for one in scope.domains]
    names += [x509.IPAddress(one) for one in scope.networks]
    return x509.NameConstraints(permitted_subtrees=names, excluded_subtrees=None)


def key_usage(*, certificates: bool) -> x509.KeyUsage:
    """What a key is for: signing certificates (and their revocations), or a server's TLS."""
    return x509.KeyUsage(
        digital_signature=not certificates,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
