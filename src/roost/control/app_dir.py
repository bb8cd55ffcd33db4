"""Which folders may be shown to Machines at /app."""

from __future__ import annotations

import asyncio
from pathlib import Path

from roost.errors import InvalidError
from roost.home import Home
from roost.model.machine_config import MachineConfig

_SYSTEM = tuple(map(Path, ("/root", "/etc", "/run", "/proc", "/sys", "/dev", "/boot")))
"""Holding one of these would show keys, passwords or the host's own interfaces."""


def check_app_dir(text: str, home: Home) -> str:
    """The folder's real path. Reads the file system; raises InvalidError.

    A folder that holds a system folder or ROOST_HOME, or lies in ROOST_HOME, is refused.
    """
    given = Path(text)
    if not given.is_absolute():
        raise InvalidError(f"app folder {text!r} is not an absolute path")
    path = given.resolve()
    if not path.is_dir():
        raise InvalidError(f"app folder {text!r} does not exist on this host")
    private = (*_SYSTEM, home.root.resolve())
    held = next((one for one in private if one == path or path in one.parents), None)
    if held is not None or home.root.resolve() in path.parents:
        raise InvalidError(
            f"app folder {text!r} would show {held or home.root} to the app",
            hint="put fly.toml and the app into a folder of their own",
        )
    return str(path)


async def checked(config: MachineConfig, home: Home, *, known: str | None = None) -> MachineConfig:
    """The configuration with its app folder checked, as real path; `known` was checked before.

    Raises InvalidError as `check_app_dir`.
    """
    if not config.app_dir or config.app_dir == known:
        return config
    path = await asyncio.to_thread(check_app_dir, config.app_dir, home)
    return config.model_copy(update={"app_dir": path})
