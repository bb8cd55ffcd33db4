"""The database file: made with the right mode, checked before use, opened for one purpose.

A file says what it is by SQLite's `application_id` and in which layout by `user_version`. A file
of another program, a damaged one and one of a newer Roost are refused with a sentence.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from roost.errors import UnavailableError

APPLICATION_ID = 0x524F4F53
"""ASCII `ROOS`."""
SCHEMA_VERSION = 1

SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE records (
  kind TEXT NOT NULL, key TEXT NOT NULL, revision INTEGER NOT NULL,
  indexes TEXT NOT NULL, body TEXT NOT NULL);
CREATE UNIQUE INDEX records_key ON records (kind, key);
CREATE TABLE listed (
  kind TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, key TEXT NOT NULL,
  PRIMARY KEY (kind, name, value, key)) WITHOUT ROWID;
CREATE TABLE position (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL);
INSERT INTO position VALUES (1, 0);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
COMMIT;
"""  # noqa: S608 - made of constants


def damaged(path: Path, error: Exception) -> UnavailableError:
    """The error for a file that SQLite cannot read or write."""
    return UnavailableError(
        f"the database {path} cannot be used: {error}",
        hint="check the disk and the file's owner; if it is damaged, restore it from a backup",
    )


def open_writer(path: Path) -> sqlite3.Connection:
    """The connection that writes, to a complete file of this layout; makes the file when missing.

    The connection may be handed to another thread. Raises UnavailableError. Blocks on the disk.
    """
    try:
        _prepare_file(path)
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=10, cached_statements=64
        )
    except (OSError, sqlite3.Error) as error:
        raise damaged(path, error) from error
    try:
        _check(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 67108864")
    except sqlite3.Error as error:
        connection.close()
        raise damaged(path, error) from error
    except UnavailableError:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads, and sees what was committed last. Raises UnavailableError."""
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode=ro",
            uri=True,
            isolation_level=None,
            timeout=10,
            cached_statements=64,
        )
        connection.execute("SELECT revision FROM position").fetchone()
    except sqlite3.Error as error:
        raise damaged(path, error) from error
    return connection


def _prepare_file(path: Path) -> None:
    """Exists, and is its owner's alone; SQLite gives its WAL files the same mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def _check(connection: sqlite3.Connection, path: Path) -> None:
    application = _pragma(connection, "application_id")
    version = _pragma(connection, "user_version")
    if application == APPLICATION_ID:
        if version > SCHEMA_VERSION:
            raise UnavailableError(
                f"the database {path} was written by a newer Roost (layout {version}, "
                f"this one knows {SCHEMA_VERSION})",
                hint="update Roost, or use another ROOST_HOME",
            )
        return
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if application or tables:
        raise UnavailableError(
            f"the file {path} is another program's database",
            hint="move it away, or use another ROOST_HOME",
        )
    connection.executescript(SCHEMA)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
