"""HTTP/2 and TLS beside HTTP/1.1: latency added, CPU, handshakes, and idle WebSockets."""

from __future__ import annotations

import os
from dataclasses import dataclass

import h2load
from rig import Client, Rig, median, p99
from row import Row

REQUESTS = int(os.environ.get("REQUESTS", "20000"))
ROUNDS = 5


@dataclass(frozen=True)
class Speech:
    """A protocol, through the proxy and straight to the Machine, where there is no TLS."""

    name: str
    via: str
    direct: str
    flags: tuple[str, ...] = ()


PLAIN, SECURE = "http://static.flycast/", "https://static.flycast/"
ONE, TWO = "http://static:8080/", "http://static:8082/"
SPEECHES = (
    Speech("HTTP/1.1", PLAIN, ONE, ("--h1",)),
    Speech("HTTP/2 (h2c)", PLAIN, TWO),
    Speech("HTTP/1.1 with TLS", SECURE, ONE, ("--h1",)),
    Speech("HTTP/2 with TLS", SECURE, TWO),
)


def latency(rig: Rig, caller: str, address: str, machine: str) -> list[Row]:
    """One kept connection, one request at a time, both paths in turn."""
    rows = []
    for speech in SPEECHES:
        via: list[float] = []
        direct: list[float] = []
        for _ in range(ROUNDS):
            for found, url, host in (
                (via, speech.via, address),
                (direct, speech.direct, machine),
            ):
                load = h2load.run(rig, caller, url, host, *speech.flags, requests=2000, clients=1)
                found.extend(load.times_ms)
        rows.append(Row(f"{speech.name}: request through the proxy", median(via), p99(via)))
        rows.append(Row(f"{speech.name}: over a direct one", median(via) - median(direct)))
    return rows


def throughput(rig: Rig, caller: str, address: str) -> list[Row]:
    """Many requests at once; how many one core of the proxy would carry."""
    rows = []
    for speech in SPEECHES:
        streams = 1 if "--h1" in speech.flags else 8
        loads = [
            h2load.run(
                rig,
                caller,
                speech.via,
                address,
                *speech.flags,
                requests=REQUESTS,
                clients=32 // streams,
                streams=streams,
            )
            for _ in range(ROUNDS)
        ]
        cpu = median([load.proxy_us for load in loads])
        rows.append(Row(f"{speech.name}: CPU of the proxy per request", cpu, unit="us"))
        rows.append(Row("  requests a second per core", 1e6 / cpu, unit="per s"))
    return rows


def handshakes(rig: Rig, caller: str, address: str) -> list[Row]:
    """A new connection for each request, with and without TLS; the difference is the handshake."""
    rows, plain = [], 0.0
    for name, url in (("plain", PLAIN), ("TLS", SECURE)):
        loads = [
            h2load.run(rig, caller, url, address, "--h1", requests=500, clients=500)
            for _ in range(ROUNDS)
        ]
        cpu = median([load.proxy_us for load in loads])
        rows.append(Row(f"new connection and one request, {name}: CPU", cpu, unit="us"))
        if name == "plain":
            plain = cpu
        else:
            rows.append(
                Row("  TLS handshakes a second per core", 1e6 / (cpu - plain), unit="per s")
            )
    return rows


def datagrams(rig: Rig, client: Client, address: str) -> list[Row]:
    """UDP to an echo and back."""
    before = rig.cpu_us("proxy")
    times = client.ask("datagrams", host=address, port=9000, count=REQUESTS)
    cpu = (rig.cpu_us("proxy") - before) / (2 * REQUESTS)
    return [
        Row("UDP there and back, one at a time", median(times), p99(times)),
        Row("  CPU of the proxy for a datagram", cpu, unit="us"),
        Row("  datagrams a second per core", 1e6 / cpu, unit="per s"),
    ]


def websockets(rig: Rig, client: Client, address: str, count: int) -> list[Row]:
    """Memory of idle WebSockets."""
    before = rig.rss_mib("proxy")
    opened = client.ask("websockets", host=address, port=80, count=count)
    each = (rig.rss_mib("proxy") - before) * 1024 / count
    client.ask("drop_websockets")
    return [
        Row(f"{count} idle WebSockets: memory of the proxy for each", each, unit="KiB"),
        Row("  opening one", median(opened), p99(opened)),
    ]
