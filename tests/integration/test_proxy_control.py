"""The proxy's control socket and its end, with the real binary."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.proxy_control import (
    DEADLINE_S,
    Control,
    ControlError,
    app,
    machine,
    network,
    proxy_binary,
    running_proxy,
)
from tests.support.proxy_world import namespace

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="enters network namespaces, which needs root"),
]


def test_socket_is_private_and_greets(tmp_path: Path) -> None:
    """The socket has mode 0600, and the first line says protocol, version and process id."""
    path = tmp_path / "proxy.sock"
    with running_proxy(path) as process:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        control = Control(path)
        greeting = control.greeting
        control.close()
        assert (greeting["ev"], greeting["protocol"], greeting["pid"]) == ("hello", 1, process.pid)


def test_replaces_only_a_dead_socket(tmp_path: Path) -> None:
    """A file left by a killed proxy is replaced; a second proxy beside a living one refuses."""
    path = tmp_path / "proxy.sock"
    with running_proxy(path) as killed:
        killed.kill()
        killed.wait(DEADLINE_S)
    assert path.exists()
    with running_proxy(path):
        command = [str(proxy_binary()), "--control", str(path)]
        second = subprocess.run(command, capture_output=True, timeout=DEADLINE_S, check=False)
        assert second.returncode == 1
        assert b"another proxy listens" in second.stderr
        Control(path).close()


def test_newer_agent_replaces_older(tmp_path: Path) -> None:
    """When a second agent connects the first one's connection ends."""
    path = tmp_path / "proxy.sock"
    with running_proxy(path), closing(Control(path)) as older:
        older.hello()
        with closing(Control(path)) as newer:
            newer.hello()
            with pytest.raises(ControlError, match="closed the control connection"):
                older.call("stats")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    """A signal ends a proxy without connections at once, with status 0 and without its socket."""
    path = tmp_path / "proxy.sock"
    with running_proxy(path) as process:
        process.send_signal(number)
        assert process.wait(DEADLINE_S) == 0
    assert not path.exists()


def test_wrong_arguments_exit_64(tmp_path: Path) -> None:
    """A wrong command line is told in one sentence and exits 64."""
    for words in ([], ["--control"], ["--control", str(tmp_path / "s"), "--threads", "none"]):
        command = [str(proxy_binary()), *words]
        ended = subprocess.run(command, capture_output=True, timeout=DEADLINE_S, check=False)
        assert ended.returncode == 64
        assert b"usage: roost-proxy" in ended.stderr


def test_sleepers_cost_no_descriptor(tmp_path: Path) -> None:
    """Two thousand sleeping apps on one network add no open descriptor to those of one app."""
    path = tmp_path / "proxy.sock"
    with namespace() as netns, running_proxy(path) as process, closing(Control(path)) as control:
        control.hello()
        control.put("network", network(str(netns)))

        def sleeper(number: int) -> None:
            name = f"app-{number}"
            control.put("app", app(name, f"fdaa:0:1:0:1::{number:x}"))
            control.put("machine", machine(f"m{number}", name, "172.16.0.9", "stopped"))

        def descriptors() -> int:
            return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))

        sleeper(1)
        before = descriptors()
        for number in range(2, 2001):
            sleeper(number)
        assert descriptors() == before
        assert control.call("stats")["stats"]["apps"] == 2000


def test_missing_namespace_is_an_error(tmp_path: Path) -> None:
    """A network whose namespace file is not there is answered with the path, and is kept."""
    path = tmp_path / "proxy.sock"
    with running_proxy(path), closing(Control(path)) as control:
        with pytest.raises(ControlError, match="/nowhere"):
            control.put("network", network("/nowhere"))
        assert control.call("stats")["stats"]["networks"] == 1


def test_frames_of_a_stranger_do_no_harm(tmp_path: Path) -> None:
    """Bytes that are no text are answered with an error and the next agent is served."""
    path = tmp_path / "proxy.sock"
    with running_proxy(path):
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(str(path))
            stranger.sendall(b"\xff\xfe\0\n" * 100)
        with closing(Control(path)) as control:
            control.call("stats")
