"""Programs started and awaited on the event loop."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from roost.errors import DeadlineError, UnavailableError
from roost.runtime import spawn


def _open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_streams_and_code() -> None:
    """Input goes in, both outputs come back apart, and the code is the program's."""
    script = "cat; echo problem >&2; exit 3"
    done = asyncio.run(spawn.run(["/bin/sh", "-c", script], stdin=b"x" * 200_000, timeout=20))
    assert (3, b"x" * 200_000, b"problem\n") == (done.code, done.stdout, done.stderr)


def test_output_is_cut() -> None:
    """More output than the limit is thrown away; the program ends all the same."""
    script = "head -c 300000 /dev/zero; exit 0"
    done = asyncio.run(spawn.run(["/bin/sh", "-c", script], timeout=20, limit=1000))
    assert (0, 1000) == (done.code, len(done.stdout))


def test_input_nobody_reads() -> None:
    """A program that does not read its input is no failure."""
    done = asyncio.run(spawn.run(["/bin/true"], stdin=b"x" * 1_000_000, timeout=20))
    assert 0 == done.code


def test_killed_at_the_deadline() -> None:
    """A program that runs too long is killed and reaped."""

    async def body() -> None:
        with pytest.raises(DeadlineError):
            await spawn.run(["/bin/sleep", "1000"], timeout=0.05)

    before = _children()
    asyncio.run(body())
    assert set() == _children() - before


def _children() -> set[str]:
    """Pids of this process's children, zombies too; other tests may have some."""
    tasks = Path("/proc/self/task").glob("*/children")
    return {pid for task in tasks for pid in task.read_text().split()}


def test_signal_is_a_code() -> None:
    """Ended by signal n is 128+n."""
    done = asyncio.run(spawn.run(["/bin/sh", "-c", "kill -9 $$"], timeout=20))
    assert 137 == done.code


def test_missing_program() -> None:
    """A program that is not there is said so, and no descriptor stays open."""

    async def body() -> None:
        before = _open_descriptors()
        with pytest.raises(UnavailableError, match="cannot be started"):
            await spawn.run(["/nonexistent/program"], timeout=20)
        assert before == _open_descriptors()

    asyncio.run(body())
