"""What only the file driver must do: survive kills, refuse strange files, keep them private."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import tests.support.store_writer as program
from roost.errors import UnavailableError
from roost.model.machine_config import Guest, MachineConfig, Service
from roost.model.records import Counter, Machine, Release
from roost.store.base import Put
from roost.store.sqlite import SqliteStore
from roost.store.sqlite_file import APPLICATION_ID, SCHEMA_VERSION
from tests.support.store_records import app, counter


def test_kill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """After SIGKILL of a busy writer every acknowledged commit is there, whole."""
    path = tmp_path / "roost.db"
    child = subprocess.Popen(
        [sys.executable, program.__file__, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    told: list[str] = []
    with child:
        assert child.stdout is not None
        told.extend(child.stdout.readline() for _ in range(200))
        child.send_signal(signal.SIGKILL)
        told.extend(child.stdout)
    acknowledged = [line.split() for line in told if line.endswith("\n")]
    assert len(acknowledged) >= 200

    async def check() -> None:
        store = SqliteStore(path)
        for series, value in acknowledged:
            stored = store.get(Counter, f"{series}/{value}")
            assert stored is not None
            assert stored.record.value == int(value)
        for series in {series for series, _ in acknowledged}:
            newest = store.get(Counter, series)
            assert newest is not None
            assert store.get(Counter, f"{series}/{newest.record.value}") is not None
            assert store.get(Counter, f"{series}/{newest.record.value + 1}") is None
        before = store.revision()
        assert await store.commit(Put(counter("after"))) == before + 1
        await store.close()

    asyncio.run(check())


def test_concurrent_commits_share_flushes(tmp_path: Path) -> None:
    """Commits that arrive while one is flushed are written together in one transaction."""
    statements: list[str] = []

    async def check() -> None:
        store = SqliteStore(tmp_path / "roost.db")
        store._writer._connection.set_trace_callback(statements.append)
        async with asyncio.TaskGroup() as group:
            for number in range(500):
                group.create_task(store.commit(Put(counter(f"c{number}"))))
        assert store.count(Counter) == 500
        await store.close()

    asyncio.run(check())
    assert statements.count("COMMIT") < 100


def test_file_is_private(tmp_path: Path) -> None:
    """The database and its side files can be read by their owner only, whatever the umask."""
    path = tmp_path / "roost.db"
    path.touch(mode=0o644)

    async def check() -> None:
        store = SqliteStore(path)
        await store.commit(Put(counter("one")))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in os.scandir(tmp_path)}
        assert modes == {"roost.db": 0o600, "roost.db-wal": 0o600, "roost.db-shm": 0o600}
        await store.close()
        assert [file.name for file in os.scandir(tmp_path)] == ["roost.db"]

    asyncio.run(check())


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    """A file that is no database gives one sentence naming it."""
    path = tmp_path / "roost.db"
    path.write_bytes(b"this is not a database at all, by far" * 200)
    with pytest.raises(UnavailableError, match=r"roost\.db cannot be used: file is not a database"):
        SqliteStore(path)


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    """A database that Roost did not make is left alone."""
    path = tmp_path / "roost.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (x)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(UnavailableError, match="another program's"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_a_newer_layout_is_refused(tmp_path: Path) -> None:
    """A file written by a newer Roost is not touched."""
    path = tmp_path / "roost.db"
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    newer.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    newer.close()
    with pytest.raises(UnavailableError, match="newer Roost"):
        SqliteStore(path)


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    """A row whose text is no record raises an error that says which one it is."""
    path = tmp_path / "roost.db"

    async def check() -> None:
        store = SqliteStore(path)
        await store.commit(Put(counter("one")))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("UPDATE records SET body = '{'")
        other.close()
        with pytest.raises(UnavailableError, match="counter 'one' cannot be read"):
            store.get(Counter, "one")
        await store.close()

    asyncio.run(check())


def test_every_field_survives_the_file(tmp_path: Path) -> None:
    """Records with nested values, unknown keys and nulls come back equal after reopening."""
    path = tmp_path / "roost.db"
    machine = Machine(
        id="00000000000001",
        name="brave-otter-1",
        app="one",
        region="local",
        network_id=1,
        host=2,
        number=1,
        ipv4=1,
        instance_id="01J",
        config=MachineConfig.model_validate(
            {
                "image": "x",
                "guest": Guest(cpus=2),
                "services": [Service(autostop="suspend"), Service(autostop="off")],
                "from_the_future": {"a": None},
            }
        ),
        created_at=1,
        updated_at=2,
    )
    release = Release(
        id="r",
        app="one",
        version=1,
        status="complete",
        strategy="rolling",
        image="x",
        user="admin",
        config={"a": [1, None, {"b": "é"}]},
        created_at=3,
    )

    async def check() -> None:
        store = SqliteStore(path)
        await store.commit(Put(machine), Put(release), Put(app("one")))
        await store.close()
        store = SqliteStore(path)
        assert [s.record for s in store.find(Machine, "app", "one")] == [machine]
        assert [s.record for s in store.scan(Release)] == [release]
        await store.close()

    asyncio.run(check())
