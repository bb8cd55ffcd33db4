"""The daemon's own log files stay bounded while others hold them open."""

from __future__ import annotations

from pathlib import Path

from roost.daemon.log_files import shorten


def test_a_full_log_is_moved_aside_under_its_writer(tmp_path: Path) -> None:
    """A full log is kept as `.1`, and whoever has it open goes on writing at its new start."""
    path = tmp_path / "roostd.log"
    with path.open("ab", buffering=0) as writer:
        writer.write(b"x" * 11)
        shorten(path, limit=10)
        writer.write(b"next")
    assert path.read_bytes() == b"next"
    assert (tmp_path / "roostd.log.1").read_bytes() == b"x" * 11


def test_a_small_or_missing_log_is_left_alone(tmp_path: Path) -> None:
    """Nothing happens at the limit itself, nor without a file."""
    path = tmp_path / "proxy.log"
    shorten(path, limit=10)
    path.write_bytes(b"x" * 10)
    shorten(path, limit=10)
    assert [path] == list(tmp_path.iterdir())
