"""`roost orgs create|list|show|delete`."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from roost.cli import options, output
from roost.cli.client import connect
from roost.cli.command import command, new_group
from roost.cli.commands import orgs_replays
from roost.cli.commands.networks import print_networks
from roost.cli.project import org_slug
from roost.errors import RoostError

app = new_group("Organizations.")
app.add_typer(orgs_replays.crossing, name="cross-network-replays")
app.add_typer(orgs_replays.sources, name="replay-sources")

Slug = Annotated[str | None, typer.Argument(metavar="SLUG", help="Organization.")]


@command(app, "list")
def list_orgs() -> None:
    """List organizations."""
    with connect() as api:
        found = list(api.get("/v1/orgs").get("orgs", []))
    output.show(
        {str(item.get("slug", "")): str(item.get("name", "")) for item in found},
        lambda: output.print_table(["Name", "Slug", "Type"], [_row(item) for item in found]),
    )


@command(app, "create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name; the slug is made of it.")],
    slug: Annotated[str | None, typer.Option("--slug", metavar="SLUG", help="Its slug.")] = None,
) -> None:
    """Make an organization. Takes an operator's token."""
    with connect() as api:
        made = dict(api.post("/v1/orgs", {"name": name, "slug": slug}))
    output.show(made, lambda: output.line(f"New organization created: {made.get('slug')}"))


@command(app, "show")
def show(slug: Slug = None) -> None:
    """Show an organization and its networks."""
    with connect() as api:
        found = dict(api.get(_path(org_slug(slug))))
    output.show(found, lambda: _print(found))


@command(app, "delete")
def delete(
    slug: Annotated[str, typer.Argument(metavar="SLUG", help="Organization.")],
    yes: options.Yes = False,
) -> None:
    """Delete an organization that owns no apps.

    Its tokens go with it, and so do addresses of others' apps on its networks.
    """
    with connect() as api:
        api.get(_path(slug))
        if not output.confirm(f"Delete organization {slug}?", yes=yes):
            raise RoostError(f"organization {slug} was not deleted")
        api.call("DELETE", _path(slug))
    output.note(f"Deleted organization {slug}")
    output.show({"deleted": slug}, lambda: None)


def _path(slug: str) -> str:
    return f"/v1/orgs/{quote(slug, safe='')}"


def _row(item: dict[str, Any]) -> list[str]:
    return [str(item.get(key, "")) for key in ("name", "slug", "type")]


def _print(found: dict[str, Any]) -> None:
    pairs = [(key.title(), str(found.get(key, ""))) for key in ("name", "slug", "type")]
    output.print_block("Organization", pairs)
    output.line("Networks")
    print_networks(found.get("networks", []))
