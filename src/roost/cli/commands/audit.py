"""`roost audit`."""

from __future__ import annotations

import os
from typing import Annotated
from urllib.parse import quote

import typer

from roost.cli import options, output
from roost.cli.client import connect
from roost.cli.command import command, new_app
from roost.cli.times import relative

app = new_app("Who changed what.")
PAGE = 1000

Limit = Annotated[int, typer.Option("--limit", min=1, max=100_000, help="How many entries.")]


@command(app, "audit")
def audit(org: options.Org = None, app: options.App = None, limit: Limit = 50) -> None:
    """Show who changed what, newest first.

    Without --org (or FLY_ORG) it is all of this Roost, which operators may see. Looking is not
    written down, and neither is what was refused: that is in the daemon's log.
    """
    slug = org or os.environ.get("FLY_ORG") or os.environ.get("FLY_ORGANIZATION")
    path = f"/v1/orgs/{quote(slug, safe='')}/audit" if slug else "/v1/audit"
    found: list[dict[str, object]] = []
    before = ""
    with connect() as api:
        while len(found) < limit:
            asked: dict[str, str | int] = {
                "limit": min(PAGE, limit - len(found)),
                "before": before,
                "app": app or "",
            }
            page = api.get(path, asked)
            found += page.get("entries", [])
            before = str(page.get("next") or "")
            if not before:
                break
    rows = [
        [
            relative(entry.get("at")),
            str(entry.get("actor", "")),
            str(entry.get("action", "")),
            ", ".join(map(str, _list(entry.get("changes")))),
            str(entry.get("source", "")),
        ]
        for entry in found
    ]
    headers = ["When", "Who", "What", "Changed", "Source"]
    output.show(found, lambda: output.print_table(headers, rows))


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
