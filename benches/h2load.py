"""h2load (nghttp2) inside a Machine's network: many requests, HTTP/1.1 or HTTP/2, plain or TLS."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rig import Rig


@dataclass(frozen=True)
class Load:
    """What a run of h2load found."""

    per_second: float
    times_ms: list[float]
    """Of each request."""
    proxy_us: float
    """CPU of the proxy for each request."""


def run(
    rig: Rig,
    machine: str,
    url: str,
    host: str,
    *flags: str,
    requests: int,
    clients: int,
    streams: int = 1,
) -> Load:
    """Send `requests` over `clients` connections to `host`, an IPv6 address, in the name of `url`.

    Raises RuntimeError when one of them failed.
    """
    _, _, rest = url.partition("://")
    place = f"[{host}]:{rest.partition('/')[0].partition(':')[2] or default_port(url)}"
    with tempfile.NamedTemporaryFile(prefix="roost-h2load-") as log:
        command = ["h2load", f"-n{requests}", f"-c{clients}", f"-m{streams}"]
        command += [f"--log-file={log.name}", f"--connect-to={place}", *flags, url]
        before = rig.cpu_us("proxy")
        done = subprocess.run(
            [*rig.inside(machine), *command], capture_output=True, text=True, check=False
        )
        used = rig.cpu_us("proxy") - before
        lines = Path(log.name).read_text().splitlines()
    if f" {requests} succeeded, 0 failed" not in done.stdout:
        raise RuntimeError(f"{command}: {done.stdout[-800:]}{done.stderr[-400:]}")
    rate = next(line for line in done.stdout.splitlines() if line.startswith("finished in"))
    times = [int(line.split("\t")[2]) / 1000 for line in lines]
    return Load(float(rate.split(", ")[1].split()[0]), times, used / requests)


def default_port(url: str) -> int:
    """The port of a URL that names none."""
    return 443 if url.startswith("https:") else 80
