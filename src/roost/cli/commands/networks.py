"""`roost networks list` (Roost's own)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from roost.cli import options, output
from roost.cli.client import connect
from roost.cli.command import command, new_group

app = new_group("Private networks.")

HEADERS = ("ID", "Organization", "Name", "Prefix", "Apps", "Grants In", "Grants Out")


@command(app, "list")
def list_networks(org: options.Org = None) -> None:
    """List private networks with the grants that lead in and out.

    In: apps of other organizations that have an address there. Out: apps of this network that have
    one on another organization's.
    """
    with connect() as api:
        reply = api.get("/v1/networks", {"org_slug": org} if org else None)
    found = list(reply.get("networks", []))
    output.show(found, lambda: print_networks(found))


def print_networks(found: Iterable[Mapping[str, Any]]) -> None:
    """The table of networks."""
    keys = ("id", "org", "name", "prefix", "apps", "grants_in", "grants_out")
    output.print_table(HEADERS, [[str(one.get(key, "")) for key in keys] for one in found])
