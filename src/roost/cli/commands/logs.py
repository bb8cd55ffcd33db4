"""`roost logs`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from roost.cli import options, output
from roost.cli.client import Query, app_path, connect
from roost.cli.command import command, new_app
from roost.cli.project import app_name
from roost.cli.session import current

app = new_app("Logs.")


@command(app, "logs")
def logs(
    *,
    app: options.App = None,
    config: options.Config = None,
    no_tail: Annotated[
        bool, typer.Option("--no-tail", "-n", help="Show what there is and end.")
    ] = False,
    machine: Annotated[
        str | None, typer.Option("--machine", "-m", metavar="ID", help="Only this Machine's.")
    ] = None,
    region: options.Region = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=10_000, help="Lines of the past to show.")
    ] = 100,
) -> None:
    """Show the app's log and follow it until Ctrl-C."""
    name = app_name(app, config)
    query: Query = {"limit": limit, "follow": not no_tail, "machine": machine or ""}
    with connect() as api, api.stream("GET", app_path(name, "logs"), params=query) as lines:
        for item in lines:
            if region is None or item.get("region") == region:
                _print(item)


def _print(item: Mapping[str, Any]) -> None:
    if current().json:
        output.print_json_line(item)
    else:
        output.line(log_text(item))
        sys.stdout.flush()


def log_text(item: Mapping[str, Any]) -> str:
    """One log line: `<RFC 3339> app[<id>] <region> [info]text`; `runner`, `proxy` for ours.

    Lines of a Machine's own output have the source `app`, as at Fly.
    """
    source = str(item.get("source") or "app")
    where = f"{source}[{item['instance']}]" if item.get("instance") else source
    parts = [str(item.get("timestamp", "")), where]
    if item.get("region"):
        parts.append(str(item["region"]))
    code = f"[{item['code']}] " if item.get("code") else ""
    message = str(item.get("message", "")).rstrip("\n")
    parts.append(f"[{item.get('level') or 'info'}]{code}{message}")
    return " ".join(parts)
