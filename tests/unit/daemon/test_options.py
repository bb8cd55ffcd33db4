"""What `roost up` is told: checked before anything starts."""

from __future__ import annotations

import argparse

import pytest

from roost.daemon.options import add_arguments, parse
from roost.errors import InvalidError


def canary_every(*words: str) -> float:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parse(parser.parse_args(words)).canary_every


def test_canary_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five minutes unless told, by the environment or a flag; 0 is never."""
    monkeypatch.delenv("ROOST_CANARY_EVERY", raising=False)
    assert 300 == canary_every()
    assert 90 == canary_every("--canary-every", "1m30s")
    assert 0 == canary_every("--canary-every", "0")
    monkeypatch.setenv("ROOST_CANARY_EVERY", "1h")
    assert 3600 == canary_every()


@pytest.mark.parametrize("text", ["500ms", "-5s", "25h", "often"])
def test_canary_intervals_that_make_no_sense(text: str) -> None:
    """Too often, too seldom, or no duration at all."""
    with pytest.raises(InvalidError):
        canary_every(f"--canary-every={text}")
