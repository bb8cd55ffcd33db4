"""Moves between cgroups are kept quick only as long as somebody expects one."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from roost.runtime.moves import Moves


@dataclass(frozen=True, slots=True)
class Group:
    """A folder whose cgroup.procs is a FIFO: what is written into it can be waited for."""

    path: Path
    fifo: int

    def written(self, count: int) -> str:
        return "".join(os.read(self.fifo, 1).decode() for _ in range(count))


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    path = tmp_path / "cgroup.procs"
    os.mkfifo(path)
    fifo = os.open(path, os.O_RDWR)
    yield Group(tmp_path, fifo)
    os.close(fifo)


def movers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "cgroup-moves"]


def ended() -> bool:
    for thread in movers():
        thread.join(10)
    return not movers()


def test_moves_go_on_while_one_is_expected(group: Group) -> None:
    """This process is written into its group again and again, by one thread for all."""
    moves = Moves(group.path)
    with moves.expected(), moves.expected():
        assert group.written(5) == "00000"
        assert len(movers()) == 1
    assert ended()


def test_the_next_one_begins_again(group: Group) -> None:
    """After everybody is done nothing is written, and the next container starts it anew."""
    moves = Moves(group.path)
    for _ in range(2):
        with moves.expected():
            assert group.written(1) == "0"
        assert ended()


def test_a_refusal_is_the_end(tmp_path: Path) -> None:
    """Where the group may not be written containers are made as before, and nobody tries again."""
    folder = tmp_path / "later"
    moves = Moves(folder)
    with moves.expected():
        assert ended()
    folder.mkdir()
    os.mkfifo(folder / "cgroup.procs")
    with moves.expected():
        assert not movers()


def test_without_cgroups_nothing_is_done() -> None:
    """No group, no thread."""
    with Moves(None).expected():
        assert not movers()
