"""What users bring is checked as a whole before anything is kept."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from roost.errors import InvalidError
from roost.pki.given import MAX_CHAIN, check
from roost.pki.hostnames import covers, hostname
from tests.support.certificates import DAY, Made, make

NOW = 1_700_000_000_000
BEGINS = datetime.fromtimestamp(NOW / 1000, UTC) - DAY
NAME = "www.example.com"


def refused(hostname_: str, chain: str, key: str) -> str:
    """The sentence with which it is refused."""
    with pytest.raises(InvalidError) as caught:
        check(hostname_, chain, key, NOW)
    assert key.strip() not in str(caught.value) or not key
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (ec.generate_private_key(ec.SECP256R1()), "ecdsa"),
        (ec.generate_private_key(ec.SECP384R1()), "ecdsa"),
        (ed25519.Ed25519PrivateKey.generate(), "ed25519"),
        (rsa.generate_private_key(65537, 2048), "rsa"),
    ],
)
def test_keys_that_the_proxy_can_use_are_taken(key: PrivateKeyTypes, kind: str) -> None:
    """And kept in one form."""
    made = make(NAME, key=key, begins=BEGINS)
    found = check(NAME, made.text, made.key_text, NOW)
    assert found.key_type == kind
    assert found.key.startswith("-----BEGIN PRIVATE KEY-----")
    # TLS 1.2 is served with suites of ECDSA only.
    assert ["TLS 1.2" in remark for remark in found.remarks] == [True] * (kind != "ecdsa")
    assert found.not_before < NOW < found.not_after


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (rsa.generate_private_key(65537, 1024), "1024 bits: too weak"),
        (ec.generate_private_key(ec.SECP521R1()), "are not served"),
        (dsa.generate_private_key(1024), "are not served"),
    ],
)
def test_keys_that_it_cannot_use_are_refused(key: PrivateKeyTypes, why: str) -> None:
    """With what to use instead."""
    signer = make(begins=BEGINS, ca=True)
    made = make(NAME, key=key, by=signer, begins=BEGINS)
    assert why in refused(NAME, made.text, made.key_text)


def test_what_can_never_work_is_refused_with_the_reason() -> None:
    """Each mistake has its own sentence."""
    good, other = make(NAME, begins=BEGINS), make(NAME, begins=BEGINS)
    locked = good.key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word")
    ).decode()
    old, young = make(NAME, begins=BEGINS, days=0.5), make(NAME, begins=BEGINS + 2 * DAY)
    bare, apart = make(begins=BEGINS, subject=NAME), make("example.com", begins=BEGINS)
    cases = (
        ("not in PEM form", "nonsense", good.key_text),
        ("not in PEM form", good.text.replace("MII", "AAA", 1), good.key_text),
        ("not in PEM form", good.text, "nonsense"),
        ("not in PEM form", "", good.key_text),
        ("does not belong", good.text, other.key_text),
        ("is encrypted", good.text, locked),
        ("has a private key in it", good.text + good.key_text, good.key_text),
        ("expired on 2023-11", old.text, old.key_text),
        ("is valid from 2023-11", young.text, young.key_text),
        ("it names no host at all", bare.text, bare.key_text),
        ("it names example.com", apart.text, apart.key_text),
        ("more than 64 KiB", good.text + " " * MAX_CHAIN, good.key_text),
        ("more than 10", "".join(good.text for _ in range(11)), good.key_text),
        ("more than 4 KiB", good.text, good.key_text + " " * MAX_CHAIN),
    )
    for sentence, chain, key in cases:
        assert sentence in refused(NAME, chain, key)


def test_a_chain_is_put_in_order_and_what_is_odd_remarked() -> None:
    """Servers send their own certificate first, each followed by its issuer."""
    root = make(begins=BEGINS, ca=True, subject="root")
    middle = make(by=root, begins=BEGINS, ca=True, subject="middle")
    leaf = make(NAME, by=middle, begins=BEGINS, subject="leaf")
    stray = make(begins=BEGINS, ca=True, subject="stray")
    wanted = leaf.text + middle.text + root.text
    straight = check(NAME, wanted, leaf.key_text, NOW)
    assert (straight.chain, straight.remarks) == (wanted, ())
    turned = check(NAME, root.text + leaf.text + middle.text, leaf.key_text, NOW)
    assert turned.chain == wanted
    assert turned.remarks == ("the chain was not in order: it is now",)
    cut = check(NAME, leaf.text + middle.text + stray.text, leaf.key_text, NOW)
    assert cut.chain == leaf.text + middle.text
    assert "did not belong" in cut.remarks[0]
    alone = check(NAME, leaf.text, leaf.key_text, NOW)
    assert "CN=middle" in alone.remarks[0]
    ended = make(by=root, key=middle.key, begins=BEGINS, days=0.5, ca=True, subject="middle")
    late = check(NAME, leaf.text + ended.text, leaf.key_text, NOW)
    assert late.remarks == ("CN=middle in the chain has expired",)


def test_wildcards_stand_for_one_label() -> None:
    """RFC 6125, 6.4.3; a wildcard can itself be added when the certificate has it."""
    assert covers("*.example.com", "www.example.com")
    assert covers("*.Example.com.", "www.example.com")
    assert covers("*.example.com", "*.example.com")
    assert not covers("*.example.com", "a.b.example.com")
    assert not covers("*.example.com", "example.com")
    assert not covers("www.example.com", "*.example.com")
    assert not covers("*.*.example.com", "a.b.example.com")


def test_host_names_have_one_form() -> None:
    """Whatever is written, what is compared is lower-case ASCII without the last dot."""
    assert hostname(" WWW.Example.com. ") == "www.example.com"
    assert hostname("*.example.com") == "*.example.com"
    for text in ("", "localhost", "a..b", "*.com", "ü.example.com", "192.0.2.1", "[::1]", "a b.c"):
        with pytest.raises(InvalidError):
            hostname(text)
    for text in ("a.*.example.com", "*", "*a.example.com", "x" * 64 + ".com", "-a.com", "a.b/c"):
        with pytest.raises(InvalidError):
            hostname(text)


def test_a_certificate_ends_when_it_says() -> None:
    """At its very end it is expired, a second before it is not."""
    made = make(NAME, begins=BEGINS, days=2)
    ends = int((BEGINS + timedelta(days=2)).timestamp() * 1000)
    assert check(NAME, made.text, made.key_text, ends - 1000).not_after == ends
    with pytest.raises(InvalidError):
        check(NAME, made.text, made.key_text, ends)


def test_the_largest_key_that_is_served_is_not_too_large() -> None:
    """RSA of 4096 bits fits; one of 8192, which takes seconds to check, is refused unread."""
    made = make(NAME, key=rsa.generate_private_key(65537, 4096), begins=BEGINS)
    assert check(NAME, made.text, made.key_text, NOW).key_type == "rsa"
    assert "more than 4 KiB" in refused(NAME, made.text, "x" * 6400)


def damaged(made: Made, before: bytes, after: bytes) -> str:
    """A certificate in which bytes of its DER are others."""
    der = made.certificate.public_bytes(Encoding.DER)
    assert before in der
    text = base64.encodebytes(der.replace(before, after)).decode()
    return f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n"


def test_odd_certificates_are_refused_as_well() -> None:
    """A key of an unknown kind, an old hash or an extension twice is the user's mistake and no
    failure.
    """
    made = make(NAME, begins=BEGINS, ca=True)
    id_ec, unknown = bytes.fromhex("06072a8648ce3d0201"), bytes.fromhex("06072a8648ce3d0209")
    assert "does not belong" in refused(NAME, damaged(made, id_ec, unknown), made.key_text)
    sha256, sha1 = bytes.fromhex("06092a864886f70d01010b"), bytes.fromhex("06092a864886f70d010105")
    old = make(NAME, key=rsa.generate_private_key(65537, 2048), begins=BEGINS)
    assert "signed with sha1" in refused(NAME, damaged(old, sha256, sha1), old.key_text)
    alternative, constraints = bytes.fromhex("0603551d13"), bytes.fromhex("0603551d11")
    twice = damaged(made, alternative, constraints)
    assert "extensions cannot be read" in refused(NAME, twice, made.key_text)
