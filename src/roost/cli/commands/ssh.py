"""`roost ssh console`: a shell, or a command, in a running Machine of an app."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from roost.cli import attach, options, views
from roost.cli.client import Api, connect
from roost.cli.command import command, new_group
from roost.cli.ephemeral import SHELL
from roost.cli.project import app_name
from roost.errors import PreconditionError

app = new_group("Shells in running Machines.")


@command(app, "console", json=False)
def console(
    app: options.App = None,
    config: options.Config = None,
    command_line: Annotated[
        str | None, typer.Option("--command", "-C", metavar="COMMAND", help="Instead of a shell.")
    ] = None,
    machine: Annotated[
        str | None, typer.Option("--machine", metavar="ID", help="Which Machine (else any).")
    ] = None,
    pty: Annotated[bool, typer.Option("--pty", help="Give the command a terminal.")] = False,
) -> None:
    """Open a shell, or run a command, in a running Machine of an app."""
    name = app_name(app, config)
    words = shlex.split(command_line) if command_line else SHELL
    with connect() as api:
        target = machine or _running(api, name)
        status = attach.run(api, name, target, words, tty=True if pty else None)
    raise typer.Exit(status)


def _running(api: Api, app: str) -> str:
    for raw in api.machines(app):
        found = views.machine(raw)
        if found.state == "started":
            return found.id
    raise PreconditionError(f"app {app} has no running Machine", hint=f"see: roost status -a {app}")
