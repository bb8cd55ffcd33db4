"""`roost ca show|rotate|remove`."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from roost.cli import options, output
from roost.cli.client import connect
from roost.cli.command import command, new_group
from roost.cli.project import org_slug
from roost.cli.times import relative
from roost.errors import RoostError

app = new_group("The private CA of an organization, which its Machines trust.")

Slug = Annotated[str | None, typer.Argument(metavar="ORG", help="Organization.")]


@command(app, "show")
def show(slug: Slug = None, org: options.Org = None) -> None:
    """Print the roots as PEM, for the trust store of a laptop.

    Only they go to standard output: `roost ca show > roost-ca.pem`.
    """
    with connect() as api:
        found = dict(api.get(_path(slug or org)))
    output.show(found, lambda: _print(found))


@command(app, "rotate")
def rotate(org: options.Org = None) -> None:
    """Make a new root that signs from now on; the older ones stay trusted.

    Machines get it at their next start, and believe what it signs also before.
    """
    with connect() as api:
        found = dict(api.post(_path(org, "rotate")))
    output.note(
        "Put the new root into the trust stores of laptops (`roost ca show`); once all Machines "
        "were restarted, remove the older one (`roost ca remove`)"
    )
    output.show(found, lambda: _list(found))


@command(app, "remove")
def remove(
    fingerprint: Annotated[
        str, typer.Argument(metavar="FINGERPRINT", help="Its first 8 digits or more.")
    ],
    org: options.Org = None,
    yes: options.Yes = False,
) -> None:
    """Trust a root no longer, nor what it issued.

    The one that signs cannot be removed: rotate first. Machines that were started before the last
    rotation believe nobody then until they are restarted.
    """
    with connect() as api:
        if not output.confirm(f"Remove root {fingerprint}?", yes=yes):
            raise RoostError(f"root {fingerprint} was not removed")
        found = dict(api.call("DELETE", _path(org, quote(fingerprint, safe=""))))
    output.note(f"Removed root {fingerprint}")
    output.show(found, lambda: _list(found))


def _path(org: str | None, *rest: str) -> str:
    return "/".join(("/v1/orgs", quote(org_slug(org), safe=""), "ca", *rest))


def _print(found: dict[str, Any]) -> None:
    for root in found.get("roots", []):
        signs = ", signs" if root.get("signs") else ""
        output.note(f"{root.get('fingerprint')}: until {relative(root.get('expires_at'))}{signs}")
        output.line(str(root.get("certificate", "")).rstrip())


def _list(found: dict[str, Any]) -> None:
    rows = [
        [
            str(root.get("fingerprint", "")),
            "yes" if root.get("signs") else "",
            relative(root.get("created_at")),
            relative(root.get("expires_at")),
        ]
        for root in found.get("roots", [])
    ]
    output.print_table(["Fingerprint", "Signs", "Created at", "Expires at"], rows)
