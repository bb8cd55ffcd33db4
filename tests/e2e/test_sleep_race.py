"""Falling asleep and being called at the same moment: nothing is lost."""

from __future__ import annotations

import pytest

from tests.support.rig import Caller, Rig, eventually
from tests.support.tomls import REDIS, http_app, tcp_app

pytestmark = pytest.mark.root

SERVER = "nginx -c /app/nginx.conf -p /tmp"
CONF = """
daemon off; worker_processes 1; error_log stderr crit; pid /tmp/nginx.pid;
events { worker_connections 64; }
http {
  access_log off;
  client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f;
  uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;
  server { listen 8080; root /app; }
}
"""
APPS = ("edge-stop", "edge-suspend")
CALLS = """
import http.client, sys, time
for number in range(12):
    for app in {apps}:
        c = http.client.HTTPConnection(app + ".flycast", 80, timeout=20)
        c.request("GET", "/index.html")
        reply = c.getresponse()
        body = reply.read()
        if reply.status != 200 or body != b"awake":
            print(number, app, reply.status, body)
            sys.exit(1)
        c.close()
    time.sleep(1.5 + 0.125 * number)
print("all")
"""


def test_calls_around_the_moment_of_sleep(rig: Rig, caller: Caller) -> None:
    """Calls whose gaps sweep over the second in which Machines fall asleep all succeed."""
    for app in APPS:
        toml = http_app(app, command=SERVER, stop=app.removeprefix("edge-"), after="1ms")
        folder = rig.folder(app, toml, index_html="awake", nginx_conf=CONF)
        rig.ok("launch", "--copy-config", "--flycast", "--ha=false", "--yes", cwd=folder)
    done = caller.run("python3", "-c", CALLS.format(apps=APPS))
    assert "all\n" == done.out, done
    for app in APPS:
        assert 2 < rig.ok("logs", "--no-tail", "-a", app).count("idle, ")


def test_an_open_connection_keeps_it_awake(rig: Rig, caller: Caller) -> None:
    """A TCP connection that only rests is use: its Machine is not put to sleep."""
    folder = rig.folder("held", tcp_app("held", REDIS, 6379, stop="stop", after="1ms"))
    rig.ok("launch", "--copy-config", "--flycast", "--ha=false", "--yes", cwd=folder)
    script = (
        "import socket, time\n"
        "s = socket.create_connection(('held.flycast', 6379), timeout=20)\n"
        "s.sendall(b'PING\\r\\n'); first = s.recv(64)\n"
        "time.sleep(4)\n"
        "s.sendall(b'PING\\r\\n'); print(first == s.recv(64) == b'+PONG\\r\\n')"
    )
    assert "True\n" == caller.run("python3", "-c", script).out
    rig.wait("held", "stopped")


def states(rig: Rig, app: str) -> list[str]:
    """The states of an app's Machines, sorted."""
    return sorted(str(machine["state"]) for machine in rig.machines(app))


def test_idle_pair_sleeps_and_the_floor_stays(rig: Rig) -> None:
    """Two idle Machines both sleep; min_machines_running keeps its number meanwhile."""
    for name, more, final in (
        ("pair-floor", "  min_machines_running = 1\n", ["started", "stopped"]),
        ("pair-idle", "", ["stopped", "stopped"]),
    ):
        toml = 'primary_region = "local"\n' + http_app(name, stop="stop", after="1ms", more=more)
        folder = rig.folder(name, toml)
        rig.ok("launch", "--copy-config", "--flycast", "--yes", cwd=folder)
        eventually(lambda name=name, final=final: states(rig, name) == final, f"{name} to sleep")  # type: ignore[misc]
    assert ["started", "stopped"] == states(rig, "pair-floor")
