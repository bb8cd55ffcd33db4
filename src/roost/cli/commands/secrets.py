"""`roost secrets set|list|unset|import`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

import typer

from roost.cli import options, output
from roost.cli.client import Api, app_path, connect
from roost.cli.command import command, new_group
from roost.cli.deploying import redeploy
from roost.cli.pairs import import_lines, pairs
from roost.cli.project import app_name
from roost.cli.times import parse_time
from roost.errors import InvalidError

app = new_group("Encrypted values that Machines get as environment.")

Stage = Annotated[bool, typer.Option("--stage", help="Store only; the next deploy uses it.")]


@command(app, "set")
def set_(
    texts: Annotated[list[str], typer.Argument(metavar="NAME=VALUE", help="NAME=- reads it.")],
    app: options.App = None,
    config: options.Config = None,
    stage: Stage = False,
    detach: options.Detach = False,
) -> None:
    """Set secrets and restart the app's Machines with them.

    `NAME=-` reads the value from standard input, which keeps it out of the shell's history.
    """
    values = {name: _read(value) for name, value in pairs(texts, "secret").items()}
    _update(app_name(app, config), values, stage=stage, detach=detach)


@command(app, "unset")
def unset(
    names: Annotated[list[str], typer.Argument(metavar="NAME")],
    app: options.App = None,
    config: options.Config = None,
    stage: Stage = False,
    detach: options.Detach = False,
) -> None:
    """Remove secrets and restart the app's Machines without them."""
    _update(app_name(app, config), dict.fromkeys(names), stage=stage, detach=detach)


@command(app, "import")
def import_(
    app: options.App = None,
    config: options.Config = None,
    stage: Stage = False,
    detach: options.Detach = False,
) -> None:
    """Set secrets from lines NAME=VALUE on standard input."""
    values = import_lines(sys.stdin.read())
    if not values:
        raise InvalidError("standard input has no line NAME=VALUE")
    _update(app_name(app, config), values, stage=stage, detach=detach)


@command(app, "list")
def list_(app: options.App = None, config: options.Config = None) -> None:
    """List secrets: names and digests, never values."""
    with connect() as api:
        name = app_name(app, config)
        found = list(api.get(app_path(name, "secrets")).get("secrets", []))
        releases = [r for r in api.releases(name) if r.get("status") == "complete"]
    latest = parse_time(releases[0].get("created_at")) if releases else None
    for item in found:
        item["status"] = _status(parse_time(item.get("updated_at")), latest)
    rows = [
        [
            str(item.get("name", "")),
            str(item.get("digest", "")),
            str(item["status"]),
        ]
        for item in found
    ]
    output.show(found, lambda: output.print_table(["Name", "Digest", "Status"], rows))


def _status(changed: datetime | None, released: datetime | None) -> str:
    """Deployed once a release was made after the change, else Staged."""
    if changed is None:
        return "Unknown"
    return "Deployed" if released is not None and released >= changed else "Staged"


def _update(app: str, values: Mapping[str, str | None], *, stage: bool, detach: bool) -> None:
    with connect() as api:
        reply = api.post(app_path(app, "secrets"), {"values": dict(values)})
        restarted = not stage and _restart(api, app, detach=detach)
    if not restarted:
        output.note(f"Secrets of {app} are staged: the next deploy uses them")
    output.show({"version": reply.get("version"), "deployed": restarted}, lambda: None)


def _restart(api: Api, app: str, *, detach: bool) -> bool:
    """Deploy the latest release again; False when the app was never deployed."""
    released = [item for item in api.releases(app) if item.get("status") == "complete"]
    if not released:
        return False
    redeploy(api, app, released[0], detach=detach)
    return True


def _read(value: str) -> str:
    return sys.stdin.read().removesuffix("\n") if value == "-" else value
