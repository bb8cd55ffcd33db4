"""`roost ips grants list|accept|reject|withdraw|end`: sharing between organizations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer

from roost.cli import options, output, views
from roost.cli.client import app_path, connect
from roost.cli.command import command, new_group
from roost.cli.project import app_name, org_slug
from roost.cli.times import relative

app = new_group("Addresses on other organizations' networks: asked for, accepted, rejected.")

GrantIds = Annotated[list[str], typer.Argument(metavar="ID", help="Ids of grants.")]
HEADERS = ("ID", "State", "App", "From", "Audience", "Ports", "IP", "Expires At", "Created At")


@command(app, "list")
def list_grants(org: options.Org = None, app: options.App = None) -> None:
    """List what others asked of an organization, and what it asked of them.

    With -a only what was asked for one app.
    """
    with connect() as api:
        if app:
            found = list(api.get(app_path(app, "grants")).get("grants", []))
        else:
            reply = api.get(f"/v1/orgs/{quote(org_slug(org), safe='')}/grants")
            found = [*reply.get("incoming", []), *reply.get("outgoing", [])]
    output.show(found, lambda: _print(found))


@command(app, "accept")
def accept(grants: GrantIds, org: options.Org = None) -> None:
    """Let apps of other organizations in.

    Each gets an address on the network that it asked for.
    """
    _decide(grants, org, "accept")


@command(app, "reject")
def reject(grants: GrantIds, org: options.Org = None) -> None:
    """Refuse requests of other organizations."""
    _decide(grants, org, "reject")


@command(app, "end")
def end(grants: GrantIds, org: options.Org = None) -> None:
    """End what was accepted: the addresses are released."""
    _decide(grants, org, "")


@command(app, "withdraw")
def withdraw(grants: GrantIds, app: options.App = None, config: options.Config = None) -> None:
    """Take back what was asked for the app."""
    name = app_name(app, config)
    with connect() as api:
        done = [dict(api.call("DELETE", app_path(name, "grants", one))) for one in grants]
    _say(done)


def _decide(grants: Iterable[str], org: str | None, verb: str) -> None:
    base = f"/v1/orgs/{quote(org_slug(org), safe='')}/grants"
    done = []
    with connect() as api:
        for one in grants:
            path = f"{base}/{quote(one, safe='')}"
            reply = api.post(f"{path}/{verb}") if verb else api.call("DELETE", path)
            done.append(dict(reply))
    _say(done)


def _say(done: list[dict[str, Any]]) -> None:
    output.show(done, lambda: output.print_lines(map(_sentence, done)))


def _sentence(grant: Mapping[str, Any]) -> str:
    where = f"{grant.get('org')}/{grant.get('network')}"
    if grant.get("state") == "accepted":
        return f"App {grant.get('app')} is reached from {where} at {grant.get('ip')}"
    return f"Grant {grant.get('id')} of app {grant.get('app')} on {where} is {grant.get('state')}"


def _print(found: list[Mapping[str, Any]]) -> None:
    rows = [
        [
            str(one.get("id", "")),
            str(one.get("state", "")),
            str(one.get("app", "")),
            str(one.get("app_org", "")),
            f"{one.get('org', '')}/{one.get('network', '')}",
            views.ports(one),
            str(one.get("ip", "")),
            views.until(one.get("expires_at")),
            relative(one.get("created_at")),
        ]
        for one in found
    ]
    output.print_table(*output.without_empty(HEADERS, rows, "Expires At"))
