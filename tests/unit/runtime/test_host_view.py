"""What of a host is shown, tried on a made-up one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from roost.runtime.bundle import Bind
from roost.runtime.host_view import HostView


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A small host with programs, settings and secrets."""
    root = tmp_path / "host"
    files = {
        "usr/bin/tool": 0o755,
        "etc/services": 0o644,
        "etc/shadow": 0o644,
        "etc/private.conf": 0o640,
        "etc/locked/inner": 0o644,
        "etc/ssh/ssh_config": 0o644,
        "etc/ssl/certs/ca.pem": 0o644,
        "etc/ssl/private/key": 0o644,
        "root/secret": 0o644,
        "opt/app/settings": 0o644,
        "var/lib/db": 0o644,
    }
    for name, mode in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        path.chmod(mode)
    (root / "etc/locked").chmod(0o750)
    (root / "etc/stray.pem").write_text("-----BEGIN RSA PRIVATE KEY-----\nx\n")
    (root / "etc/mtab").symlink_to("/proc/mounts")
    (root / "bin").symlink_to("usr/bin")
    return root


def _names(layer: Path) -> set[str]:
    return {
        str(path.relative_to(layer)) for path in (layer / "etc").rglob("*") if not path.is_dir()
    }


def test_etc_is_what_everybody_may_read(tmp_path: Path, host: Path) -> None:
    """No file that others cannot read, no named secret, no private key; links as links."""
    layer = HostView(tmp_path / "view", root=host).current().layer
    assert {"etc/services", "etc/ssl/certs/ca.pem", "etc/mtab"} == _names(layer)
    assert (layer / "etc/mtab").is_symlink()


def test_only_programs_are_bound(tmp_path: Path, host: Path) -> None:
    """/usr is shown, /bin is the link it was; home, data and /opt are not there."""
    found = HostView(tmp_path / "view", root=host).current()
    assert (Bind(source=str(host / "usr"), target="/usr"),) == found.binds
    assert "usr/bin" == str((found.layer / "bin").readlink())
    for empty in ("root", "opt", "var/lib", "run", "tmp"):
        assert [] == [p for p in (found.layer / empty).iterdir() if p.name != "lock"]
    assert 0o41777 == (found.layer / "tmp").stat().st_mode


def test_extra_folders(tmp_path: Path, host: Path) -> None:
    """A folder that the operator names is shown at its own path; one that is missing is not."""
    extra = tmp_path / "tools"
    extra.mkdir()
    view = HostView(tmp_path / "view", root=host, extra=(extra, tmp_path / "missing"))
    assert Bind(source=str(extra), target=str(extra)) in view.current().binds
    assert 2 == len(view.current().binds)


def test_copied_again_when_it_changes(tmp_path: Path, host: Path) -> None:
    """The copy is kept while /etc is the same, and old copies go unless they are in use."""
    view = HostView(tmp_path / "view", root=host)
    first = view.current().layer
    assert first == view.current().layer
    (host / "etc/new").write_text("new")
    os.utime(host / "etc", ns=(1, 1))
    second = view.current().layer
    assert first != second
    assert "etc/new" in _names(second)
    view.prune(frozenset({first}))
    assert first.is_dir()
    view.prune(frozenset())
    assert not first.exists()
    assert second.is_dir()
