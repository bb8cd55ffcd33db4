"""How long the runtime's steps take: `python benches/bench_runtime.py [rounds] [crun|runc]` (root).

Medians and 99th percentiles in milliseconds over `rounds` lives of one container on roost/host.
`true with init` and `true without` are start-to-exit of /usr/bin/true, to see what the init costs.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from roost.home import Home
from roost.runtime.oci import OciRuntime
from tests.support.namespaces import run_isolated
from tests.support.runtime import container, next_exit, oci_runtime, short_home, until_running

Laps = dict[str, list[float]]


async def life(runtime: OciRuntime, home: Home, laps: Laps) -> None:
    """One container, every step once."""
    clock = time.perf_counter
    start = clock()

    def lap(name: str) -> None:
        nonlocal start
        laps[name].append((clock() - start) * 1000)
        start = clock()

    await runtime.create(container(home))
    lap("create")
    await runtime.start("m1")
    lap("start")
    await until_running(runtime)
    start = clock()
    await runtime.observe()
    lap("observe (one)")
    await runtime.freeze("m1")
    lap("freeze")
    await runtime.thaw("m1")
    lap("thaw")
    await runtime.exec("m1", ("true",), timeout=30)
    lap("exec true")
    await runtime.kill("m1")
    await next_exit(runtime)
    lap("kill to exit seen")
    await runtime.delete("m1")
    lap("delete")


async def short(runtime: OciRuntime, home: Home, name: str, laps: Laps) -> None:
    """From start to the exit of a program that ends at once."""
    await runtime.create(container(home, "true"))
    start = time.perf_counter()
    await runtime.start("m1")
    await next_exit(runtime)
    laps[name].append((time.perf_counter() - start) * 1000)
    await runtime.delete("m1")


async def main(rounds: int, prefer: str) -> None:
    """Measure and print."""
    laps: Laps = defaultdict(list)
    with_init: Laps = defaultdict(list)
    with short_home() as home:
        async with oci_runtime(home, prefer=prefer) as runtime:
            await life(runtime, home, defaultdict(list))
            found = runtime.detected
            for _ in range(rounds):
                await life(runtime, home, laps)
                await short(runtime, home, "true with init", with_init)
                runtime._detected = replace(found, init=None)
                await short(runtime, home, "true without", with_init)
                runtime._detected = found
            print(f"{found.runtime}, cgroups {found.cgroups}, {rounds} rounds; milliseconds")
    print(f"{'step':<20}{'median':>9}{'p99':>9}")
    for name, values in (laps | with_init).items():
        p99 = statistics.quantiles(values, n=100)[98]
        print(f"{name:<20}{statistics.median(values):>9.2f}{p99:>9.2f}")


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    chosen = sys.argv[2] if len(sys.argv) > 2 else "crun"
    run_isolated(lambda: main(count, chosen), network=False)
