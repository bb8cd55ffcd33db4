"""The group that the commands of `roost machine` register with."""

from __future__ import annotations

import typer

from roost.cli.command import new_group

app = new_group("Run and manage single Machines.")

leases = new_group("Leases on Machines.")


def attach_groups(parent: typer.Typer) -> None:
    """Put the sub-groups below the group."""
    parent.add_typer(leases, name="leases")


attach_groups(app)
