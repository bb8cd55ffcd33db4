"""Pid files that cannot name a stranger."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from roost.pidfile import PidFile


def test_living_process_is_found(tmp_path: Path) -> None:
    """Our own pid is alive."""
    file = PidFile(tmp_path / "pid")
    file.write(os.getpid())
    assert os.getpid() == file.alive()


def test_reused_pid_is_not_believed(tmp_path: Path) -> None:
    """The same pid with another start time is another process."""
    file = PidFile(tmp_path / "pid")
    file.path.write_text(f"{os.getpid()} 1\n")
    assert file.alive() is None


def test_a_pid_of_an_earlier_boot_is_not_believed(tmp_path: Path) -> None:
    """After a reboot another process may have the same pid and the same time after the boot."""
    file = PidFile(tmp_path / "pid")
    file.write(os.getpid())
    pid, started, boot = file.path.read_text().split()
    file.path.write_text(f"{pid} {started} {'0' * len(boot)}\n")
    assert file.alive() is None
    file.path.write_text(f"{pid} {started}\n")
    assert os.getpid() == file.alive(), "older daemons wrote no boot"


def test_end_kills_and_forgets(tmp_path: Path) -> None:
    """`end` signals that very process and removes the file; twice is fine."""
    process = subprocess.Popen(["sleep", "60"])
    file = PidFile(tmp_path / "pid")
    file.write(process.pid)
    file.end(signal.SIGKILL)
    assert -signal.SIGKILL == process.wait()
    assert not file.path.exists()
    file.end(signal.SIGKILL)


def test_a_reader_sees_the_old_or_the_new(tmp_path: Path) -> None:
    """The file is replaced, never emptied first: who reads it meanwhile has all of the old one."""
    file = PidFile(tmp_path / "pid")
    file.path.write_text("1 1\n")
    with file.path.open() as reading:
        file.write(os.getpid())
        assert "1 1\n" == reading.read()
    assert os.getpid() == file.alive()
    assert [file.path] == list(tmp_path.iterdir())


def test_rubbish_is_nobody(tmp_path: Path) -> None:
    """A missing or damaged file means that nobody lives."""
    file = PidFile(tmp_path / "pid")
    assert file.alive() is None
    file.path.write_text("what")
    assert file.alive() is None
