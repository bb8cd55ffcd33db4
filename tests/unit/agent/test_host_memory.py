"""What the kernel says of available memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost.agent.host_memory import available_memory


def test_this_host() -> None:
    """A Linux host has some."""
    assert available_memory() > 0


def test_a_kernel_that_does_not_say(tmp_path: Path) -> None:
    """Bytes, from kibibytes; a file without the line is an error that names it."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  9 kB\nMemAvailable:    2048 kB\n")
    assert 2 << 20 == available_memory(meminfo)
    meminfo.write_text("MemTotal:  9 kB\n")
    with pytest.raises(OSError, match="has no MemAvailable"):
        available_memory(meminfo)
