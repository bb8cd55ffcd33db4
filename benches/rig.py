"""What the benchmarks share: a Roost of their own, its API, clients inside a Machine."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx

ROOST = str(Path(sys.executable).parent / "roost")

NGINX_CONF = """
daemon off;
worker_processes 1;
error_log stderr crit;
pid /tmp/nginx.pid;
events { worker_connections 512; }
http {
  access_log off;
  keepalive_requests 1000000;
  client_body_temp_path /tmp/body; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;
  uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;
  server {
    listen 8080; listen [::]:8080; listen [::]:8082 http2;
    root /app; location / { index index.html; }
  }
}
"""
SERVER = ["nginx", "-c", "/app/nginx.conf", "-p", "/tmp"]


class Rig:
    """One Roost in a temporary ROOST_HOME."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.env = os.environ | {"ROOST_HOME": str(home)}
        self._client: httpx.Client | None = None

    def up(self, *flags: str) -> None:
        """Start the daemon."""
        self._client = None
        subprocess.run([ROOST, "up", "--detach", *flags], env=self.env, check=True)

    def down(self) -> None:
        """Stop everything."""
        subprocess.run([ROOST, "down"], env=self.env, check=True)

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API; decoded JSON. Raises on an error status."""
        if self._client is None:
            token = (self.home / "token").read_text().strip()
            self._client = httpx.Client(
                transport=httpx.HTTPTransport(uds=str(self.home / "run/api.sock")),
                base_url="http://roost",
                timeout=70,
                headers={"Authorization": f"Bearer {token}"},
            )
        reply = self._client.request(method, path, json=body)
        if reply.is_error:
            raise RuntimeError(f"{method} {path}: {reply.status_code} {reply.text}")
        return reply.json() if reply.content else None

    def machine(self, app: str, config: dict[str, Any], **more: Any) -> str:
        """Create a Machine; its id."""
        body = {"config": config, **more}
        return str(self.api("POST", f"/v1/apps/{app}/machines", body)["id"])

    def app(self, name: str, *, flycast: bool = True, network: str = "") -> str:
        """Create an app; its Flycast address, or ""."""
        self.api("POST", "/v1/apps", {"app_name": name, "org_slug": "personal", "network": network})
        if not flycast:
            return ""
        path = f"/v1/apps/{name}/ip_assignments"
        return str(self.api("POST", path, {"type": "private_v6"})["ip"])

    def wait(self, app: str, machine: str, state: str) -> None:
        """Wait for a state (at most 60 s)."""
        self.api("GET", f"/v1/apps/{app}/machines/{machine}/wait?state={state}&timeout=60")

    def act(self, app: str, machine: str, verb: str) -> None:
        """start, stop or suspend."""
        self.api("POST", f"/v1/apps/{app}/machines/{machine}/{verb}", {})

    def inside(self, machine: str) -> list[str]:
        """Command prefix that runs a program in a Machine's network namespace (and ours else)."""
        pid = (self.home / "run/holder.pid").read_text().split()[0]
        netns = self.home / "run/netns" / f"m{machine}"
        return ["nsenter", f"--mount=/proc/{pid}/ns/mnt", "nsenter", f"--net={netns}"]

    def pid(self, name: str) -> int:
        """Pid of the daemon or the proxy."""
        file = {"daemon": "roostd.lock", "proxy": "proxy.pid"}[name]
        return int((self.home / "run" / file).read_text().split()[0])

    def rss_mib(self, name: str) -> float:
        """Resident memory of the daemon or the proxy."""
        for line in Path(f"/proc/{self.pid(name)}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def cpu_us(self, name: str) -> float:
        """CPU time of the daemon or the proxy so far, in microseconds (proc(5), stat 14 and 15)."""
        stat = Path(f"/proc/{self.pid(name)}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) * 1e6 / os.sysconf("SC_CLK_TCK")

    def file_limit(self, name: str) -> int:
        """How many descriptors the daemon or the proxy may have open."""
        limits = Path(f"/proc/{self.pid(name)}/limits").read_text().splitlines()
        return next(int(line.split()[4]) for line in limits if line.startswith("Max open files"))

    def files(self, name: str) -> int:
        """Open descriptors of the daemon or the proxy."""
        return len(list(Path(f"/proc/{self.pid(name)}/fd").iterdir()))


class Client:
    """A process inside a Machine's network that measures on request (see client.py)."""

    def __init__(self, rig: Rig, machine: str) -> None:
        script = str(Path(__file__).with_name("client.py"))
        self._process = subprocess.Popen(
            [*rig.inside(machine), sys.executable, "-I", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, what: str, **arguments: Any) -> list[float]:
        """Milliseconds of each repetition. Raises RuntimeError with what went wrong."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"what": what, **arguments}) + "\n")
        self._process.stdin.flush()
        reply = json.loads(self._process.stdout.readline())
        if "error" in reply:
            raise RuntimeError(reply["error"])
        return [float(item) for item in reply["ms"]]

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@contextlib.contextmanager
def roost(*flags: str) -> Iterator[Rig]:
    """A running Roost, taken down and removed at the end."""
    home = Path(tempfile.mkdtemp(prefix="roost-bench-"))
    rig = Rig(home)
    try:
        rig.up(*flags)
        yield rig
    finally:
        rig.down()
        shutil.rmtree(home, ignore_errors=True)


def server_folder(parent: Path) -> Path:
    """The static-file server's app folder."""
    folder = parent / "static"
    folder.mkdir(mode=0o755)
    (folder / "nginx.conf").write_text(NGINX_CONF)
    (folder / "index.html").write_text("x" * 100)
    return folder


def server_config(folder: Path, **service: Any) -> dict[str, Any]:
    """Machine config of the static-file server behind port 80 (http) and 81 (raw TCP)."""
    return {
        "image": "roost/host",
        "app_dir": str(folder),
        "init": {"cmd": SERVER},
        "services": [
            {
                "internal_port": 8080,
                "ports": [
                    {"port": 80, "handlers": ["http"]},
                    {"port": 81},
                    {"port": 443, "handlers": ["tls", "http"]},
                    {"port": 444, "handlers": ["tls"]},
                ],
                "concurrency": {"type": "requests"},
                **service,
            }
        ],
    }


def echo_config(folder: Path) -> dict[str, Any]:
    """Machine config of echoes.py: WebSockets behind port 80, UDP on port 9000."""
    tcp = {"internal_port": 8080, "ports": [{"port": 80, "handlers": ["http"]}]}
    udp = {"protocol": "udp", "internal_port": 9000, "ports": [{"port": 9000}]}
    return {
        "image": "roost/host",
        "app_dir": str(folder),
        "init": {"cmd": ["python3", "/app/echoes.py"]},
        "services": [tcp | {"autostop": "off"}, udp | {"autostop": "off"}],
    }


def median(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def p99(values: Sequence[float]) -> float:
    """The 99th percentile (nearest rank)."""
    return sorted(values)[min(len(values) - 1, math.ceil(len(values) * 0.99) - 1)]
