"""Which fly.toml and which app a command is about.

The app is that of `-a`, else `$FLY_APP`, else `app` of the fly.toml in the folder (or of `-c`).
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

from roost.errors import InvalidError, NotFoundError

FILE_NAME = "fly.toml"


def config_path(config: str | None) -> Path:
    """Where the fly.toml is, or would be: `-c` may name a file or a folder."""
    path = Path(config) if config else Path(FILE_NAME)
    return path / FILE_NAME if path.is_dir() else path


def existing_config(config: str | None) -> Path | None:
    """The fly.toml, or None when there is none. Raises NotFoundError when `-c` names no file."""
    path = config_path(config)
    if path.is_file():
        return path
    if config:
        raise NotFoundError(f"{path} does not exist", hint="-c names a fly.toml or its folder")
    return None


def read_config(path: Path) -> str:
    """The file's text. Raises InvalidError when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidError(f"{path} cannot be read: {error}") from error


def app_name(app: str | None, config: str | None = None) -> str:
    """The app's name. Raises InvalidError when none is known."""
    name = app or os.environ.get("FLY_APP", "").strip() or _named_in_file(config)
    if not name:
        raise InvalidError(
            "no app is named", hint="pass -a NAME, set FLY_APP, or go to a folder with a fly.toml"
        )
    return name


def org_slug(org: str | None) -> str:
    """The organization's slug: `-o`, else the environment, else `personal`."""
    known = os.environ.get("FLY_ORG") or os.environ.get("FLY_ORGANIZATION")
    return org or known or "personal"


def _named_in_file(config: str | None) -> str | None:
    path = existing_config(config)
    if path is None:
        return None
    try:
        name = tomllib.loads(read_config(path)).get("app")
    except tomllib.TOMLDecodeError as error:
        raise InvalidError(f"{path}: {error}") from error
    return name if isinstance(name, str) else None
