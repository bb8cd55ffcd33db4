"""Standard input and output of a command in a Machine: pipes, terminals, signals, broken links."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi import WebSocket

from tests.support.api_stub import ApiStub
from tests.support.cli import Run, a_machine

PATIENCE = 60.0
"""Seconds after which a hanging program is a failure; nothing waits so long when all is well."""
PIPE = subprocess.PIPE
HERE = "/v1/apps/c/machines/m1"


class Inside:
    """The server's side of one session: remembers frames, answers as told."""

    def __init__(self) -> None:
        self.query: dict[str, str] = {}
        self.input = b""
        self.sizes: list[dict[str, int]] = []
        self.began = threading.Event()
        self.resized = threading.Event()

    async def echo(self, socket: WebSocket) -> None:
        """Send input back until it ends; then exit 5."""
        await self._greet(socket)
        while True:
            frame = await socket.receive_bytes()
            if frame[0] == 3:
                self.sizes.append(json.loads(frame[1:]))
                self.resized.set()
            elif not frame[1:] or frame[1:].endswith(b"\x04"):
                break
            else:
                self.input += frame[1:]
                await socket.send_bytes(b"\x01" + frame[1:])
        await socket.send_bytes(b"\x02bye\n")
        await socket.send_bytes(b'\x04{"exit_code": 5}')
        await socket.close()

    async def break_off(self, socket: WebSocket) -> None:
        """Close without an exit status."""
        await self._greet(socket)
        await socket.close(1011, "the host is gone")

    async def _greet(self, socket: WebSocket) -> None:
        self.query = dict(socket.query_params)
        self.began.set()
        await socket.send_bytes(b"\x01ready\n")


@pytest.fixture
def inside(api: ApiStub) -> Inside:
    """A console Machine that takes one session."""
    session = Inside()
    api.on("POST /v1/consoles", {"app": "c", "machine": a_machine("m1")})
    api.on(f"GET {HERE}/wait", {"ok": True})
    api.on(f"GET {HERE}", a_machine("m1"))
    api.on(f"DELETE {HERE}", {"ok": True})
    api.on_attach(f"{HERE}/attach", session.echo)
    return session


@contextmanager
def started(
    home: Path, *words: str, stdin: int = PIPE, stdout: int = PIPE, stderr: int = PIPE
) -> Iterator[subprocess.Popen[bytes]]:
    """The CLI as its own program; ended at the latest when the block is left."""
    env = os.environ | {"ROOST_HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "roost.cli", *words]
    with subprocess.Popen(
        command, env=env, start_new_session=True, stdin=stdin, stdout=stdout, stderr=stderr
    ) as program:
        try:
            yield program
        finally:
            program.kill()


def test_pipes_go_through(api: ApiStub, home: Path, inside: Inside) -> None:
    """Input, its end, both outputs and the exit status; no terminal is asked for."""
    with started(home, "console", "--", "cat", "-v") as cli:
        out, err = cli.communicate(b"one\ntwo\n" + b"x" * 100_000, timeout=PATIENCE)
    assert (5, b"bye\n") == (cli.returncode, err)
    assert b"ready\none\ntwo\n" + b"x" * 100_000 == out
    assert ("0", ["cat", "-v"]) == (inside.query["tty"], json.loads(inside.query["cmd"]))
    assert f"DELETE {HERE}" == api.lines[-1]
    assert ["true"] == api.last(f"DELETE {HERE}").values("force")


def test_a_closed_standard_input_is_an_end(home: Path, inside: Inside, api: ApiStub) -> None:
    """A command that reads its input sees the end of it at once, instead of waiting for ever."""
    script = 'exec "$@" <&-'
    env = os.environ | {"ROOST_HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = ["sh", "-c", script, "sh", sys.executable, "-m", "roost.cli", "console", "--", "cat"]
    ended = subprocess.run(command, env=env, capture_output=True, timeout=PATIENCE, check=False)
    assert (5, b"ready\n") == (ended.returncode, ended.stdout)


def test_closed_standard_files_are_opened() -> None:
    """No socket may get the number of a standard file that the caller had closed."""
    program = (
        "import os, sys, roost.cli.main as m\n"
        "try:\n    m.main(['version'])\n"
        "except SystemExit:\n    sys.stdout.write(os.readlink('/proc/self/fd/0'))\n"
    )
    env = {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = ["sh", "-c", 'exec "$@" <&-', "sh", sys.executable, "-c", program]
    ended = subprocess.run(command, env=env, capture_output=True, timeout=PATIENCE, check=True)
    assert ended.stdout.endswith(b"/dev/null")


def read_until(descriptor: int, mark: bytes) -> bytes:
    """Read from a terminal until the mark has come."""
    seen = b""
    while mark not in seen:
        ready, _, _ = select.select([descriptor], [], [], PATIENCE)
        assert ready, f"{mark!r} did not come after {seen!r}"
        seen += os.read(descriptor, 4096)
    return seen


def test_a_terminal_is_raw_and_restored(api: ApiStub, home: Path, inside: Inside) -> None:
    """Keys go to the command as they are, Ctrl-C too; sizes follow; the terminal is as before."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (40, 132))
    before = termios.tcgetattr(slave)
    with started(home, "console", stdin=slave, stdout=slave, stderr=slave) as cli:
        read_until(master, b"ready\n")
        os.write(master, b"\x03a")
        read_until(master, b"\x03a")
        termios.tcsetwinsize(slave, (50, 100))
        os.kill(cli.pid, signal.SIGWINCH)
        assert inside.resized.wait(PATIENCE)
        os.write(master, b"\x04")
        assert 5 == cli.wait(PATIENCE)
    assert ("1", "40", "132") == tuple(inside.query[key] for key in ("tty", "rows", "cols"))
    assert {"rows": 50, "cols": 100} == inside.sizes[-1]
    assert "TERM" in json.loads(inside.query["env"])
    assert before == termios.tcgetattr(slave)
    os.close(master)
    os.close(slave)
    assert f"DELETE {HERE}" == api.lines[-1]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signals_destroy_the_machine(
    api: ApiStub, home: Path, inside: Inside, number: signal.Signals, code: int
) -> None:
    """A console that is interrupted leaves no Machine and ends with 128 + the signal."""
    with started(home, "console", "--", "cat") as cli:
        assert cli.stdout is not None
        assert b"ready\n" == cli.stdout.readline()
        cli.send_signal(number)
        _, err = cli.communicate(timeout=PATIENCE)
    assert (code, False) == (cli.returncode, b"Traceback" in err)
    assert f"DELETE {HERE}" == api.lines[-1]


def test_a_broken_connection_is_an_error(api: ApiStub, run: Run, inside: Inside) -> None:
    """Without an exit status the command's end is unknown: status 1, the reason, no Machine."""
    api.on_attach(f"{HERE}/attach", inside.break_off)
    ended = run("console", "--", "true")
    assert (1, True) == (ended.code, "the host is gone" in ended.err)
    assert f"DELETE {HERE}" == api.lines[-1]


def test_a_console_that_does_not_start(api: ApiStub, run: Run, inside: Inside) -> None:
    """A Machine that fails instead of starting is an error, and is destroyed."""
    api.on(f"GET {HERE}", a_machine("m1", "failed"))
    ended = run("console", "--", "true")
    assert (1, True) == (ended.code, "did not start: it is failed" in ended.err)
    assert f"DELETE {HERE}" == api.lines[-1]
