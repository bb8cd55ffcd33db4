"""Attaching this terminal to a command in a Machine, over the API's WebSocket.

Frames are binary; the first byte is the channel: 0 standard input (empty: end of input), 1 standard
output, 2 standard error, 3 window size (JSON), 4 exit (JSON, from the server, last). On a terminal
the local one is put into raw mode, so that keys, Ctrl-C among them, go to the command. One thread
pumps the input; the main thread writes the output. Counterpart: `roost.api`'s attach route.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import ssl
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from roost.cli.client import Api, app_path, no_daemon
from roost.errors import PreconditionError, UnavailableError

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

STDIN, STDOUT, STDERR, RESIZE, EXIT = range(5)
_CHUNK = 32 * 1024


@dataclass(frozen=True, slots=True)
class Files:
    """File descriptors of the local side."""

    stdin: int
    stdout: int
    stderr: int

    @property
    def terminal(self) -> bool:
        """Whether a terminal is on both sides, so that the command gets one, too."""
        return os.isatty(self.stdin) and os.isatty(self.stdout)


def run(
    api: Api,
    app: str,
    machine: str,
    words: list[str],
    *,
    files: Files | None = None,
    tty: bool | None = None,
) -> int:
    """Run a command in the Machine with this process's stdio; blocks until it ends.

    Returns its exit status. Raises UnavailableError when the connection breaks first,
    PreconditionError when the API refuses.
    """
    local = files or Files(0, 1, 2)
    terminal = local.terminal if tty is None else tty
    query = _query(words, terminal=terminal, files=local)
    url = f"{app_path(app, 'machines', machine, 'attach')}?{query}"
    sys.stdout.flush()
    with _connected(api, url) as socket:
        return _pump(socket, local, raw=terminal and os.isatty(local.stdin))


def _query(words: list[str], *, terminal: bool, files: Files) -> str:
    env: Mapping[str, str] = {}
    facts: dict[str, str] = {"cmd": json.dumps(words), "tty": "1" if terminal else "0"}
    if terminal:
        size = _size(files.stdout)
        facts |= {"rows": str(size[0]), "cols": str(size[1])}
        env = {"TERM": os.environ.get("TERM", "xterm-256color")}
    return urlencode(facts | {"env": json.dumps(env)})


@contextlib.contextmanager
def _connected(api: Api, path: str) -> Iterator[ClientConnection]:
    """The open WebSocket; its errors become sentences."""
    from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
    from websockets.sync.client import connect, unix_connect

    # No pings: a reader that is slow on purpose (`| less`) must not end the connection.
    headers = {"Authorization": f"Bearer {api.token.text}"}
    try:
        if api.socket is not None:
            uri = f"ws://roost{path}"
            opened = unix_connect(
                str(api.socket),
                uri,
                additional_headers=headers,
                max_size=None,
                compression=None,
                ping_interval=None,
            )
        else:
            uri = api.base.replace("http", "ws", 1) + path
            opened = connect(
                uri,
                additional_headers=headers,
                max_size=None,
                compression=None,
                ping_interval=None,
                proxy=None,
                ssl=api.tls,
            )
        with opened as socket:
            yield socket
    except InvalidStatus as error:
        raise PreconditionError(_reason(error.response.body, error.response.status_code)) from error
    except ConnectionClosed as error:
        reason = error.rcvd.reason if error.rcvd else ""
        raise UnavailableError(
            reason or "the connection to the Machine ended before the command did"
        ) from error
    except (WebSocketException, TimeoutError) as error:
        raise UnavailableError(f"the Machine cannot be attached to: {error}") from error
    except ssl.SSLError as error:
        raise UnavailableError(f"the certificate of {api.base} is not trusted: {error}") from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        if api.socket is not None:
            raise no_daemon(api.socket.parent.parent) from error
        raise UnavailableError(f"nothing answers at {api.base}") from error


def _reason(body: bytes | bytearray | None, status: int) -> str:
    try:
        facts = json.loads(bytes(body or b""))
        return str(facts.get("message") or facts["error"])
    except (ValueError, KeyError, AttributeError):
        return f"the API refused to attach (HTTP {status})"


def _pump(socket: ClientConnection, files: Files, *, raw: bool) -> int:
    wake_read, wake_write = os.pipe()
    stop = threading.Event()
    pump = threading.Thread(
        target=_send_input, args=(socket, files, wake_read, stop), name="stdin", daemon=True
    )
    with _raw_mode(files.stdin if raw else None), _resizes(wake_write if raw else None):
        pump.start()
        try:
            return _receive(socket, files)
        finally:
            stop.set()
            os.write(wake_write, b"x")
            pump.join(timeout=2.0)
            os.close(wake_write)
            os.close(wake_read)


def _receive(socket: ClientConnection, files: Files) -> int:
    """Write what comes until the exit status does."""
    for frame in socket:
        if isinstance(frame, str) or not frame:
            continue
        channel, data = frame[0], frame[1:]
        if channel == EXIT:
            return _status(data)
        if channel in {STDOUT, STDERR}:
            _write_all(files.stdout if channel == STDOUT else files.stderr, data)
    raise UnavailableError("the connection to the Machine ended before the command did")


def _status(data: bytes) -> int:
    facts = json.loads(data)
    if facts.get("error"):
        raise UnavailableError(str(facts["error"]))
    code = int(facts["exit_code"])
    return 128 - code if code < 0 else code & 0xFF


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _send_input(socket: ClientConnection, files: Files, wake: int, stop: threading.Event) -> None:
    """Send input and window sizes until told to stop. Runs in its own thread."""
    from websockets.exceptions import ConnectionClosed

    poll = select.poll()
    poll.register(files.stdin, select.POLLIN)
    poll.register(wake, select.POLLIN)
    try:
        while not stop.is_set():
            ready = {descriptor for descriptor, _ in poll.poll()}
            if wake in ready:
                os.read(wake, 64)
                if not stop.is_set():
                    rows, cols = _size(files.stdout)
                    size = json.dumps({"rows": rows, "cols": cols}).encode()
                    socket.send(bytes([RESIZE]) + size)
            elif files.stdin in ready:
                data = _read(files.stdin)
                socket.send(bytes([STDIN]) + data)
                if not data:
                    poll.unregister(files.stdin)
    except (ConnectionClosed, OSError):
        return


def _read(descriptor: int) -> bytes:
    """What there is to read; b"" at the end, and for a descriptor that is not open."""
    try:
        return os.read(descriptor, _CHUNK)
    except OSError:
        return b""


@contextlib.contextmanager
def _raw_mode(descriptor: int | None) -> Iterator[None]:
    """Put a terminal into raw mode for the block; nothing for None."""
    if descriptor is None:
        yield
        return
    import termios
    import tty

    before = termios.tcgetattr(descriptor)
    # Not TCSAFLUSH: what was typed ahead is for the command.
    tty.setraw(descriptor, termios.TCSADRAIN)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _resizes(wake: int | None) -> Iterator[None]:
    """Write a byte to `wake` whenever the window changes size; nothing for None."""
    if wake is None:
        yield
        return
    before = signal.signal(signal.SIGWINCH, lambda *_: os.write(wake, b"w"))
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


def _size(descriptor: int) -> tuple[int, int]:
    """Rows and columns of a terminal."""
    try:
        size = os.get_terminal_size(descriptor)
    except OSError:
        return 24, 80
    return size.lines, size.columns
