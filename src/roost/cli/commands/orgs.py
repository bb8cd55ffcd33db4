"""`roost orgs list`."""

from __future__ import annotations

from roost.cli import output
from roost.cli.client import connect
from roost.cli.command import command, new_group

app = new_group("Organizations.")


@command(app, "list")
def list_orgs() -> None:
    """List organizations."""
    with connect() as api:
        found = list(api.get("/v1/orgs").get("orgs", []))
    rows = [
        [
            str(item.get("name", "")),
            str(item.get("slug", "")),
            str(item.get("type", "")),
        ]
        for item in found
    ]
    output.show(
        {str(item.get("slug", "")): str(item.get("name", "")) for item in found},
        lambda: output.print_table(["Name", "Slug", "Type"], rows),
    )
