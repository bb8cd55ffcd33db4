"""A program that speaks like roost-proxy, but is refused when it is to take over.

`python -m tests.support.fake_heir --control PATH --standby`
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from tests.support.fake_proxy import FakeProxy

REFUSAL = "the elder does not understand this handover"


class _Refused(FakeProxy):
    def _take(self, message: dict[str, Any]) -> dict[str, Any]:
        return {"error": REFUSAL} if message["op"] == "take_over" else super()._take(message)


async def _main() -> None:
    await _Refused(Path(sys.argv[sys.argv.index("--control") + 1])).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
