"""A thousand sleeping apps called at the same moment, against the same starts by a shell loop."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import rig as rigs
from rig import Client, Rig, median, p99
from row import Row

START = """
for one in $(cat {list}); do
  curl -sS -o /dev/null --unix-socket {socket} -H "Authorization: Bearer {token}" \\
    -X POST "http://roost/v1/apps/$one/start"
done
"""


def storm(rig: Rig, client: Client, folder: Path, count: int) -> list[Row]:
    """Time to the last first byte, and how far apart the first and the last are."""
    apps = [app(rig, folder, number) for number in range(count)]
    looped = by_loop(rig, apps)
    for name, machine, _ in apps:
        rig.wait(name, machine, "started")
        rig.act(name, machine, "stop")
    for name, machine, _ in apps:
        rig.wait(name, machine, "stopped")
    times = client.ask("storm", hosts=[address for _, _, address in apps], port=80)
    last = max(times)
    return [
        Row(f"{count} apps woken at once: to an answer", median(times), p99(times)),
        Row("  to the last one's answer", last),
        Row("  the same starts by a shell loop", looped),
        Row("  ratio", last / looped, unit=""),
    ]


def app(rig: Rig, folder: Path, number: int) -> tuple[str, str, str]:
    """One sleeping app."""
    name = f"storm-{number}"
    address = rig.app(name)
    config = rigs.server_config(folder)
    return name, rig.machine(name, config, skip_launch=True), address


def by_loop(rig: Rig, apps: list[tuple[str, str, str]]) -> float:
    """Milliseconds for starting all of them one after the other through the API."""
    listed = rig.home / "storm.txt"
    listed.write_text("\n".join(f"{name}/machines/{machine}" for name, machine, _ in apps))
    token = (rig.home / "token").read_text().strip()
    script = START.format(list=listed, socket=rig.home / "run/api.sock", token=token)
    began = time.perf_counter()
    subprocess.run(["sh", "-c", script], check=True)
    for name, machine, _ in apps:
        rig.wait(name, machine, "started")
    return (time.perf_counter() - began) * 1000
