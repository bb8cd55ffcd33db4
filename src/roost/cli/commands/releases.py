"""`roost releases`."""

from __future__ import annotations

from typing import Annotated

import typer

from roost.cli import options, output
from roost.cli.client import connect
from roost.cli.command import command, new_app
from roost.cli.project import app_name
from roost.cli.times import relative

app = new_app("List releases.")

SHOWN = 25


@command(app, "releases")
def releases(
    app: options.App = None,
    config: options.Config = None,
    image: Annotated[bool, typer.Option("--image", help="Show the image, too.")] = False,
) -> None:
    """List the app's latest releases, newest first."""
    with connect() as api:
        found = api.releases(app_name(app, config))[:SHOWN]
    headers = ["Version", "Status", "Description", "User", "Date"]
    rows = [
        [
            f"v{item.get('version', '')}",
            str(item.get("status", "")),
            str(item.get("description") or "Release"),
            str(item.get("user") or ""),
            relative(item.get("created_at")),
            str(item.get("image_ref") or item.get("image") or ""),
        ]
        for item in found
    ]
    if image:
        headers.append("Docker Image")
    output.show(found, lambda: output.print_table(headers, [row[: len(headers)] for row in rows]))
