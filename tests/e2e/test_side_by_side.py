"""Two Roosts on one host, and one without root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.rig import Rig
from tests.support.tomls import http_app

pytestmark = pytest.mark.root
REPOSITORY = Path(__file__).parents[2]
SYSTEM_PYTHON = "/usr/bin/python3"
AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def test_two_homes(rig: Rig) -> None:
    """Two ROOST_HOMEs serve the same app name apart; ending one leaves the other."""
    other = Rig()
    other.up()
    try:
        for one, text in ((rig, "first"), (other, "second")):
            folder = one.folder("twin", http_app("twin"), index_html=text)
            one.ok("launch", "--copy-config", "--flycast", "--ha=false", "--yes", cwd=folder)
        callers = rig.caller("calls"), other.caller("calls")
        assert ["first", "second"] == [one.curl("http://twin.flycast/") for one in callers]
    finally:
        other.close()
    assert "first" == callers[0].curl("http://twin.flycast/")


class Nobody:
    """Runs Roost's modules as an ordinary user with the system's Python."""

    def __init__(self, home: Path) -> None:
        self.home = home
        packages = Path(pytest.__file__).parents[1]
        self.env = {
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(home),
            "ROOST_HOME": str(home / "r"),
            "NO_COLOR": "1",
            "PYTHONPATH": f"{REPOSITORY / 'src'}:{packages}",
            "ROOST_PROXY": str(home / "roost-proxy"),
        }

    def run(
        self, module: str, *words: str, folder: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `python -m module words…`."""
        return subprocess.run(
            [*AS_NOBODY, SYSTEM_PYTHON, "-m", module, *words],
            env=self.env,
            cwd=folder or self.home,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def ok(self, *words: str, folder: Path | None = None) -> str:
        """Run the CLI; its output."""
        done = self.run("roost.cli", *words, folder=folder)
        assert 0 == done.returncode, done.stderr
        return done.stdout


def test_without_root() -> None:
    """An ordinary user runs Roost: an app is reached, suspended, woken, and everything ends."""
    home = Path(f"/tmp/roost-nobody-{os.getpid()}")
    home.mkdir(mode=0o755)
    user = Nobody(home)
    try:
        shutil.copy(Path(sys.executable).parent / "roost-proxy", home / "roost-proxy")
        shutil.chown(home, 65534, 65534)
        tried = user.run("roost.cli", "version")
        if tried.returncode != 0:
            pytest.skip("an ordinary user cannot run these sources with /usr/bin/python3 here")
        pool = ("--public-pool", "198.51.100.8/29")
        refused = user.run("roost.daemon", "up", "--detach", *pool)
        assert (1, True) == (refused.returncode, "public addresses need root" in refused.stderr)
        up = user.run("roost.daemon", "up", "--detach")
        assert 0 == up.returncode, up.stderr
        command = "python3 -m http.server 8080 --directory /app"
        shown = home / "web"
        shown.mkdir()
        (shown / "index.html").write_text("hi\n")
        (shown / "fly.toml").write_text(http_app("web", command=command))
        for path in (shown, *shown.iterdir()):
            shutil.chown(path, 65534, 65534)
        user.ok("launch", "--flycast", "--copy-config", "--ha=false", "--yes", folder=shown)
        fetch = ("console", "--", "curl", "-s", "http://web.flycast/")
        assert "hi\n" == user.ok(*fetch)
        machine = user.ok("machine", "list", "-q", "-a", "web").split()[0]
        user.ok("machine", "suspend", machine, "-a", "web", "-w", "20s")
        assert "hi\n" == user.ok(*fetch)
    finally:
        down = user.run("roost.daemon", "down")
        shutil.rmtree(home, ignore_errors=True)
    assert 0 == down.returncode, down.stderr
