"""`roost up|down|doctor`: handed over, with all their arguments, to `roost.daemon`."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from roost.cli.command import new_app

app = new_app("The daemon.")

_PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
Rest = Annotated[list[str] | None, typer.Argument(metavar="ARGS", help="Passed on; see --help.")]


@app.command("up", context_settings=_PASS_ON)
def up(rest: Rest = None) -> None:
    """Start Roost on this host (--detach: in the background)."""
    _become("up", rest)


@app.command("down", context_settings=_PASS_ON)
def down(rest: Rest = None) -> None:
    """Stop Roost on this host."""
    _become("down", rest)


@app.command("doctor", context_settings=_PASS_ON)
def doctor(rest: Rest = None) -> None:
    """Check what this host has, and how to get what it lacks."""
    _become("doctor", rest)


def _become(name: str, rest: list[str] | None) -> None:
    """Replace this process, so that signals and the exit status are the daemon's own."""
    sys.stdout.flush()
    words = [sys.executable, "-m", "roost.daemon", name, *(rest or [])]
    os.execv(sys.executable, words)  # noqa: S606 - our own program, no shell wanted
