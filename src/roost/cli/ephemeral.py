"""A Machine that lives as long as one command of the CLI.

It is destroyed on every way out: the end of the command, an error, Ctrl-C, SIGTERM, SIGHUP.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType

from roost.cli import attach
from roost.cli.client import Api, app_path
from roost.cli.views import why_failed
from roost.cli.waiting import wait_until
from roost.errors import NotFoundError, UnavailableError

START_SECONDS = 60.0
SHELL = ["/bin/sh", "-c", 'exec "$(command -v bash || command -v sh)"']
"""bash where the image has it, else sh."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class Console:
    """A running console Machine."""

    app: str
    machine: str


@contextlib.contextmanager
def console(api: Api, *, org: str, network: str) -> Iterator[Console]:
    """A console Machine on a network, running; gone after the block.

    Raises what the API raises, UnavailableError when it does not start.
    """
    with _held_signals():
        made = api.post("/v1/consoles", {"org": org, "network": network})
        here = Console(str(made["app"]), str(made["machine"]["id"]))
    with destroyed_afterwards(api, here.app, here.machine):
        wait_started(api, here.app, here.machine)
        yield here


def attached(api: Api, app: str, machine: str, words: list[str]) -> int:
    """Wait until a Machine runs, attach a command (or a shell), destroy it; the exit status."""
    with destroyed_afterwards(api, app, machine):
        wait_started(api, app, machine)
        return attach.run(api, app, machine, words or SHELL)


def wait_started(api: Api, app: str, machine: str) -> None:
    """Block until the Machine runs. Raises UnavailableError when it failed instead."""
    states = ["started", "failed", "stopped", "destroyed"]
    reached = wait_until(api, app, machine, states, timeout=START_SECONDS)
    if reached.state != "started":
        reason = why_failed(reached) or f"it is {reached.state}"
        raise UnavailableError(
            f"machine {machine} did not start: {reason}",
            hint=f"see: roost logs -a {app} --no-tail",
        )


@contextlib.contextmanager
def destroyed_afterwards(api: Api, app: str, machine: str) -> Iterator[None]:
    """Destroy the Machine at the end of the block, whatever ends it."""
    with _ending_signals():
        try:
            yield
        finally:
            with _held_signals(), contextlib.suppress(NotFoundError):
                api.call("DELETE", app_path(app, "machines", machine), params={"force": True})


@contextlib.contextmanager
def _ending_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP leave the block like an exception, so that clean-up runs."""

    def leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        sys.exit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _held_signals() -> Iterator[None]:
    """Keep signals back while the block runs, so that no Machine is made without being known."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
