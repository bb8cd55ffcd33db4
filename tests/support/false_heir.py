"""A program that speaks like roost-proxy, takes over from one, and then says that it failed.

`python -m tests.support.false_heir --control PATH --standby`
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from tests.support.fake_proxy import FakeProxy
from tests.support.handover_world import Heir


class _False(FakeProxy):
    def _take(self, message: dict[str, Any]) -> dict[str, Any]:
        if message["op"] != "take_over":
            return super()._take(message)
        self.heir = Heir(Path(message["from"][0]))  # Kept: its end would be seen before ours.
        self.heir.take()
        self.heir.say(heir="ready")
        self.heir.hear("go")
        self.heir.say(heir="serving")
        return {"error": "it failed after all"}


async def _main() -> None:
    await _False(Path(sys.argv[sys.argv.index("--control") + 1])).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
