"""What `roost doctor` says of roost-proxy."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from roost.daemon.doctor import Finding, examine
from roost.home import Home
from roost.pidfile import PidFile


def of_proxy(home: Home) -> Finding:
    """Its line."""
    return next(one for one in examine(home) if one.name == "roost-proxy")


def test_a_newer_program_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the process that runs is the installed program all is well; once that was replaced, the
    fix is to upgrade.
    """
    sleep, program = Path(shutil.which("sleep") or ""), tmp_path / "roost-proxy"
    shutil.copy(sleep, program)
    monkeypatch.setenv("ROOST_PROXY", str(program))
    home = Home(tmp_path / "home")
    home.run.mkdir(parents=True)
    assert of_proxy(home).status == "ok"
    process = subprocess.Popen([program, "60"])
    try:
        PidFile(home.run / "proxy-1.pid").write(process.pid)
        assert of_proxy(home).status == "ok"
        program.unlink()
        shutil.copy(sleep, program)
        found = of_proxy(home)
        assert (found.status, f"pid {process.pid}" in found.detail) == ("degraded", True)
        assert "roost proxy upgrade" in found.fix
    finally:
        process.kill()
        process.wait()
    assert of_proxy(home).status == "ok"
