"""Run as a program: makes and starts a container, then dies without any goodbye.

python -m tests.support.short_lived_owner HOME COMMAND…
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from roost.home import Home
from roost.runtime.oci import OciRuntime
from tests.support.runtime import container, started


async def main(home: Home, *command: str) -> None:
    """Never returns."""
    runtime = OciRuntime(home)
    await runtime.setup()
    await started(runtime, container(home, *command))
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    asyncio.run(main(Home(Path(sys.argv[1])), *sys.argv[2:]))
