"""`make bench`: the issue's figures, measured on this host and printed as one table.

Each wake is measured beside the same request when awake, each added latency beside the direct
path, in the same run. WAKES (default 200), SLEEPERS (default 10000), STORM (default 1000) and
WEBSOCKETS (default 10000) can be set in the environment; parts can be named as arguments.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from pathlib import Path

import protocols
import rig as rigs
from rig import Client, Rig, median, p99
from row import Row
from storm import storm

WAKES = int(os.environ.get("WAKES", "200"))
SLEEPERS = int(os.environ.get("SLEEPERS", "10000"))
STORM = int(os.environ.get("STORM", "1000"))
WEBSOCKETS = int(os.environ.get("WEBSOCKETS", "10000"))
ONE_CALLER = ("max_connections_source", "tls_handshakes_source", "tls_handshakes_app")
"""Limits that are lifted: one Machine does here what many would."""
PARTS = ("warm", "protocols", "suspended", "stopped", "echoes", "storm", "sleepers")


class Bench:
    """One static-file server, one Machine to call from."""

    def __init__(self, rig: Rig, folder: Path) -> None:
        self.rig = rig
        self.folder = folder
        rig.app("caller", flycast=False)
        command = {"cmd": ["/bin/sleep", "infinity"]}
        self.caller = rig.machine("caller", {"image": "roost/host", "init": command})
        rig.wait("caller", self.caller, "started")
        self.address = rig.app("static")
        self.machine = rig.machine("static", rigs.server_config(folder, autostop="off"))
        rig.wait("static", self.machine, "started")
        self.direct = str(rig.api("GET", f"/v1/apps/static/machines/{self.machine}")["private_ip"])
        self.client = Client(rig, self.caller)

    def suspended(self) -> list[Row]:
        """Wake from suspended, memory resident."""
        cold, warm = [], []
        for _ in range(WAKES):
            self.rig.wait("static", self.machine, "started")
            self.rig.act("static", self.machine, "suspend")
            self.rig.wait("static", self.machine, "suspended")
            cold += self.client.ask("fresh", host=self.address, port=80, count=1)
            warm += self.client.ask("fresh", host=self.address, port=80, count=1)
        over = [a - median(warm) for a in cold]
        return [
            Row("request when awake (new connection)", median(warm), p99(warm), None),
            Row("woken from suspended, over awake", median(over), p99(over), 3.0),
            Row("  the same, p99", p99(over), None, 15.0),
        ]

    def stopped(self, label: str) -> list[Row]:
        """Wake from stopped, over the program's own start."""
        command = ["nginx", "-c", f"{self.folder}/nginx.conf", "-p", "/tmp"]
        own = self.client.ask("own_start", command=command, port=8080, count=max(20, WAKES // 4))
        cold, warm = [], []
        for _ in range(WAKES):
            self.rig.wait("static", self.machine, "started")
            self.rig.act("static", self.machine, "stop")
            self.rig.wait("static", self.machine, "stopped")
            time.sleep(0.06)  # as long as preparing the next container takes
            cold += self.client.ask("fresh", host=self.address, port=80, count=1)
            warm += self.client.ask("fresh", host=self.address, port=80, count=1)
        over = [a - median(own) - median(warm) for a in cold]
        return [
            Row("the server's own start, exec to listening", median(own), p99(own), None),
            Row(f"woken from stopped ({label}), over own start", median(over), p99(over), 25.0),
        ]

    def warm(self) -> list[Row]:
        """Added latency of a kept connection, HTTP and TCP, against the direct path."""
        rows = []
        for label, port in (("HTTP", 80), ("TCP", 81)):
            both = self.client.ask(
                "paired", one=[self.address, port], other=[self.direct, 8080], count=500, rounds=10
            )
            via, direct = both[:5000], both[5000:]
            rows.append(Row(f"{label} direct", median(direct), p99(direct), None))
            rows.append(Row(f"{label} through the proxy", median(via), p99(via), None))
            rows.append(
                Row(f"{label} added by the proxy", median(via) - median(direct), None, 0.15)
            )
        return rows

    def random_wakes(self, apps: list[tuple[str, str, str]], count: int) -> list[float]:
        """Wake sleepers that nobody prepared; each is stopped again."""
        times = []
        for app, machine, address in random.sample(apps, min(count, len(apps))):
            times += self.client.ask("fresh", host=address, port=80, count=1)
            self.rig.wait(app, machine, "started")
            self.rig.act(app, machine, "stop")
            self.rig.wait(app, machine, "stopped")
        return times

    def sleeper(self, number: int) -> tuple[str, str, str]:
        """One sleeping app with an address; it never ran, so nothing of it is prepared."""
        app = f"sleeper-{number}"
        address = self.rig.app(app)
        config = rigs.server_config(self.folder)
        return app, self.rig.machine(app, config, skip_launch=True), address

    def sleepers(self) -> list[Row]:
        """Ten thousand sleeping apps."""
        rig = self.rig
        few = [self.sleeper(number) for number in range(40)]
        before_wake = self.random_wakes(few, 40)
        memory = rig.rss_mib("daemon") + rig.rss_mib("proxy")
        files = rig.files("daemon") + rig.files("proxy")
        processes = len([p for p in Path("/proc").iterdir() if p.name.isdigit()])
        began = time.perf_counter()
        many = [self.sleeper(number) for number in range(40, SLEEPERS + 40)]
        rate = SLEEPERS / (time.perf_counter() - began)
        grown = rig.rss_mib("daemon") + rig.rss_mib("proxy") - memory
        more_files = rig.files("daemon") + rig.files("proxy") - files
        more_processes = len([p for p in Path("/proc").iterdir() if p.name.isdigit()]) - processes
        after_wake = self.random_wakes(many, 40)
        change = (median(after_wake) / median(before_wake) - 1) * 100
        return [
            Row(f"{SLEEPERS} apps (app, address, Machine) made", rate, None, None, "per s"),
            Row("  memory of daemon and proxy over the empty state", grown, None, 150, "MiB"),
            Row("  more open descriptors", more_files, None, 8, ""),
            Row("  more processes", more_processes, None, 8, ""),
            Row("wake of an unprepared one among 40", median(before_wake), p99(before_wake), None),
            Row(
                f"wake of a random one among {SLEEPERS}", median(after_wake), p99(after_wake), None
            ),
            Row("  change", change, None, 20, "%"),
        ]

    def protocols(self) -> list[Row]:
        """HTTP/2 and TLS beside HTTP/1.1."""
        where = (self.rig, self.caller, self.address)
        rows = protocols.latency(*where, self.direct)
        rows += protocols.throughput(*where)
        return rows + protocols.handshakes(*where)

    def echoes(self) -> list[Row]:
        """UDP, and WebSockets that nobody uses."""
        (self.folder / "echoes.py").write_text(Path(__file__).with_name("echoes.py").read_text())
        address = self.rig.app("echoes")
        machine = self.rig.machine("echoes", rigs.echo_config(self.folder))
        self.rig.wait("echoes", machine, "started")
        rows = protocols.datagrams(self.rig, self.client, address)
        # A socket takes two descriptors, and some are kept for other things.
        most = (self.rig.file_limit("proxy") - 2048) // 2 * 7 // 8
        count = min(WEBSOCKETS, most)
        return rows + protocols.websockets(self.rig, self.client, address, count)


def main() -> int:
    """Run all parts, or those that are named, and print the table."""
    parts = sys.argv[1:] or list(PARTS)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="roost-bench-app-") as parent:
        Path(parent).chmod(0o755)
        folder = rigs.server_folder(Path(parent))
        with rigs.roost(*(f"--limit={name}=0" for name in ONE_CALLER)) as rig:
            rows += awake(Bench(rig, folder), parts)
        with rigs.roost("--prepared", "0") as rig:
            rows += unprepared(Bench(rig, folder), parts)
    print(f"{'':<58}{'median':>10}{'p99':>10}")
    for row in rows:
        print(row.text())
    return 0


def awake(bench: Bench, parts: list[str]) -> list[Row]:
    """What is measured on a Roost as users have it."""
    rows: list[Row] = []
    if "warm" in parts:
        rows += bench.warm()
    if "protocols" in parts:
        rows += bench.protocols()
    if "echoes" in parts:
        rows += bench.echoes()
    if "suspended" in parts:
        rows += bench.suspended()
    if "stopped" in parts:
        rows += bench.stopped("prepared")
    if "storm" in parts:
        rows += storm(bench.rig, bench.client, bench.folder, STORM)
    bench.client.close()
    return rows


def unprepared(bench: Bench, parts: list[str]) -> list[Row]:
    """What is measured where no container is made ahead of time."""
    rows: list[Row] = []
    if "stopped" in parts:
        rows += bench.stopped("not prepared")
    if "sleepers" in parts:
        rows += bench.sleepers()
    bench.client.close()
    return rows


if __name__ == "__main__":
    sys.exit(main())
