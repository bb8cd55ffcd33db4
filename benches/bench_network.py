"""Times of the Linux network driver: attach, detach, routers. Needs root; leaves nothing.

    python benches/bench_network.py [--machines 200] [--networks 20]

Runs in private mount and network namespaces, on a ROOST_HOME of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import threading
import time
from collections.abc import Awaitable
from pathlib import Path

from roost.home import Home
from roost.network.addressed import attachment_of, router_of
from roost.network.base import Attachment
from roost.network.namespaces import unshare_mounts, unshare_network
from roost.network.netns import NetnsNetwork


def main() -> None:
    """Parse the arguments, measure, print a table."""
    parser = argparse.ArgumentParser(description="time the Linux network driver")
    parser.add_argument("--machines", type=int, default=200)
    parser.add_argument("--networks", type=int, default=20)
    options = parser.parse_args()
    failures: list[BaseException] = []

    def body() -> None:
        try:
            unshare_mounts()
            unshare_network()
            with tempfile.TemporaryDirectory() as folder:
                asyncio.run(_measure(Path(folder), options.machines, options.networks))
        except BaseException as error:  # noqa: BLE001 - raised again below
            failures.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


async def _measure(folder: Path, machines: int, networks: int) -> None:
    driver = NetnsNetwork(Home(folder))
    await driver.setup()
    try:
        print(f"{'ms':44}{'median':>9}{'p99':>9}{'max':>9}")
        await _routers(driver, networks)
        await _machines(driver, machines)
    finally:
        await driver.teardown()


async def _routers(driver: NetnsNetwork, networks: int) -> None:
    numbers = iter(range(1, 10_000))
    for what, egress in (("router, no egress", False), ("router with egress", True)):
        made = [next(numbers) for _ in range(networks)]
        times = [await _timed(driver.ensure_router(router_of(n, egress=egress))) for n in made]
        _row(f"{what} (new)", times)
    made = [next(numbers) for _ in range(networks)]
    _row("router with egress and its first Machine", [
        await _timed(driver.attach(_attachment(n, n))) for n in made
    ])  # fmt: skip
    for number in made:
        await driver.detach(f"{number:014x}")
    times = [await _timed(driver.remove_router(number)) for number in range(1, next(numbers))]
    _row("router removed", times)


async def _machines(driver: NetnsNetwork, machines: int) -> None:
    network = 9_999
    await driver.ensure_router(router_of(network))
    wanted = [_attachment(number, network) for number in range(1, machines + 1)]
    _row("Machine attached", [await _timed(driver.attach(each)) for each in wanted])
    _row("Machine attached again (nothing to do)", [
        await _timed(driver.attach(each)) for each in wanted
    ])  # fmt: skip
    half = len(wanted) // 2
    _row("Machine detached, one by one", [
        await _timed(driver.detach(each.machine_id)) for each in wanted[:half]
    ])  # fmt: skip
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for each in wanted[half:]:
            group.create_task(driver.detach(each.machine_id))
    _row("Machine detached, all at once (each)", [(time.perf_counter() - began) / half])
    await _attach_beside_detach(driver, network, machines)


async def _attach_beside_detach(driver: NetnsNetwork, network: int, machines: int) -> None:
    leaving = [_attachment(number, network) for number in range(1, machines // 2 + 1)]
    for each in leaving:
        await driver.attach(each)
    coming = [_attachment(1_000 + number, network) for number in range(1, machines // 2 + 1)]
    async with asyncio.TaskGroup() as group:
        for each in leaving:
            group.create_task(driver.detach(each.machine_id))
        times = [await _timed(driver.attach(each)) for each in coming]
    _row("Machine attached while others are detached", times)


def _attachment(number: int, network: int) -> Attachment:
    name = f"{number:014x}"
    return attachment_of(name, router_of(network), host=2, machine=number, ipv4_index=number)


async def _timed(work: Awaitable[object]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


def _row(what: str, seconds: list[float]) -> None:
    ordered = sorted(value * 1000 for value in seconds)
    median = ordered[len(ordered) // 2]
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    print(f"{what:44}{median:9.2f}{p99:9.2f}{ordered[-1]:9.2f}", flush=True)


if __name__ == "__main__":
    main()
