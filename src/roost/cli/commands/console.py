"""`roost console`: a shell, or a command, inside a private network."""

from __future__ import annotations

from typing import Annotated

import typer

from roost.cli import attach, options
from roost.cli.client import connect
from roost.cli.command import command, new_app
from roost.cli.ephemeral import SHELL, console
from roost.cli.project import org_slug

app = new_app("Consoles.")


@command(app, "console", json=False)
def console_(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="COMMAND", help="Instead of a shell.")
    ] = None,
    network: options.Network = "",
    org: options.Org = None,
) -> None:
    """Open a shell, or run a command, inside a private network.

    It runs in a Machine on the host's own image (roost/host) that is gone afterwards. Standard
    input, output and error are attached, and roost ends with the command's exit status.
    """
    with connect() as api, console(api, org=org_slug(org), network=network) as here:
        status = attach.run(api, here.app, here.machine, words or SHELL)
    raise typer.Exit(status)
