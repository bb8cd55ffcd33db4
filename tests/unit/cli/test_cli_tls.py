"""The CLI over HTTPS, with a real certificate, against the real API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.api.tls import Certificate
from roost.clock import SystemClock
from tests.support.certificates import Authority, make_authority
from tests.support.cli import Run
from tests.support.live_api import LiveApi, live_api

PLACES = ("ROOST_CACERT", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """A private one, which nobody trusts yet."""
    for name in PLACES:
        monkeypatch.delenv(name, raising=False)
    return make_authority(tmp_path / "ca")


@pytest.fixture
def live(
    home: Path,
    authority: Authority,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[LiveApi]:
    """A Roost that is reached over HTTPS, its token in the environment."""
    certificate = Certificate(authority.issue(), SystemClock())
    folder = tmp_path_factory.mktemp("live") / "home"
    with live_api(folder, tls=certificate.context) as served:
        monkeypatch.setenv("ROOST_API_URL", f"https://127.0.0.1:{served.port}")
        monkeypatch.setenv("ROOST_ACCESS_TOKEN", (folder / "token").read_text().strip())
        yield served


@pytest.mark.parametrize("variable", ["ROOST_CACERT", "SSL_CERT_FILE"])
def test_a_private_authority(
    live: LiveApi,
    run: Run,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
) -> None:
    """Calls and commands in Machines work once the authority's file is named."""
    monkeypatch.setenv(variable, str(authority.file))
    assert 0 == run("apps", "create", "web").code
    assert "web" in run("apps", "list").out
    words = ["--image", "roost/host", "--command", "sleep 9", "--name", "shell"]
    assert 0 == run("launch", *words, "--smoke-checks=false").code
    ended = run("console", "true")
    assert (0, "ready\n") == (ended.code, ended.out), ended.err


def test_an_unknown_authority(live: LiveApi, run: Run) -> None:
    """Without it nothing is sent, and the sentence says how to name the authority."""
    ended = run("apps", "list")
    assert 1 == ended.code
    assert "is not trusted" in ended.err
    assert "ROOST_CACERT=FILE" in ended.err


def test_a_file_that_is_no_authority(
    live: LiveApi, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing or senseless file is named."""
    (tmp_path / "x.pem").write_text("hello")
    for name in ("x.pem", "missing.pem"):
        monkeypatch.setenv("ROOST_CACERT", str(tmp_path / name))
        ended = run("apps", "list")
        assert (1, True) == (ended.code, f"ROOST_CACERT={tmp_path / name}" in ended.err)
