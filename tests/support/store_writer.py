"""A program that commits for ever and tells each acknowledged revision on standard output."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from roost.model.records import Counter
from roost.store.base import Put
from roost.store.sqlite import SqliteStore


async def main(path: Path) -> None:
    """Run until killed: several commits are always under way at once."""
    store = SqliteStore(path)

    async def write(series: str) -> None:
        value = 0
        while True:
            value += 1
            await store.commit(
                Put(Counter(name=f"{series}/{value}", value=value)),
                Put(Counter(name=series, value=value)),
            )
            sys.stdout.write(f"{series} {value}\n")
            sys.stdout.flush()

    async with asyncio.TaskGroup() as group:
        for series in ("a", "b", "c", "d"):
            group.create_task(write(series), name=f"write:{series}")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
