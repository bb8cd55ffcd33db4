"""`roost checks list`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

from roost.cli import options, output
from roost.cli.client import connect
from roost.cli.command import command, new_group
from roost.cli.project import app_name
from roost.cli.times import relative

app = new_group("Health checks of Machines.")

HEADERS = ("Name", "Status", "Machine", "Last Updated", "Output")
Checks = Iterable[Mapping[str, Any]]


@command(app, "list")
def list_checks(
    app: options.App = None,
    config: options.Config = None,
    check_name: Annotated[
        str | None, typer.Option("--check-name", metavar="NAME", help="Only checks of this name.")
    ] = None,
) -> None:
    """List the health checks of the app's Machines and what they say."""
    with connect() as api:
        machines = api.machines(app_name(app, config))
    found = {str(machine.get("id")): _checks(machine, check_name) for machine in machines}
    output.show(
        {machine: checks for machine, checks in found.items() if checks},
        lambda: output.print_table(HEADERS, _rows(found)),
    )


def _checks(machine: Mapping[str, Any], name: str | None) -> list[Mapping[str, Any]]:
    checks: Checks = machine.get("checks") or ()
    return [check for check in checks if name is None or check.get("name") == name]


def _rows(found: Mapping[str, Checks]) -> list[list[str]]:
    return [
        [
            str(check.get("name", "")),
            str(check.get("status", "")),
            machine,
            relative(check.get("updated_at")),
            str(check.get("output", "")),
        ]
        for machine, checks in sorted(found.items())
        for check in checks
    ]
