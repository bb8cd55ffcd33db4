"""`roost machine exec`: run a command in a Machine, print what it wrote, end as it ended."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from roost.cli import options, output
from roost.cli.client import Api, app_path, connect
from roost.cli.command import command
from roost.cli.commands.machine_app import app as group
from roost.cli.project import app_name
from roost.cli.session import current
from roost.cli.times import patience

DEFAULT_SECONDS = 60


@command(group, "exec", context_settings={"allow_interspersed_args": True})
def exec_(
    machine: options.MachineId,
    words: Annotated[list[str], typer.Argument(metavar="COMMAND", help="What to run.")],
    app: options.App = None,
    config: options.Config = None,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="TIME", help="End it after this time.")
    ] = None,
) -> None:
    """Run a command in a running Machine.

    roost ends with its exit status. One word is split as a shell would; put `--` before a command
    that has flags.
    """
    limit = patience(timeout) if timeout else DEFAULT_SECONDS
    with connect(timeout=limit + 30) as api:
        result = run_in_machine(api, app_name(app, config), machine, words, timeout=limit)
    if current().json:
        output.print_json(result)
    else:
        sys.stdout.write(str(result.get("stdout") or ""))
        sys.stderr.write(str(result.get("stderr") or ""))
    raise typer.Exit(int(str(result.get("exit_code") or 0)) & 0xFF)


def run_in_machine(
    api: Api, app: str, machine: str, words: list[str], *, timeout: float
) -> dict[str, object]:
    """Run it and return `exit_code`, `stdout` and `stderr`; blocks up to `timeout` seconds."""
    body: dict[str, object] = {"timeout": max(1, round(timeout))}
    if len(words) == 1:
        body["cmd"] = words[0]
    else:
        body["command"] = words
    return dict(api.post(app_path(app, "machines", machine, "exec"), body))
