"""`roost apps create|list|destroy`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from roost.cli import options, output
from roost.cli.client import Api, app_path, connect
from roost.cli.command import command, new_group
from roost.cli.names import generated_name
from roost.cli.progress import working
from roost.cli.project import org_slug
from roost.cli.session import current
from roost.cli.times import relative
from roost.errors import InvalidError, RoostError
from roost.model import ids

app = new_group("Create, list and destroy apps.")

MOST_ASKED = 50
"""Apps up to which `apps list` asks for each one's latest release: one more request each."""
DESTROY_TIMEOUT = 400.0
"""Seconds; the server waits for the longest kill_timeout."""


@command(app, "create")
def create(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="App name.")] = None,
    name_flag: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="App name.")
    ] = None,
    generate_name: Annotated[bool, typer.Option("--generate-name", help="Make up a name.")] = False,
    network: options.Network = "",
    org: options.Org = None,
) -> None:
    """Create an app without Machines. Its network is fixed for good."""
    chosen = name or name_flag or (generated_name() if generate_name else None)
    if chosen is None:
        raise InvalidError("the app needs a name", hint="pass NAME or --generate-name")
    body = {"name": ids.app_name(chosen), "org_slug": org_slug(org), "network": network}
    with connect() as api:
        made = api.post("/v1/apps", body)
    output.show(made, lambda: output.line(f"New app created: {chosen}"))


@command(app, "list")
def list_apps(org: options.Org = None, quiet: options.Quiet = False) -> None:
    """List apps."""
    with connect() as api:
        found = api.apps(org)
        deployed = {} if quiet or current().json else _latest_deploys(api, found)
    if quiet:
        for item in found:
            output.line(str(item.get("name", "")))
        return
    custom = any(_network(item) for item in found)
    headers = ["Name", "Owner", "Status", *(["Network"] if custom else []), "Latest Deploy"]
    rows = [
        [
            str(item.get("name", "")),
            str((item.get("organization") or {}).get("slug", "")),
            str(item.get("status", "")),
            *([_network(item) or "default"] if custom else []),
            relative(deployed.get(str(item.get("name", "")))),
        ]
        for item in sorted(found, key=lambda item: str(item.get("name", "")))
    ]
    output.show(found, lambda: output.print_table(headers, rows))


@command(app, "destroy")
def destroy(apps: options.AppArgument, yes: options.Yes = False) -> None:
    """Destroy apps with all they have.

    That is: Machines, addresses, secrets, releases and logs.
    """
    gone: list[str] = []
    with connect(timeout=DESTROY_TIMEOUT) as api:
        for name in apps:
            ids.app_name(name)
            api.app(name)
            if not output.confirm(f"Destroy app {name} and all that it has?", yes=yes):
                raise RoostError(f"app {name} was not destroyed")
            with working(f"Destroying app {name}"):
                api.call("DELETE", app_path(name))
            gone.append(name)
            output.note(f"Destroyed app {name}")
    output.show({"destroyed": gone}, lambda: None)


def _latest_deploys(api: Api, apps: list[dict[str, Any]]) -> dict[str, object]:
    """App → time of its latest release; nothing when there are too many apps to ask about."""
    if len(apps) > MOST_ASKED:
        return {}
    found: dict[str, object] = {}
    for item in apps:
        name = str(item.get("name", ""))
        if item.get("status") == "deployed" and (releases := api.releases(name, limit=1)):
            found[name] = releases[0].get("created_at")
    return found


def _network(item: dict[str, object]) -> str:
    """The app's custom network, "" for the default one."""
    name = str(item.get("network") or "")
    return "" if name == "default" else name
