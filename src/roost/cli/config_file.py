"""Reading a local fly.toml for the server: checked, warned about, with its local files inside."""

from __future__ import annotations

import os
from pathlib import Path

from roost.cli.output import warn
from roost.cli.project import existing_config, read_config
from roost.errors import InvalidError, NotFoundError
from roost.spec.app_config import AppConfig
from roost.spec.fly_toml import Parsed, inline_files, parse
from roost.spec.machine import encode_file

MAX_LOCAL_FILE = 1024 * 1024
"""Bytes; a `[[files]]` entry travels inside of the request."""


def load(path: Path) -> Parsed:
    """Parse a fly.toml. Raises ConfigError with `path:line` of every problem."""
    return parse(read_config(path), os.path.relpath(path) if path.is_absolute() else str(path))


def load_existing(config: str | None) -> tuple[Path, Parsed]:
    """The fly.toml of the folder (or of `-c`). Raises NotFoundError, ConfigError."""
    path = existing_config(config)
    if path is None:
        raise NotFoundError(
            "there is no fly.toml here", hint="make one with roost launch, or pass -c PATH"
        )
    return path, load(path)


def show_warnings(parsed: Parsed) -> None:
    """Print the warnings of a file on standard error."""
    for problem in parsed.warnings:
        warn(str(problem))


def with_files(config: AppConfig, folder: Path) -> AppConfig:
    """Replace each `local_path` by the file's content. Raises InvalidError."""

    def read(name: str) -> str:
        path = folder / name
        try:
            if path.stat().st_size > MAX_LOCAL_FILE:
                raise InvalidError(f"{path} is larger than {MAX_LOCAL_FILE} bytes")
            return encode_file(path.read_bytes())
        except OSError as error:
            raise InvalidError(f"{path} of [[files]] cannot be read: {error.strerror}") from error

    return inline_files(config, read)
