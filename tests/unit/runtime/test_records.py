"""A container's files on the host."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from roost.errors import InvalidError
from roost.runtime.records import Main, Record, Records, parent_of, start_time

RECORD = Record(runtime="crun", labels={"a": "b"}, process={"env": ["X=1"], "cwd": "/"})


@pytest.fixture
def records(tmp_path: Path) -> Records:
    """Empty, set up."""
    made = Records(tmp_path / "containers")
    made.setup()
    return made


def test_written_and_read(records: Records) -> None:
    """What was begun and completed is read by another process, hidden folders are no containers."""
    records.begin("m1", {"ociVersion": "1.0.2"}, RECORD)
    assert ["m1"] == records.names()
    assert RECORD == records.record("m1")
    assert records.main("m1") is None
    main = records.complete("m1", os.getpid())
    assert main == records.main("m1")
    assert main.alive


def test_reused_pid_is_not_alive() -> None:
    """A process id with another start time is another process."""
    mine = start_time(os.getpid())
    main = Main(os.getpid(), mine, os.getpid(), mine)
    assert main.alive
    assert main.conmon_alive
    assert not replace(main, started=mine + 1).alive
    assert not replace(main, conmon=0).conmon_alive


def test_exit_file(records: Records) -> None:
    """An exit is its code and the time of its file; garbage is none."""
    assert records.exit("m1") is None
    records.write_exit("m1", 137)
    found = records.exit("m1")
    assert found is not None
    assert 137 == found[0]
    (records.exits / "m1").write_text("")
    assert records.exit("m1") is None


def test_removed_whole(records: Records) -> None:
    """After remove no file of the container is left, and removing again is fine."""
    records.begin("m1", {}, RECORD)
    records.write_exit("m1", 0)
    (records.runtime_root("crun") / "m1").mkdir()
    records.remove("m1")
    records.remove("m1")
    left = [path for path in records.folder.rglob("*") if "m1" in path.name]
    assert [] == left


def test_broken_record_is_none(records: Records) -> None:
    """A cut-off roost.json reads as a container that is not whole."""
    bundle = records.begin("m1", {}, RECORD)
    (bundle / "roost.json").write_text('{"runtime": "cr')
    assert records.record("m1") is None


@pytest.mark.parametrize("name", ["", "..", ".crun", "a/b", "x" * 65, "a b"])
def test_ids_are_names(records: Records, name: str) -> None:
    """An id that could be a path, or one of our own folders, is refused."""
    with pytest.raises(InvalidError):
        records.bundle(name)


def test_filter_is_kept(records: Records) -> None:
    """A compiled filter is found again under its key, in base64."""
    folder = records.runtime_root("crun") / "m1"
    folder.mkdir()
    records.keep_filter("m1", "key")
    assert "" == records.filter_program("key")
    (folder / "seccomp.bpf").write_bytes(b"\x00\x01")
    records.keep_filter("m1", "key")
    assert "AAE=" == records.filter_program("key")


def test_parent() -> None:
    """Our own parent is known, that of nobody is 0."""
    assert os.getppid() == parent_of(os.getpid())
    assert 0 == parent_of(0)
