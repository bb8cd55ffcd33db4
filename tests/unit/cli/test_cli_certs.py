"""`roost certs` and `roost ca`: what is asked and what is printed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.api_stub import ApiStub
from tests.support.cli import Run

PATH = "/v1/apps/web/certificates"
NAME = "www.example.com"
DETAIL: dict[str, Any] = {
    "hostname": NAME,
    "status": "active",
    "certificates": [
        {
            "source": "custom",
            "created_at": "2026-01-02T03:04:05Z",
            "expires_at": "2027-01-02T03:04:05Z",
            "issuer": "CN=R3",
            "issued": [{"type": "ecdsa"}],
        }
    ],
    "dns_requirements": {"a": ["192.0.2.1"], "aaaa": []},
    "validation_errors": [{"message": "it expires in 9 days: add a renewed one"}],
}
ROOTS = {
    "roots": [
        {"fingerprint": "ab" * 32, "certificate": "NEW\n", "signs": True, "created_at": None},
        {"fingerprint": "cd" * 32, "certificate": "OLD\n", "signs": False, "created_at": None},
    ]
}


def test_a_certificate_is_sent_from_files(api: ApiStub, run: Run, tmp_path: Path) -> None:
    """Under flyctl's flags and Roost's; warnings go to standard error."""
    api.on(f"POST {PATH}/custom", DETAIL)
    cert, key = tmp_path / "fullchain.pem", tmp_path / "privkey.pem"
    cert.write_text("CHAIN")
    key.write_text("KEY")
    for verb, one, two in (
        ("add", "--cert", "--key"),
        ("create", "--cert", "--key"),
        ("import", "--fullchain", "--private-key"),
    ):
        ended = run("certs", verb, NAME, one, str(cert), two, str(key), "-a", "web")
        sent = {"hostname": NAME, "fullchain": "CHAIN", "private_key": "KEY"}
        assert api.last(f"POST {PATH}/custom").body == sent
        assert "it expires in 9 days" in ended.err
        assert "Verified" in ended.out
        assert "192.0.2.1" in ended.out
        assert "KEY" not in ended.out + ended.err


def test_nothing_is_asked_for_without_files(api: ApiStub, run: Run, tmp_path: Path) -> None:
    """The error says what to do instead of waiting for a public authority."""
    ended = run("certs", "add", NAME, "-a", "web")
    assert ended.code == 1
    assert "pass --cert FILE and --key FILE. https://web.flycast needs none" in ended.err
    missing = str(tmp_path / "no.pem")
    ended = run("certs", "add", NAME, "--cert", missing, "--key", missing, "-a", "web")
    assert ended.code == 1
    assert "no.pem cannot be read" in ended.err


def test_the_list_and_one(api: ApiStub, run: Run) -> None:
    """flyctl's columns, with the end; what to see to goes to standard error."""
    item = {
        "hostname": NAME,
        "has_custom_certificate": True,
        "status": "active",
        "expires_at": "2027-01-02T03:04:05Z",
        "warnings": ["it expires soon"],
    }
    api.on(f"GET {PATH}", {"certificates": [item, item | {"status": "expired"}]})
    ended = run("certs", "list", "-a", "web")
    header, first, second = ended.out.splitlines()
    assert [cell.strip() for cell in header.split("\t")] == [
        "HOSTNAME",
        "SOURCE",
        "STATUS",
        "EXPIRES",
    ]
    assert "Verified" in first
    assert "Expired" in second
    assert f"{NAME}: it expires soon" in ended.err
    api.on(f"POST {PATH}/{NAME}/check", DETAIL)
    for verb in ("check", "show"):
        assert "CN=R3" in run("certs", verb, NAME, "-a", "web").out


def test_a_certificate_is_removed_when_confirmed(api: ApiStub, run: Run) -> None:
    """A wildcard is named as any other."""
    api.on(f"GET {PATH}/*.example.com", DETAIL)
    api.on(f"DELETE {PATH}/*.example.com", {})
    assert run("certs", "remove", "*.example.com", "-a", "web").code == 1
    ended = run("certs", "remove", "*.example.com", "-a", "web", "--yes")
    assert "removed from app web" in ended.err


def test_the_roots_go_to_standard_output_alone(api: ApiStub, run: Run) -> None:
    """So that they can be put into a file; what they are goes to standard error."""
    api.on("GET /v1/orgs/acme/ca", ROOTS)
    ended = run("ca", "show", "acme")
    assert ended.out == "NEW\nOLD\n"
    assert f"{'ab' * 32}: until , signs" in ended.err


def test_a_ca_is_rotated_and_cleared(api: ApiStub, run: Run) -> None:
    """The next steps are said; removing asks first."""
    api.on("POST /v1/orgs/personal/ca/rotate", ROOTS)
    ended = run("ca", "rotate")
    assert "remove the older one" in ended.err
    assert "FINGERPRINT" in ended.out
    api.on("DELETE /v1/orgs/acme/ca/cdcdcdcd", {"roots": ROOTS["roots"][:1]})
    assert run("ca", "remove", "cdcdcdcd", "-o", "acme").code == 1
    ended = run("ca", "remove", "cdcdcdcd", "-o", "acme", "-y")
    assert "cdcd" not in ended.out
