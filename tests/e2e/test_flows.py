"""The documented flows: launch, deploy, reach, sleep, wake, with the CLI and real programs."""

from __future__ import annotations

import subprocess

import pytest

from tests.support.rig import ROOST, Caller, Rig, eventually
from tests.support.tomls import REDIS, http_app, tcp_app

pytestmark = pytest.mark.root


def launched(rig: Rig, name: str, toml: str, *flags: str) -> None:
    folder = rig.folder(name, toml, index_html=f"this is {name}\n")
    rig.ok("launch", "--copy-config", "--ha=false", "--yes", *flags, cwd=folder)


def test_launch_with_flycast_ends_with_one_private_address(rig: Rig, caller: Caller) -> None:
    """`launch --flycast` deploys and allocates exactly one private address that answers by name."""
    launched(rig, "one", http_app("one"), "--flycast")
    rows = rig.json("ips", "list", "-a", "one")
    assert 1 == len(rows)
    assert rig.address("one").startswith("fdaa:0:1:0:1::")
    assert "this is one\n" == caller.curl("http://one.flycast/")


def test_launch_without_deploy_then_bare_deploy(rig: Rig, caller: Caller) -> None:
    """`launch --flycast --no-deploy` and then a bare `deploy` end with exactly one address too."""
    folder = rig.folder("two", http_app("two"), index_html="this is two\n")
    rig.ok("launch", "--copy-config", "--flycast", "--no-deploy", "--yes", cwd=folder)
    assert [] == rig.machines("two")
    rig.ok("deploy", "--ha=false", cwd=folder)
    rig.ok("deploy", "--ha=false", cwd=folder)
    assert 1 == len(rig.json("ips", "list", "-a", "two"))
    assert "this is two\n" == caller.curl("http://two.flycast/")


def test_launch_makes_a_config_of_its_own(rig: Rig, caller: Caller) -> None:
    """Without a fly.toml, launch writes one from its flags and deploys it."""
    folder = rig.folders / "three"
    folder.mkdir()
    (folder / "index.html").write_text("this is three\n")
    rig.ok(
        "launch",
        "--flycast",
        "--ha=false",
        "--yes",
        "--name=three",
        "--image=roost/host",
        "--internal-port=8080",
        "--command",
        "python3 -m http.server 8080 --directory /app",
        cwd=folder,
    )
    assert 'app = "three"' in (folder / "fly.toml").read_text().replace("'", '"')
    assert "this is three\n" == caller.curl("http://three.flycast/")


def test_http_app_sleeps_by_the_idle_rule_and_wakes(rig: Rig, caller: Caller) -> None:
    """An idle app stops by itself; the next request wakes it and is answered."""
    launched(rig, "sleepy", http_app("sleepy", stop="stop"), "--flycast")
    assert "this is sleepy\n" == caller.curl("http://sleepy.flycast/")
    rig.wait("sleepy", "stopped")
    assert "this is sleepy\n" == caller.curl("http://sleepy.flycast/")
    assert "started" == rig.machines("sleepy")[0]["state"]


def test_redis_suspends_and_keeps_its_memory(rig: Rig, caller: Caller) -> None:
    """A suspended redis is woken by a connection and still has what it had in memory."""
    launched(rig, "cache", tcp_app("cache", REDIS, 6379, stop="suspend"), "--flycast")
    redis = ("redis-cli", "-h", "cache.flycast")
    assert "OK\n" == caller.run(*redis, "set", "answer", "42").out
    rig.wait("cache", "suspended")
    assert "42\n" == caller.run(*redis, "get", "answer").out
    assert "started" == rig.machines("cache")[0]["state"]


def test_another_network_reaches_nothing(rig: Rig, caller: Caller) -> None:
    """From a custom network the app's name does not resolve and its address leads nowhere."""
    launched(rig, "hidden", http_app("hidden"), "--flycast")
    stranger = rig.caller("stranger", network="elsewhere")
    assert "this is hidden\n" == caller.curl("http://hidden.flycast/")
    by_name = stranger.run("curl", "-sS", "-m", "2", "http://hidden.flycast/")
    by_address = stranger.run("curl", "-sS", "-m", "2", f"http://[{rig.address('hidden')}]/")
    assert 6 == by_name.code
    assert by_address.code in (7, 28)


def test_two_machines_share_the_load(rig: Rig, caller: Caller) -> None:
    """With --ha the first deploy makes two Machines, and both answer."""
    folder = rig.folder("pair", http_app("pair", command="python3 /app/who.py"))
    (folder / "who.py").write_text(
        "import http.server, os\n\n\n"
        "class Who(http.server.BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        body = os.environ['FLY_MACHINE_ID'].encode()\n"
        "        self.send_response(200)\n"
        "        self.send_header('Content-Length', str(len(body)))\n"
        "        self.end_headers()\n"
        "        self.wfile.write(body)\n\n\n"
        "http.server.ThreadingHTTPServer(('0.0.0.0', 8080), Who).serve_forever()\n"
    )
    rig.ok("launch", "--copy-config", "--flycast", "--yes", cwd=folder)
    ids = {machine["id"] for machine in rig.machines("pair")}
    assert 2 == len(ids)
    assert ids == {caller.curl("http://pair.flycast/") for _ in range(40)}


def test_console_returns_the_commands_exit_status(rig: Rig) -> None:
    """`roost console -- CMD` runs inside the network and ends as CMD ends; its Machine is gone."""
    launched(rig, "seen", http_app("seen"), "--flycast")
    done = rig.cli("console", "--", "sh", "-c", "curl -s http://seen.flycast/; exit 7")
    assert 7 == done.code, done.err
    assert "this is seen\n" == done.out
    lines = rig.cli("console", "--", "cat", stdin="to and fro\n")
    assert "to and fro\n" == lines.out
    left = rig.call("GET", "/v1/apps/roost-console-1/machines")
    assert [] == [machine for machine in left if machine["state"] == "started"]


def test_scale_status_logs_and_destroy(rig: Rig, caller: Caller) -> None:
    """The everyday commands work on a running app, and destroying it leaves no trace."""
    launched(rig, "daily", http_app("daily"), "--flycast")
    assert "this is daily\n" == caller.curl("http://daily.flycast/")
    rig.ok("scale", "count", "3", "--yes", "-a", "daily")
    for machine in rig.machines("daily"):
        rig.wait("daily", "started", machine["id"])
    assert 3 == len(rig.machines("daily"))
    assert "daily" in rig.ok("status", "-a", "daily")
    assert "GET / HTTP/1.1" in rig.ok("logs", "--no-tail", "-a", "daily")
    assert "daily" in rig.ok("apps", "list")
    rig.ok("apps", "destroy", "daily", "--yes")
    assert "daily" not in rig.ok("apps", "list")
    assert 6 == caller.run("curl", "-sS", "-m", "3", "http://daily.flycast/").code


def test_secrets_reach_the_machine_and_never_the_output(rig: Rig) -> None:
    """A secret set before the deploy is in the environment; lists show only its digest."""
    folder = rig.folder("vault", http_app("vault"), index_html="x")
    rig.ok("launch", "--copy-config", "--flycast", "--no-deploy", "--yes", cwd=folder)
    rig.ok("secrets", "set", "PASSWORD=hunter22", "-a", "vault")
    rig.ok("deploy", "--ha=false", cwd=folder)
    assert "hunter22" not in rig.ok("secrets", "list", "-a", "vault")
    machine = rig.machines("vault")[0]["id"]
    out = rig.ok("machine", "exec", machine, "printenv PASSWORD", "-a", "vault")
    assert "hunter22" in out


def test_a_killed_console_leaves_no_machine(rig: Rig) -> None:
    """When the console's client is killed with -9, its Machine goes all the same."""
    command = [*ROOST, "console", "--", "sh", "-c", "echo here; sleep 600"]
    client = subprocess.Popen(command, env=rig.env, stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None
    assert "here\n" == client.stdout.readline()
    client.kill()
    client.wait()
    client.stdout.close()
    machines = "/v1/apps/roost-console-1/machines"
    eventually(lambda: rig.call("GET", machines) == [], "the console's Machine to go")
