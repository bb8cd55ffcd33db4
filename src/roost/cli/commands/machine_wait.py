"""`roost machine wait` and `roost machine leases view`."""

from __future__ import annotations

from typing import Annotated

import typer

from roost.cli import options, output
from roost.cli.client import app_path, connect
from roost.cli.command import command
from roost.cli.commands.machine_app import app as group
from roost.cli.commands.machine_app import leases
from roost.cli.progress import working
from roost.cli.project import app_name
from roost.cli.times import parse_time, patience
from roost.cli.waiting import wait_until
from roost.errors import NotFoundError


@command(group, "wait")
def wait(
    machine: options.MachineId,
    app: options.App = None,
    config: options.Config = None,
    state: Annotated[
        str, typer.Option("--state", metavar="STATE", help="State, or settled for any that lasts.")
    ] = "settled",
    wait_timeout: Annotated[
        str, typer.Option("--wait-timeout", "-w", metavar="TIME", help="At most so long.")
    ] = "5m",
) -> None:
    """Wait until a Machine is in a state."""
    name = app_name(app, config)
    with connect() as api, working(f"Waiting for {machine} to be {state}"):
        reached = wait_until(api, name, machine, [state], timeout=patience(wait_timeout))
    output.show(reached.raw, lambda: output.line(f"{machine} is {reached.state}"))


@command(leases, "view")
def view(
    machines: Annotated[list[str] | None, typer.Argument(metavar="ID")] = None,
    app: options.App = None,
    config: options.Config = None,
) -> None:
    """Show who holds leases on Machines.

    Of all of the app's Machines when none is named.
    """
    name = app_name(app, config)
    found: list[dict[str, object]] = []
    with connect() as api:
        for machine in machines or [str(m.get("id")) for m in api.machines(name)]:
            try:
                reply = api.get(app_path(name, "machines", machine, "lease"))
            except NotFoundError as error:
                if "lease" in error.message:
                    continue
                raise
            found.append({"machine_id": machine, **reply})
    output.show(found, lambda: _print(found))


def _print(found: list[dict[str, object]]) -> None:
    rows = []
    for lease in found:
        data = lease.get("data")
        facts = data if isinstance(data, dict) else {}
        expires = facts.get("expires_at")
        # The API counts in seconds since the epoch, as Fly's does.
        when = parse_time(expires * 1000) if isinstance(expires, int) else None
        rows.append(
            [
                str(lease.get("machine_id", "")),
                str(facts.get("nonce", "")),
                str(lease.get("status", "")),
                str(facts.get("owner", "")),
                when.isoformat(timespec="seconds") if when else "",
            ]
        )
    output.print_table(["Machine", "Nonce", "Status", "Owner", "Expires"], rows)
