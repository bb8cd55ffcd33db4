"""Roots and what they sign, judged by another implementation: OpenSSL's own verification."""

from __future__ import annotations

import subprocess
import time
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from roost.pki import pem
from roost.pki.leaf import new_leaf
from roost.pki.root import DAY_MS, INSIDE, Root, Scope, new_root, scope_of

NOW = time.time_ns() // 1_000_000
SCOPE = Scope(domains=("flycast", "apps.example"), networks=(INSIDE, IPv4Network("192.0.2.0/29")))
NAMES = ("web.flycast", "web.apps.example", "fdaa:0:1:0:1::2", "192.0.2.1")


def verified(folder: Path, root: Root, chain: str, *, at_ms: int = NOW) -> str:
    """What `openssl verify` says of a chain whose reader trusts only this root."""
    (folder / "root.pem").write_text(pem.chain_text([root.certificate]))
    (folder / "chain.pem").write_text(chain)
    line = ["openssl", "verify", "-x509_strict", "-attime", str(at_ms // 1000)]
    line += ["-purpose", "sslserver", "-CAfile", "root.pem", "-untrusted", "chain.pem"]
    done = subprocess.run(
        [*line, "chain.pem"], cwd=folder, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_a_root_is_believed_for_what_roost_gives_out(tmp_path: Path) -> None:
    """Names and addresses within its scope verify, strictly, now and just before the end."""
    root = new_root("acme", SCOPE, mark="1", now_ms=NOW)
    leaf = new_leaf(root, "web", NAMES, NOW)
    for at_ms in (NOW, leaf.not_after - 1000):
        assert "chain.pem: OK" in verified(tmp_path, root, leaf.chain, at_ms=at_ms)
    assert "expired" in verified(tmp_path, root, leaf.chain, at_ms=leaf.not_after + 1000)


@pytest.mark.parametrize("name", ["bank.example", "flycast.example", "10.0.0.1", "2001:db8::1"])
def test_a_root_is_believed_for_nothing_else(tmp_path: Path, name: str) -> None:
    """Who has its key still cannot stand in for the rest of the internet."""
    root = new_root("acme", SCOPE, mark="1", now_ms=NOW)
    leaf = new_leaf(root, "web", ["web.flycast", name], NOW)
    assert "permitted subtree violation" in verified(tmp_path, root, leaf.chain)


def test_who_trusts_an_older_root_believes_the_newest(tmp_path: Path) -> None:
    """By the cross certificates in the chain, over several rotations."""
    first = new_root("acme", SCOPE, mark="1", now_ms=NOW)
    second = new_root("acme", SCOPE, mark="2", now_ms=NOW, before=first)
    third = new_root("acme", SCOPE, mark="3", now_ms=NOW, before=second)
    assert third.cross is not None
    assert second.cross is not None
    leaf = new_leaf(third, "web", NAMES, NOW, [third.cross, second.cross])
    for root in (first, second, third):
        assert "chain.pem: OK" in verified(tmp_path, root, leaf.chain)
    stranger = new_root("acme", SCOPE, mark="1", now_ms=NOW)
    assert "chain.pem: OK" not in verified(tmp_path, stranger, leaf.chain)


def test_a_root_is_for_servers_alone() -> None:
    """Name constraints bind hosts; mail and code, for which some trust stores believe roots, it may
    not vouch for at all, nor may one that took its place.
    """
    first = new_root("acme", SCOPE, mark="1", now_ms=NOW)
    second = new_root("acme", SCOPE, mark="2", now_ms=NOW, before=first)
    assert second.cross is not None
    for one in (first.certificate, second.certificate, second.cross):
        usage = one.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
        # Who does not understand them must not believe it at all.
        assert one.extensions.get_extension_for_class(x509.NameConstraints).critical


def test_a_scope_is_read_back_from_a_root() -> None:
    """What a root may sign for is in the root, whatever the settings are today."""
    scope = scope_of(new_root("acme", SCOPE, mark="1", now_ms=NOW).certificate)
    assert scope == SCOPE
    assert "web.flycast" in scope
    assert "flycast" in scope
    assert "fdaa:7::1" in scope
    assert "webflycast" not in scope
    assert "web.flycast.example" not in scope
    assert "fdab::1" not in scope


def test_a_leaf_is_a_server_for_a_week_with_a_key_of_its_own() -> None:
    """Two of them share neither key nor serial number, and cannot sign."""
    root = new_root("acme", SCOPE, mark="1", now_ms=NOW)
    one, other = (new_leaf(root, "web", NAMES, NOW) for _ in range(2))
    assert one.key != other.key
    mine, theirs = (pem.load_chain(leaf.chain)[0] for leaf in (one, other))
    assert mine.serial_number != theirs.serial_number
    assert not mine.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert 7 * DAY_MS - (one.not_after - NOW) < 1000
    assert one.not_before < NOW < one.renew_at < one.not_after


def test_nothing_outlives_its_root() -> None:
    """A leaf ends with the root at the latest, and so does a cross certificate."""
    root = new_root("acme", SCOPE, mark="1", now_ms=NOW)
    ends = pem.milliseconds(root.certificate.not_valid_after_utc)
    late = ends - DAY_MS
    assert new_leaf(root, "web", NAMES, late).not_after == ends
    after = new_root("acme", SCOPE, mark="2", now_ms=late, before=root)
    assert after.cross is not None
    assert pem.milliseconds(after.cross.not_valid_after_utc) == ends
