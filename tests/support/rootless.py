"""Run as a program inside a user namespace: one container's life, printed as JSON lines.

unshare --user --map-root-user --mount --net python -m tests.support.rootless HOME RUNTIME
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from roost.home import Home
from roost.runtime import linux
from roost.runtime.base import ContainerState
from tests.support.runtime import container, next_exit, oci_runtime, started, state, until_running


def own_network(path: Path) -> Path:
    """The network namespace this program was started in."""
    path.touch()
    linux.mount("/proc/self/ns/net", path, "", linux.MS_BIND)
    return path


async def main(home: Home, prefer: str) -> dict[str, object]:
    """What happened, for the test to compare."""
    async with oci_runtime(home, prefer=prefer, network=own_network) as runtime:
        found: dict[str, object] = {
            "rootless": runtime.detected.rootless,
            "runtime": runtime.detected.runtime,
        }
        await started(runtime, container(home))
        await until_running(runtime)
        done = await runtime.exec("m1", ("cat",), stdin=b"inside", timeout=30)
        found["exec"] = done.stdout.decode()
        await runtime.freeze("m1")
        found["frozen"] = await state(runtime) is ContainerState.FROZEN
        await runtime.thaw("m1")
        found["thawed"] = await state(runtime) is ContainerState.RUNNING
        found["memory"] = (await runtime.memory("m1")).resident > 0
        await runtime.kill("m1")
        found["exit"] = (await next_exit(runtime)).exit_code
        await runtime.delete("m1")
        found["left"] = len(await runtime.observe())
    return found


if __name__ == "__main__":
    result = asyncio.run(main(Home(Path(sys.argv[1])), sys.argv[2]))
    sys.stdout.write(json.dumps(result))
