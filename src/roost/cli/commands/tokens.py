"""`roost tokens create|list|revoke`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import quote

import typer

from roost.cli import options, output
from roost.cli.client import Api, connect
from roost.cli.command import command, new_group
from roost.cli.project import app_name, org_slug
from roost.cli.times import relative

app = new_group("Create, list and revoke API tokens.")
create = new_group("Make a token; its text is printed once and cannot be shown again.")
app.add_typer(create, name="create")

HEADERS = ["ID", "Name", "Kind", "Scope", "Created By", "Expires At", "Revoked At"]

Name = Annotated[str, typer.Option("--name", "-n", metavar="NAME", help="What it is for.")]
Expiry = Annotated[
    str,
    typer.Option("--expiry", "-x", metavar="TIME", help="How long it is valid, such as 7d or 24h."),
]
Operator = Annotated[
    bool, typer.Option("--operator", help="The operators' tokens, of no organization.")
]
Machine = Annotated[str, typer.Option("--machine", metavar="ID", help="Machine id.")]
Scope = Annotated[
    Literal["app", "org"], typer.Option("--scope", "-s", help="Those of one app, or all.")
]
LIFE = "175200h"


@command(create, "org")
def create_org(org: options.Org = None, name: Name = "", expiry: Expiry = LIFE) -> None:
    """Make a token that administers an organization."""
    _create(_org_path(org), {"kind": "org", "name": name, "expiry": expiry})


@command(create, "readonly")
def create_readonly(org: options.Org = None, name: Name = "", expiry: Expiry = LIFE) -> None:
    """Make a token that may look at everything of an organization and change nothing."""
    _create(_org_path(org), {"kind": "readonly", "name": name, "expiry": expiry})


@command(create, "deploy")
def create_deploy(
    app: options.App = None,
    config: options.Config = None,
    name: Name = "",
    expiry: Expiry = LIFE,
) -> None:
    """Make a token for one app: deploy it, change its Machines, secrets and addresses."""
    chosen = app_name(app, config)
    _create_for_app({"kind": "deploy", "app": chosen, "name": name, "expiry": expiry})


@command(create, "machine")
def create_machine(
    machine: Machine,
    app: options.App = None,
    config: options.Config = None,
    name: Name = "",
    expiry: Expiry = LIFE,
) -> None:
    """Make a token for one Machine: look at it, start and stop it, run commands in it."""
    chosen = app_name(app, config)
    body = {"kind": "machine", "app": chosen, "machine": machine, "name": name, "expiry": expiry}
    _create_for_app(body)


@command(create, "operator")
def create_operator(name: Name = "", expiry: Expiry = LIFE) -> None:
    """Make a token that may do everything on this Roost."""
    _create("/v1/tokens", {"name": name, "expiry": expiry})


@command(app, "list")
def list_tokens(
    *,
    org: options.Org = None,
    app: options.App = None,
    config: options.Config = None,
    scope: Scope = "org",
    operator: Operator = False,
) -> None:
    """List tokens of an organization, or with -a (or --scope app) those of one app.

    Those that ended are listed too; no text is, since only its hash is kept.
    """
    chosen = app_name(app, config) if (app or scope == "app") and not operator else None
    with connect() as api:
        path = "/v1/tokens" if operator else _path_of(api, chosen, org)
        found = list(api.get(path).get("tokens", []))
    if chosen:
        found = [token for token in found if token.get("app") == chosen]
    rows = [
        [
            str(token.get("id", "")),
            str(token.get("name", "")),
            str(token.get("kind", "")),
            str(token.get("machine") or token.get("app") or token.get("org") or ""),
            str(token.get("created_by", "")),
            relative(token.get("expires_at")),
            relative(token.get("revoked_at")),
        ]
        for token in found
    ]
    output.show(found, lambda: output.print_table(HEADERS, rows))


@command(app, "revoke")
def revoke(
    ids: Annotated[list[str], typer.Argument(metavar="ID", help="Ids of `tokens list`.")],
    org: options.Org = None,
    operator: Operator = False,
) -> None:
    """End tokens at once, with the shells and logs that they opened."""
    path = "/v1/tokens" if operator else _org_path(org)
    with connect() as api:
        for token in ids:
            api.call("DELETE", f"{path}/{quote(token, safe='')}")
            output.note(f"Revoked {token}")
    output.show({"revoked": ids}, lambda: None)


def _org_path(org: str | None) -> str:
    return f"/v1/orgs/{quote(org_slug(org), safe='')}/tokens"


def _path_of(api: Api, app: str | None, org: str | None) -> str:
    """The path of an app's organization, else of the one that is named."""
    if app is None or org:
        return _org_path(org)
    return _org_path(str((api.app(app).get("organization") or {}).get("slug", "")))


def _create_for_app(body: Mapping[str, str]) -> None:
    with connect() as api:
        made = api.post(_path_of(api, body["app"], None), body)
    _show(made)


def _create(path: str, body: Mapping[str, str]) -> None:
    with connect() as api:
        made = api.post(path, body)
    _show(made)


def _show(made: Mapping[str, Any]) -> None:
    """The text alone on standard output, so that it can be caught in a variable."""
    ends = relative(made.get("expires_at")) or "never"
    output.note(
        f"This token is shown now and never again. It ends: {ends}. "
        f"To end it before: roost tokens revoke {made.get('id', 'ID')}"
    )
    output.show(dict(made), lambda: output.line(str(made.get("token", ""))))
