"""Bounds run/roostd.log and run/proxy.log: both programs write for months.

The files stay open in those who write (the proxy outlives the daemon), so a full one is copied
aside and emptied in place. All of them append, so that writing goes on at the new end; a line
written between the copy and the emptying may be lost.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from pathlib import Path

from roost.clock import Clock
from roost.home import Home

log = logging.getLogger("roost.daemon")

MAX_BYTES = 16 << 20
"""Size beyond which a log is moved aside; one older file is kept."""
_LOOK_SECONDS = 60.0


async def keep_bounded(home: Home, clock: Clock) -> None:
    """Look at the logs once a minute, for ever. A full disk is only told."""
    paths = (home.run / "roostd.log", home.run / "proxy.log")
    while True:
        for path in paths:
            try:
                await asyncio.to_thread(shorten, path)
            except OSError as error:
                log.warning("%s grows: %s", path, error)
        await clock.sleep(_LOOK_SECONDS)


def shorten(path: Path, limit: int = MAX_BYTES) -> None:
    """Copy the file to `.1` and empty it when it is larger than `limit` bytes; missing is fine.

    Raises OSError; it is emptied all the same, since a full disk is no reason to grow. Blocks.
    """
    try:
        if path.stat().st_size <= limit:
            return
    except FileNotFoundError:
        return
    try:
        shutil.copyfile(path, path.with_name(path.name + ".1"))
    finally:
        os.truncate(path, 0)
