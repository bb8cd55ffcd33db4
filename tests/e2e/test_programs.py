"""Real programs behind their Flycast names, each woken from both depths of sleep."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
import typing_extensions

from tests.support import grpc_echo
from tests.support.programs import (
    ALL,
    DEPTHS,
    NGINX,
    POSTGRES,
    POSTGRES_PROXIED,
    POSTGRES_TLS,
    WEBSOCKET,
    Program,
    port,
)
from tests.support.rig import Caller, Rig, eventually

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def deployed(rig: Rig) -> set[str]:
    """Names of the apps that are there."""
    return set()


def deploy(rig: Rig, program: Program, deployed: set[str]) -> str:
    """Deploy the app once; its only Machine."""
    if program.name not in deployed:
        folder = rig.folder(program.name, program.toml(), **program.files)
        rig.ok("launch", "--copy-config", "--flycast", "--ha=false", "--yes", cwd=folder)
        deployed.add(program.name)
    return str(rig.machines(program.name)[0]["id"])


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("program", ALL, ids=lambda program: program.name)
def test_it_answers_awake_and_asleep(
    rig: Rig, caller: Caller, deployed: set[str], program: Program, depth: str
) -> None:
    """Its own client gets its answer while it is awake, and when the call has to wake it."""
    machine = deploy(rig, program, deployed)
    awake = caller.run(*program.ask)
    assert program.answer in awake.out, f"{awake}{rig.daemon_log()}"
    rig.ok("machine", depth, machine, "-a", program.name)
    rig.wait(program.name, DEPTHS[depth], machine)
    woken = caller.run(*program.ask)
    assert program.answer in woken.out, f"{woken}{rig.daemon_log()}"
    rig.wait(program.name, "started", machine)


@pytest.mark.parametrize(
    "program", [POSTGRES, POSTGRES_TLS, POSTGRES_PROXIED], ids=lambda program: program.name
)
def test_pgbench_runs_over_the_flycast_name(
    rig: Rig, caller: Caller, deployed: set[str], program: Program
) -> None:
    """pgbench fills its tables and runs many clients' transactions with none failed."""
    deploy(rig, program, deployed)
    where = ("-h", f"{program.name}.flycast", "-U", "postgres", "postgres")
    filled = caller.run("pgbench", "-i", "-q", *where)
    assert 0 == filled.code, filled.err
    ran = caller.run("pgbench", "-n", "-c", "8", "-j", "2", "-t", "50", *where)
    assert "number of transactions actually processed: 400/400" in ran.out, f"{ran}"


def test_a_program_behind_proxy_protocol_knows_who_calls(
    rig: Rig, caller: Caller, deployed: set[str]
) -> None:
    """haproxy, which reads the header, logs the caller's address and the Flycast one it called."""
    deploy(rig, POSTGRES_PROXIED, deployed)
    assert "42\n" in caller.run(*POSTGRES_PROXIED.ask).out
    own = rig.call("GET", f"/v1/apps/{caller.app}/machines/{caller.id}")["private_ip"]
    line = f"from {own} to {rig.address('pgp')}:5432"
    eventually(lambda: line in rig.api("GET", "/v1/apps/pgp/logs").text, f"the line: {line}")


@pytest.fixture(scope="module")
def both(rig: Rig) -> None:
    """nginx behind plain and TLS ports, spoken to in HTTP/1.1 and in HTTP/2."""
    for name, more in (("one", ""), ("two", "http_options = { h2_backend = true }")):
        ports = port(80, "http", more=more) + port(443, "tls", "http", more=more)
        program = replace(NGINX, name=name, ports=ports, internal_port=BACKENDS[name])
        folder = rig.folder(name, program.toml(), **program.files)
        rig.ok("launch", "--copy-config", "--flycast", "--ha=false", "--yes", cwd=folder)


BACKENDS = {"one": 8080, "two": 8082}
SPEECHES = {
    "http/1.1": ("http", "--http1.1", "1.1"),
    "http/2 by prior knowledge": ("http", "--http2-prior-knowledge", "2"),
    "http/2 by upgrade": ("http", "--http2", "2"),
    "https, http/1.1": ("https", "--http1.1", "1.1"),
    "https, http/2": ("https", "--http2", "2"),
}


@pytest.mark.parametrize("speech", SPEECHES)
@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.usefixtures("both")
def test_curl_speaks_every_http(rig: Rig, caller: Caller, name: str, speech: str) -> None:
    """curl gets its answer in the protocol it chose, from either backend, awake or to be woken,
    and trusts the certificate without being told to.
    """
    scheme, flag, version = SPEECHES[speech]
    shown = ("-w", "%{http_version} %{http_code}")
    assert f"nginx answers\n{version} 200" == caller.curl(
        f"{scheme}://{name}.flycast/", flag, *shown
    )
    machine = str(rig.machines(name)[0]["id"])
    rig.ok("machine", "suspend", machine, "-a", name)
    rig.wait(name, "suspended", machine)
    assert f"nginx answers\n{version} 200" == caller.curl(
        f"{scheme}://{name}.flycast/", flag, *shown
    )


HOLD_WEBSOCKET = """
import socket, sys
s = socket.create_connection((sys.argv[1], 80), timeout=30)
s.sendall(b"GET / HTTP/1.1\\r\\nHost: ws.flycast\\r\\nConnection: Upgrade\\r\\n"
          b"Upgrade: websocket\\r\\nSec-WebSocket-Version: 13\\r\\n"
          b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\\r\\n\\r\\n")
print(s.recv(4096).split()[1].decode(), flush=True)
sys.stdin.read()
"""


def test_an_idle_websocket_and_a_pooled_connection_are_use(rig: Rig, caller: Caller) -> None:
    """Machines whose connections only rest stay awake while one without any falls asleep; when
    they are closed, they sleep too.
    """
    idle = 'auto_stop_machines = "stop"\n  auto_stop_after = "1ms"'
    for program in (WEBSOCKET, replace(POSTGRES, name="pool"), replace(NGINX, name="unused")):
        toml = program.toml().replace('auto_stop_machines = "off"', idle)
        folder = rig.folder(program.name, toml, **program.files)
        rig.ok("launch", "--copy-config", "--flycast", "--ha=false", "--yes", cwd=folder)
    caller.run("sh", "-c", "until pg_isready -q -t 30 -h pool.flycast; do :; done")
    websocket = caller.popen(sys.executable, "-c", HOLD_WEBSOCKET, rig.address("ws"))
    pooled = caller.popen("psql", "-h", rig.address("pool"), "-U", "postgres", "-At", "postgres")
    try:
        assert pooled.stdin is not None
        assert pooled.stdout is not None
        assert websocket.stdout is not None
        pooled.stdin.write("select 6 * 7;\n")
        pooled.stdin.flush()
        assert "42\n" == pooled.stdout.readline()
        assert "101\n" == websocket.stdout.readline()
        assert "nginx answers\n" == caller.curl("http://unused.flycast/")
        rig.wait("unused", "stopped")
        assert {"started"} == {rig.machines(name)[0]["state"] for name in ("ws", "pool")}
    finally:
        websocket.communicate("", timeout=30)
        pooled.communicate("", timeout=30)
    for name in ("ws", "pool"):
        rig.wait(name, "stopped")


def test_grpc_in_all_four_kinds_wakes_its_machine(rig: Rig) -> None:
    """A gRPC client calls a gRPC server by its Flycast name, from both depths of sleep."""
    python = "env PYTHONPATH=/app/lib python3 /app/echo.py"
    command = f"sh -c 'tail -f /dev/null | {python} server 0.0.0.0:50051'"
    more = "http_options = { h2_backend = true }"
    program = replace(
        NGINX, name="calls", command=command, internal_port=50051, ports=port(80, "http", more=more)
    )
    folder = rig.folder("calls", program.toml(), echo_py=Path(grpc_echo.__file__).read_text())
    for package in (grpc, typing_extensions):
        source = Path(str(package.__file__))
        if source.name == "__init__.py":
            shutil.copytree(source.parent, folder / "lib/grpc")
        else:
            shutil.copy(source, folder / "lib")
    rig.ok("launch", "--copy-config", "--flycast", "--ha=false", "--yes", cwd=folder)
    asker = rig.caller("asker", folder=folder)
    (machine,) = rig.machines("calls")
    for depth in (None, *DEPTHS):
        if depth is not None:
            rig.ok("machine", depth, machine["id"], "-a", "calls")
            rig.wait("calls", DEPTHS[depth], machine["id"])
        got = asker.run("sh", "-c", f"{python} client calls.flycast:80")
        assert '"up": "2000000", "both": ["0", "1", "2"]' in got.out, got
