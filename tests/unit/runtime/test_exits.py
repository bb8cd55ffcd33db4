"""Exit codes in a shell's way."""

from __future__ import annotations

import pytest

from roost.runtime.exits import exit_of


@pytest.mark.parametrize(
    ("code", "signal"),
    [(0, 0), (1, 0), (128, 0), (130, 2), (137, 9), (192, 64), (193, 0), (255, 0)],
)
def test_signal_of_a_code(code: int, signal: int) -> None:
    """128+n is signal n where there is such a signal."""
    ended = exit_of("m1", code, 5, oom_killed=False)
    assert (code, signal, 5) == (ended.exit_code, ended.signal, ended.at_ms)
