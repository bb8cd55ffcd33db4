"""Checks what a user brings: a chain and a private key for a host name.

What can never work is refused with what is wrong; what is only odd is put right if it can be, and
remarked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from roost.errors import InvalidError
from roost.pki import pem
from roost.pki.hostnames import covers

MAX_CHAIN = 64 * 1024
MAX_KEY = 4 * 1024
"""One of RSA with 4096 bits has 3.2 KiB. Larger ones take seconds to check."""
MAX_LENGTH = 10
"""Certificates in a chain."""
RSA_BITS = range(2048, 4097)
CURVES = ("secp256r1", "secp384r1")
_BROKEN_HASHES = (hashes.MD5, hashes.SHA1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What was brought, checked and in order; `chain` and `key` are PEM, times milliseconds."""

    chain: str
    key: str
    issuer: str
    key_type: str
    remarks: tuple[str, ...]
    not_before: int
    not_after: int


def check(hostname: str, chain: str, key: str, now_ms: int) -> Given:
    """Raises InvalidError, one sentence about the first thing that is wrong.

    Takes up to a second for keys of RSA: not for the event loop.
    """
    certificates = _certificates(chain)
    private = _key(key)
    key_type = _key_type(private)
    leaf = _of_key(private, certificates)
    _check_dates(leaf, now_ms)
    _check_names(leaf, hostname)
    _check_signature(leaf)
    ordered, remarks = _in_order(leaf, certificates, now_ms)
    if key_type != "ecdsa":
        remarks.append(
            f"callers that speak only TLS 1.2 cannot use a certificate of {key_type.upper()}, nor "
            'can a port with versions = ["TLSv1.2"]: have it issued for an ECDSA key'
        )
    return Given(
        chain=pem.chain_text(ordered),
        key=pem.key_text(private),
        issuer=_shown(leaf.issuer),
        key_type=key_type,
        remarks=tuple(remarks),
        not_before=pem.milliseconds(leaf.not_valid_before_utc),
        not_after=pem.milliseconds(leaf.not_valid_after_utc),
    )


def _certificates(text: str) -> list[x509.Certificate]:
    if len(text) > MAX_CHAIN:
        raise InvalidError(f"the chain has more than {MAX_CHAIN // 1024} KiB")
    if "PRIVATE KEY-----" in text:
        raise InvalidError(
            "the chain has a private key in it", hint="give certificates and key apart"
        )
    try:
        found = pem.load_chain(text)
    except ValueError as error:
        raise InvalidError(
            "the certificate is not in PEM form, or damaged",
            hint="give the file that begins with -----BEGIN CERTIFICATE-----, such as "
            "fullchain.pem",
        ) from error
    if len(found) > MAX_LENGTH:
        raise InvalidError(
            f"the chain has {len(found)} certificates, more than {MAX_LENGTH}",
            hint="leave out those that do not lead from the server's own to its root",
        )
    return found


def _key(text: str) -> PrivateKeyTypes:
    if len(text) > MAX_KEY:
        raise InvalidError(f"the private key has more than {MAX_KEY // 1024} KiB")
    try:
        return load_pem_private_key(text.encode(), password=None)
    except TypeError as error:
        raise InvalidError(
            "the private key is encrypted",
            hint="decrypt it first: openssl pkey -in KEY -out KEY.plain",
        ) from error
    except UnsupportedAlgorithm as error:
        raise InvalidError("the private key is of a kind that is not known") from error
    except ValueError as error:
        raise InvalidError(
            "the private key is not in PEM form, or damaged",
            hint="give the file that begins with -----BEGIN PRIVATE KEY-----",
        ) from error


def _key_type(key: PrivateKeyTypes) -> str:
    match key:
        case ec.EllipticCurvePrivateKey() if key.curve.name in CURVES:
            return "ecdsa"
        case ed25519.Ed25519PrivateKey():
            return "ed25519"
        case rsa.RSAPrivateKey() if key.key_size in RSA_BITS:
            return "rsa"
        case rsa.RSAPrivateKey() if key.key_size < RSA_BITS[0]:
            raise InvalidError(
                f"the RSA key has {key.key_size} bits: too weak", hint="make one of 2048 or more"
            )
        case _:
            raise InvalidError(
                "keys of this kind are not served",
                hint="use ECDSA on P-256 or P-384, Ed25519, or RSA of 2048 to 4096 bits",
            )


def _of_key(key: PrivateKeyTypes, certificates: Sequence[x509.Certificate]) -> x509.Certificate:
    found = next((one for one in certificates if _is_of(key, one)), None)
    if found is None:
        raise InvalidError(
            "the private key does not belong to the certificate",
            hint="give the two files of one certificate",
        )
    return found


def _is_of(key: PrivateKeyTypes, certificate: x509.Certificate) -> bool:
    try:
        return pem.same_key(key, certificate)
    except (UnsupportedAlgorithm, ValueError):
        return False  # of a kind that no key of ours is


def _check_dates(leaf: x509.Certificate, now_ms: int) -> None:
    begins, ends, now = leaf.not_valid_before_utc, leaf.not_valid_after_utc, pem.moment(now_ms)
    if now >= ends:
        raise InvalidError(f"the certificate expired on {ends:%Y-%m-%d %H:%M} UTC", hint="renew it")
    if now < begins:
        raise InvalidError(
            f"the certificate is valid from {begins:%Y-%m-%d %H:%M} UTC only",
            hint="wait, or set this host's clock",
        )


def _check_names(leaf: x509.Certificate, hostname: str) -> None:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        known = names.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        known = []
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise InvalidError("the certificate's extensions cannot be read") from error
    if not any(covers(name, hostname) for name in known):
        listed = ", ".join(known[:5]) + (", …" if len(known) > 5 else "")
        raise InvalidError(
            f"the certificate is not for {hostname}: it names {listed or 'no host at all'}",
            hint="a wildcard stands for one label; a name in the subject alone is not looked at "
            "by clients",
        )


def _check_signature(leaf: x509.Certificate) -> None:
    try:
        algorithm = leaf.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return
    if isinstance(algorithm, _BROKEN_HASHES):
        raise InvalidError(
            f"the certificate is signed with {algorithm.name}, which clients refuse",
            hint="have it issued again with SHA-256",
        )


def _in_order(
    leaf: x509.Certificate, certificates: Sequence[x509.Certificate], now_ms: int
) -> tuple[list[x509.Certificate], list[str]]:
    """The leaf, its issuer, and so on; what leads nowhere is left out."""
    chain, left, remarks = [leaf], [one for one in certificates if one != leaf], []
    while (above := next((one for one in left if _issued(one, chain[-1])), None)) is not None:
        chain.append(above)
        left.remove(above)
    if left:
        remarks.append(f"{len(left)} certificate(s) of the chain did not belong to it: left out")
    elif chain != list(certificates):
        remarks.append("the chain was not in order: it is now")
    remarks += [
        f"{_shown(one.subject)} in the chain has expired"
        for one in chain[1:]
        if one.not_valid_after_utc <= pem.moment(now_ms)
    ]
    if len(chain) == 1 and leaf.issuer != leaf.subject:
        remarks.append(
            f"the chain has only the server's own certificate: callers who do not know its issuer "
            f"({_shown(leaf.issuer)}) refuse it; add the intermediate certificates"
        )
    return chain, remarks


def _issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _shown(name: x509.Name) -> str:
    return name.rfc4514_string()[:200] or "nameless"
