"""A real Roost for tests: its CLI, its API, and what runs inside its Machines.

Everything is in one temporary ROOST_HOME and gone at the end; nothing outside is touched.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

ROOST = [str(Path(sys.executable).parent / "roost")]
DEADLINE = 30.0


@dataclass(frozen=True)
class Ran:
    """A finished command."""

    code: int
    out: str
    err: str


class Rig:
    """One Roost. `up` starts it, `close` takes it away.

    With `netns` it lives in that network namespace, as on a host of its own.
    """

    def __init__(self, *flags: str, netns: Path | None = None) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="roost-t-"))
        self.home.chmod(0o755)
        self.flags = flags
        self.roost = [*(["nsenter", f"--net={netns}", "--"] if netns else []), *ROOST]
        self.env = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("ROOST_", "FLY_"))
        } | {"ROOST_HOME": str(self.home), "NO_COLOR": "1", "COLUMNS": "200"}
        self.folders = Path(tempfile.mkdtemp(prefix="roost-apps-"))
        self.folders.chmod(0o755)

    def up(self) -> None:
        """Start the daemon in the background."""
        done = self.cli("up", "--detach", *self.flags)
        assert done.code == 0, done.err

    def close(self) -> None:
        """Stop everything and remove ROOST_HOME."""
        done = self.cli("down", timeout=120)
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.rmtree(self.folders, ignore_errors=True)
        assert done.code == 0, done.err
        assert [] == self.leftovers()

    # Commands and calls

    def cli(
        self, *words: str, cwd: Path | None = None, timeout: float = 90, stdin: str = ""
    ) -> Ran:
        """Run the CLI."""
        done = subprocess.run(
            [*self.roost, *words],
            env=self.env,
            cwd=cwd or self.folders,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def ok(self, *words: str, cwd: Path | None = None) -> str:
        """Run a command that has to succeed; its output."""
        done = self.cli(*words, cwd=cwd)
        assert done.code == 0, f"{words}: {done.err}{done.out}{self.daemon_log()}"
        return done.out

    def json(self, *words: str) -> Any:
        """Run a command with --json; what it printed."""
        return json.loads(self.ok(*words, "--json"))

    def api(
        self, method: str, path: str, body: Any = None, token: str | None = None
    ) -> httpx.Response:
        """Call the API."""
        text = (self.home / "token").read_text().strip() if token is None else token
        transport = httpx.HTTPTransport(uds=str(self.home / "run/api.sock"))
        with httpx.Client(transport=transport, base_url="http://roost", timeout=90) as client:
            headers = {"Authorization": f"Bearer {text}"} if text else {}
            return client.request(method, path, json=body, headers=headers)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API; the decoded answer of a success."""
        reply = self.api(method, path, body)
        assert reply.is_success, f"{method} {path}: {reply.status_code} {reply.text}"
        return reply.json()

    # Apps and Machines

    def folder(self, name: str, toml: str, **files: str) -> Path:
        """An app's folder with its fly.toml and files (`index_html` is index.html)."""
        path = self.folders / name
        path.mkdir()
        (path / "fly.toml").write_text(toml)
        for file, text in files.items():
            (path / file.replace("_", ".")).write_text(text)
        return path

    def machines(self, app: str) -> list[dict[str, Any]]:
        """The app's Machines, as the API shows them."""
        found: list[dict[str, Any]] = self.call("GET", f"/v1/apps/{app}/machines")
        return found

    def wait(self, app: str, state: str, machine: str = "") -> str:
        """Wait until a Machine (the app's first) has a state; its id."""
        found = machine or str(self.machines(app)[0]["id"])
        path = f"/v1/apps/{app}/machines/{found}/wait?state={state}&timeout=60"
        reply = self.api("GET", path)
        assert reply.is_success, f"{reply.text}\n{self.daemon_log()}"
        return found

    def caller(
        self, app: str, network: str = "", *, org: str = "personal", folder: Path | None = None
    ) -> Caller:
        """A Machine on the host image to call from, with `folder` at /app."""
        body = {"app_name": app, "org_slug": org, "network": network}
        self.call("POST", "/v1/apps", body)
        config = {"image": "roost/host", "init": {"cmd": ["/bin/sleep", "infinity"]}}
        config |= {"app_dir": str(folder)} if folder else {}
        made = self.call("POST", f"/v1/apps/{app}/machines", {"config": config})
        self.wait(app, "started", made["id"])
        return Caller(self, app, made["id"])

    def address(self, app: str) -> str:
        """The app's only Flycast address."""
        ips = self.call("GET", f"/v1/apps/{app}/ip_assignments")["ips"]
        assert 1 == len(ips)
        return str(ips[0]["ip"])

    # The host

    def pid(self, name: str) -> int:
        """Pid of `daemon`, `proxy` or `holder`."""
        file = {"daemon": "roostd.lock", "proxy": "proxy.pid", "holder": "holder.pid"}[name]
        return int((self.home / "run" / file).read_text().split()[0])

    def kill(self, name: str) -> None:
        """kill -9 one of ours and wait until it is gone."""
        pid = self.pid(name)
        fd = os.pidfd_open(pid)
        signal.pidfd_send_signal(fd, signal.SIGKILL)
        eventually(lambda: not alive(pid), f"{name} to end")
        os.close(fd)

    def enter(self, *command: str) -> list[str]:
        """A command that runs in the holder's mount namespace."""
        return ["nsenter", f"--mount=/proc/{self.pid('holder')}/ns/mnt", *command]

    def namespaces(self) -> list[str]:
        """Names of the namespace files, but for the canary's, which come and go."""
        names = (path.name for path in (self.home / "run/netns").iterdir())
        return sorted(name for name in names if not name.startswith("mprobe"))

    def daemon_log(self) -> str:
        """The end of the daemon's log, for messages."""
        path = self.home / "run/roostd.log"
        text = path.read_text(errors="replace") if path.exists() else ""
        return "\n".join(["", "--- roostd.log", *text.splitlines()[-40:]])

    def leftovers(self) -> list[str]:
        """What of this Roost is still on the host."""
        tag = hashlib.sha256(str(self.home).encode()).hexdigest()[:8]
        left = [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/roost*{tag}*")]
        mark = str(self.home).encode()
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and entry.name != str(os.getpid()):
                try:
                    if mark in (entry / "cmdline").read_bytes():
                        left.append(f"process {entry.name}")
                except OSError:
                    continue
        if str(self.home) in Path("/proc/self/mounts").read_text():
            left.append("mounts")
        tables = subprocess.run(
            ["nft", "list", "tables"], capture_output=True, text=True, check=False
        )
        return left + [line for line in tables.stdout.splitlines() if tag in line]


@dataclass(frozen=True)
class Caller:
    """A Machine from which things are tried."""

    rig: Rig
    app: str
    id: str

    def run(self, *command: str) -> Ran:
        """Run a command inside."""
        done = self.rig.call(
            "POST",
            f"/v1/apps/{self.app}/machines/{self.id}/exec",
            {"command": list(command), "timeout": 60},
        )
        return Ran(done["exit_code"], done["stdout"], done["stderr"])

    def curl(self, url: str, *flags: str) -> str:
        """A request that has to succeed; the body."""
        done = self.run("curl", "-sS", "--fail-with-body", "-m", "50", *flags, url)
        assert done.code == 0, f"{url}: {done}{self.rig.daemon_log()}"
        return done.out

    def popen(self, *command: str) -> subprocess.Popen[str]:
        """A long-running program of this test in the Machine's network namespace."""
        netns = self.rig.home / "run/netns" / f"m{self.id}"
        return subprocess.Popen(
            self.rig.enter("nsenter", f"--net={netns}", *command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )


def alive(pid: int) -> bool:
    """Whether a process lives (a zombie does not)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def eventually(check: Callable[[], bool], what: str, seconds: float = DEADLINE) -> None:
    """Wait for something that no event tells of. Fails with its name at the deadline."""
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, f"waited {seconds:g} s for {what}"
        time.sleep(0.02)
