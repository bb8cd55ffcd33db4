"""`make demo`: the whole story on this host with real programs, each step with its measured time.

Exits 0 only when each step did what it says, and leaves nothing behind (KEEP=1 leaves it running).
Times are taken inside the calling Machine, around the connection alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

ROOST = str(Path(sys.executable).parent / "roost")
HOME = Path(os.environ.get("ROOST_DEMO_HOME", f"/tmp/roost-demo-{os.getuid()}"))
KEEP = os.environ.get("KEEP", "") not in ("", "0")
SYSTEM_PATH = "/usr/bin:/usr/local/bin"
"""Where a Machine on roost/host finds programs."""
TICK, CROSS = "✓", "✗"

HELLO = """
app = "demo-hello"

[build]
  image = "roost/host"

[processes]
  app = "python3 -m http.server 8080 --bind 0.0.0.0 --directory /app"

[http_service]
  internal_port = 8080
  auto_stop_machines = "stop"
  auto_stop_after = "2s"
  auto_start_machines = true
  min_machines_running = 0
  processes = ["app"]
"""

CACHE = """
app = "demo-cache"

[build]
  image = "roost/host"

[processes]
  app = "{command}"

[[services]]
  internal_port = 6379
  auto_stop_machines = "suspend"
  auto_stop_after = "2s"
  processes = ["app"]

  [[services.ports]]
    port = 6379
"""

SMALL_TCP = '''"""answers PING like redis, for hosts without it."""
import os
import socketserver

held = os.urandom(40 << 20)


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            if line.strip() == b"PING":
                self.wfile.write(b"+PONG\\r\\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True


Server(("0.0.0.0", 6379), Handler).serve_forever()
'''

ASK_HTTP = """
import http.client, time
start = time.perf_counter()
c = http.client.HTTPConnection("demo-hello.flycast", 80, timeout=30)
c.request("GET", "/")
body = c.getresponse().read()
took = time.perf_counter() - start
assert b"hello from a private app" in body, body
print(took)
"""

FILL_REDIS = """
import os, socket
s = socket.create_connection(("demo-cache.flycast", 6379), timeout=30)
for number in range(40):
    value = os.urandom(1 << 20)
    head = b"*3\\r\\n$3\\r\\nSET\\r\\n$3\\r\\nk%02d\\r\\n$%d\\r\\n" % (number, len(value))
    s.sendall(head + value + b"\\r\\n")
    assert s.recv(64) == b"+OK\\r\\n"
print(0)
"""

ASK_TCP = """
import socket, time
start = time.perf_counter()
s = socket.create_connection(("demo-cache.flycast", 6379), timeout=30)
s.sendall(b"PING\\r\\n")
answer = s.recv(64)
took = time.perf_counter() - start
assert answer == b"+PONG\\r\\n", answer
print(took)
"""


class StepFailedError(Exception):
    """A step did not do what it says."""


def say(text: str = "") -> None:
    """One line, at once."""
    print(text, flush=True)


@contextmanager
def step(text: str) -> Iterator[Callable[[str], None]]:
    """A step of the story: prints what happened and how long it took."""
    notes: list[str] = []
    start = time.perf_counter()
    try:
        yield notes.append
    except Exception:
        say(f"  {CROSS} {text}")
        raise
    took = time.perf_counter() - start
    say(f"  {TICK} {text:<62} {took:7.2f} s")
    for note in notes:
        say(f"      {note}")


def roost(*words: str, cwd: Path | None = None, timeout: float = 120) -> str:
    """Run the CLI; its output. Raises StepFailedError with what it said."""
    done = subprocess.run(
        [ROOST, *words], capture_output=True, text=True, cwd=cwd, timeout=timeout, check=False
    )
    if done.returncode != 0:
        raise StepFailedError(f"roost {' '.join(words)}: {done.stderr.strip() or done.stdout}")
    return done.stdout


def api(method: str, path: str, body: Any = None) -> Any:
    """Call the API on its Unix socket."""
    transport = httpx.HTTPTransport(uds=str(HOME / "run/api.sock"))
    token = (HOME / "token").read_text().strip()
    with httpx.Client(transport=transport, base_url="http://roost", timeout=70) as client:
        headers = {"Authorization": f"Bearer {token}"}
        reply = client.request(method, path, headers=headers, json=body)
        reply.raise_for_status()
        return reply.json()


class Caller:
    """A Machine from which the apps are called."""

    def __init__(self, app: str, network: str = "") -> None:
        self.app = app
        roost("apps", "create", app, *(["--network", network] if network else []))
        roost("machine", "run", "roost/host", "sleep", "infinity", "-a", app, "--name", "caller")
        self.id = str(api("GET", f"/v1/apps/{app}/machines")[0]["id"])
        api("GET", f"/v1/apps/{app}/machines/{self.id}/wait?state=started&timeout=30")

    def run(self, *command: str) -> tuple[int, str]:
        """Run a command inside; exit code and output."""
        done = api(
            "POST",
            f"/v1/apps/{self.app}/machines/{self.id}/exec",
            {"command": list(command), "timeout": 60},
        )
        return int(done["exit_code"]), str(done["stdout"]) + str(done["stderr"])

    def must(self, *command: str) -> str:
        """Run a command that has to succeed; its output."""
        code, output = self.run(*command)
        if code != 0:
            raise StepFailedError(f"{command[0]} in {self.app} ended with {code}: {output.strip()}")
        return output.strip()

    def time(self, script: str) -> float:
        """Milliseconds that a Python script measured."""
        return float(self.must("python3", "-c", script)) * 1000


def wait_for(app: str, state: str) -> str:
    """Wait until the app's only Machine is in this state; its id."""
    machine = str(api("GET", f"/v1/apps/{app}/machines")[0]["id"])
    api("GET", f"/v1/apps/{app}/machines/{machine}/wait?state={state}&timeout=60")
    return machine


def resident_mib(app: str, machine: str) -> float:
    """Resident memory of a Machine in MiB."""
    return float(api("GET", f"/v1/apps/{app}/machines/{machine}/memory")["resident"]) / (1 << 20)


@contextmanager
def some_swap() -> Iterator[str]:
    """A 256 MiB zram swap for the demo, when the host has none and we may make one."""
    meminfo = Path("/proc/meminfo").read_text()
    control = Path("/sys/class/zram-control/hot_add")
    has_swap = "SwapTotal:             0 kB" not in meminfo
    if has_swap or os.geteuid() != 0 or not control.exists() or not shutil.which("mkswap"):
        yield "the host's own swap" if has_swap else ""
        return
    number = control.read_text().strip()
    device = f"/dev/zram{number}"
    made = False
    try:
        Path(f"/sys/block/zram{number}/disksize").write_text("256M")
        for command in (["mkswap", device], ["swapon", "-p", "1", device]):
            made = subprocess.run(command, capture_output=True, check=False).returncode == 0
            if not made:
                break
        yield f"a temporary zram ({device})" if made else ""
    finally:
        if made:
            subprocess.run(["swapoff", device], check=False)
        Path(f"/sys/block/zram{number}/reset").write_text("1")
        (control.parent / "hot_remove").write_text(number)


def launch(folder: Path, name: str, config: str, files: dict[str, str]) -> None:
    """Write an app's folder and launch it with a private address."""
    path = folder / name
    path.mkdir()
    (path / "fly.toml").write_text(config)
    for file, text in files.items():
        (path / file).write_text(text)
    roost("launch", "--flycast", "--copy-config", "--ha=false", "--yes", cwd=path)


def story(folder: Path, swap: str) -> None:
    """All steps, in order."""
    redis = shutil.which("redis-server", path=SYSTEM_PATH)
    tcp = (
        "redis-server --bind 0.0.0.0 --protected-mode no --save ''"
        if redis
        else "python3 /app/tcp.py"
    )
    with step("an HTTP app is launched with --flycast (Python's http.server)"):
        launch(folder, "demo-hello", HELLO, {"index.html": "hello from a private app\n"})
    with step(f"a TCP app is launched with --flycast ({'redis-server' if redis else 'tcp.py'})"):
        launch(folder, "demo-cache", CACHE.format(command=tcp), {"tcp.py": SMALL_TCP})
    with step("a Machine to call from, and one in another network"):
        caller = Caller("demo-caller")
        stranger = Caller("demo-stranger", network="elsewhere")
    awake_and_named(caller)
    stopped_and_woken(caller)
    suspended_and_woken(caller, swap)
    out_of_reach(stranger)


def awake_and_named(caller: Caller) -> None:
    """Name, ping, a request while awake."""
    address = str(api("GET", "/v1/apps/demo-hello/ip_assignments")["ips"][0]["ip"])
    with step("its AAAA record, asked from another Machine") as note:
        lookup = "import socket; print(socket.getaddrinfo('demo-hello.flycast', 80)[0][4][0])"
        found = caller.must("python3", "-c", lookup)
        if found != address:
            raise StepFailedError(f"demo-hello.flycast is {found}, not {address}")
        note(f"demo-hello.flycast = {address}")
    with step("ping"):
        caller.must("ping", "-c", "2", "-i", "0.2", "demo-hello.flycast")
    with step("a request while awake") as note:
        caller.time(ASK_HTTP)
        note(f"GET http://demo-hello.flycast/   {caller.time(ASK_HTTP):7.1f} ms")


def stopped_and_woken(caller: Caller) -> None:
    """Asleep by the idle rule, woken by a request."""
    with step("the idle rule stops it (auto_stop_after = 2s)"):
        wait_for("demo-hello", "stopped")
    with step("a request wakes it from stopped") as note:
        cold = caller.time(ASK_HTTP)
        warm = caller.time(ASK_HTTP)
        note(f"woken {cold:7.1f} ms, the same request when awake {warm:7.1f} ms")
        note("(most of the difference is Python's own start)")


def suspended_and_woken(caller: Caller, swap: str) -> None:
    """The TCP app suspends and resumes."""
    with step("the TCP app answers while awake"):
        if shutil.which("redis-server", path=SYSTEM_PATH):
            caller.time(FILL_REDIS)  # 40 MiB, so that there is something to push out
        caller.time(ASK_TCP)
        machine = wait_for("demo-cache", "started")
        before = resident_mib("demo-cache", machine)
    with step("the idle rule suspends it") as note:
        wait_for("demo-cache", "suspended")
        after = settled_memory("demo-cache", machine)
        where = f"pushed out to {swap}" if swap else "no swap here, so it stays resident"
        note(f"memory {before:.1f} MiB before, {after:.1f} MiB after ({where})")
    with step("a connection wakes it from suspended") as note:
        cold = caller.time(ASK_TCP)
        warm = caller.time(ASK_TCP)
        note(f"woken {cold:7.1f} ms, the same connection when awake {warm:7.1f} ms")


def settled_memory(app: str, machine: str) -> float:
    """Resident memory once the kernel has stopped pushing out (at most three seconds)."""
    deadline = time.monotonic() + 3
    last, same = resident_mib(app, machine), 0
    while same < 10 and time.monotonic() < deadline:
        time.sleep(0.05)
        now = resident_mib(app, machine)
        same = same + 1 if now >= last else 0
        last = min(now, last)
    return last


def out_of_reach(stranger: Caller) -> None:
    """Another network has no way in."""
    address = str(api("GET", "/v1/apps/demo-hello/ip_assignments")["ips"][0]["ip"])
    with step("an app in another network cannot reach it, by name or address"):
        for target in ("demo-hello.flycast", address):
            script = (
                "import socket, sys\n"
                "try:\n"
                f"    socket.create_connection(({target!r}, 80), timeout=1).close()\n"
                "except OSError as error:\n"
                "    print(error)\n"
                "    sys.exit(7)\n"
            )
            code, output = stranger.run("python3", "-c", script)
            if code != 7:
                raise StepFailedError(f"{target} was reachable from the other network: {output}")


def leftovers() -> list[str]:
    """What of the demo is still on the host."""
    left = []
    mark = str(HOME).encode()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark in (entry / "cmdline").read_bytes():
                left.append(f"process {entry.name}")
        except OSError:
            continue
    if str(HOME) in Path("/proc/self/mounts").read_text():
        left.append("mounts")
    cgroups = Path("/sys/fs/cgroup")
    left += [
        str(path) for depth in ("*", "*/*") for path in cgroups.glob(f"{depth}/roost-{tag()}*")
    ]
    if os.geteuid() == 0 and shutil.which("nft"):
        tables = subprocess.run(
            ["nft", "list", "tables"], capture_output=True, text=True, check=False
        )
        left += [line for line in tables.stdout.splitlines() if tag() in line]
    if HOME.exists():
        left.append(str(HOME))
    return left


def tag() -> str:
    """The part of names on the host that belongs to this ROOST_HOME."""
    import hashlib

    return hashlib.sha256(str(HOME).encode()).hexdigest()[:8]


def main() -> int:
    """Tell the story; returns the exit status."""
    os.environ["ROOST_HOME"] = str(HOME)
    if (HOME / "run").exists():
        subprocess.run([ROOST, "down"], check=False, capture_output=True)
    shutil.rmtree(HOME, ignore_errors=True)
    say("Roost demo: private apps that sleep until called")
    began, failed = time.perf_counter(), ""
    with tempfile.TemporaryDirectory(prefix="roost-demo-apps-") as folder, some_swap() as swap:
        try:
            with step("roost up"):
                roost("up", "--detach")
            story(Path(folder), swap)
        except (StepFailedError, httpx.HTTPError, subprocess.SubprocessError) as error:
            failed = str(error)
            say(f"\nThe demo failed: {failed}")
            show_log()
        if KEEP and not failed:
            return how_to_go_on(Path(folder))
        with step("roost down leaves nothing behind"):
            roost("down", timeout=400)
            shutil.rmtree(HOME, ignore_errors=True)
            if left := leftovers():
                raise StepFailedError(f"left behind: {', '.join(left)}")
    say(f"\n{'Failed' if failed else 'Done'} in {time.perf_counter() - began:.1f} s.")
    return 1 if failed else 0


def show_log() -> None:
    """The last lines of the daemon's log."""
    path = HOME / "run" / "roostd.log"
    if path.exists():
        say("\n".join(path.read_text(errors="replace").splitlines()[-30:]))


def how_to_go_on(folder: Path) -> int:
    """Roost is left running; say how to use and how to end it."""
    kept = HOME / "apps"
    shutil.copytree(folder, kept, dirs_exist_ok=True)
    say(f"""
Left running. To go on:
  export ROOST_HOME={HOME} PATH="{Path(ROOST).parent}:$PATH"
  roost status -a demo-hello
  roost console -- curl -s http://demo-hello.flycast/
  roost logs -a demo-hello --no-tail
  roost down && rm -r {HOME}      # ends it
""")
    return 0


if __name__ == "__main__":
    sys.exit(main())
