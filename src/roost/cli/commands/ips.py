"""`roost ips allocate-v6|allocate-v4|list|release|private`, and `ips grants` from `ips_grants`."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Any

import typer

from roost.cli import options, output, views
from roost.cli.client import app_path, connect
from roost.cli.command import command, new_group
from roost.cli.commands import ips_grants
from roost.cli.project import app_name
from roost.cli.times import relative
from roost.errors import InvalidError

app = new_group("Addresses of an app: private (Flycast) and public ones.")
app.add_typer(ips_grants.app, name="grants")

Service = Annotated[
    list[int] | None,
    typer.Option(
        "--service",
        metavar="PORT",
        min=1,
        max=65535,
        help="Only this external port of the app answers at the address; may be repeated.",
    ),
]
Expires = Annotated[
    str | None,
    typer.Option("--expires", metavar="TIME", help="Release it by itself, such as after 7d."),
]


@command(app, "allocate-v6")
def allocate_v6(
    *,
    private: Annotated[
        bool, typer.Option("--private", help="A private address, reachable by Flycast.")
    ] = False,
    network: options.Network = "",
    org: options.Org = None,
    service: Service = None,
    expires: Expires = None,
    region: options.Region = None,
    app: options.App = None,
    config: options.Config = None,
) -> None:
    """Give the app an IPv6 address; with --private one on a network.

    Without --org and --network that is the default network of the app's organization, also for an
    app on a custom one. The address is reached from its network only. Another organization has to
    agree first: its admin accepts with `roost ips grants accept`.
    """
    body = {
        "type": "private_v6" if private else "v6",
        "org_slug": org or "",
        "network": network,
    }
    _allocate(app_name(app, config), body, service, expires, region)


@command(app, "allocate-v4")
def allocate_v4(
    *,
    shared: Annotated[
        bool, typer.Option("--shared", help="The address that apps share, told apart by name.")
    ] = False,
    service: Service = None,
    expires: Expires = None,
    region: options.Region = None,
    app: options.App = None,
    config: options.Config = None,
) -> None:
    """Give the app a public IPv4 address from the pool that the operator set."""
    body = {"type": "shared_v4" if shared else "v4"}
    _allocate(app_name(app, config), body, service, expires, region)


@command(app, "list")
def list_ips(app: options.App = None, config: options.Config = None) -> None:
    """List the app's addresses."""
    name = app_name(app, config)
    with connect() as api:
        reply = api.get(app_path(name, "ip_assignments"))
    found = list(reply.get("ips", []))
    output.show(found, lambda: _print(found))
    if reply.get("warning"):
        output.warn(str(reply["warning"]))
    if waiting := int(reply.get("pending_grants", 0)):
        output.note(f"{waiting} wait for another organization: see roost ips grants list -a {name}")


@command(app, "release")
def release(
    addresses: Annotated[list[str], typer.Argument(metavar="ADDRESS")],
    app: options.App = None,
    config: options.Config = None,
) -> None:
    """Give addresses back.

    New connections are refused at once, open ones get the app's kill_timeout to end. A private
    address is never used again.
    """
    name = app_name(app, config)
    for address in addresses:
        _check(address)
    with connect() as api:
        for address in addresses:
            api.call("DELETE", app_path(name, "ip_assignments", address))
            output.note(f"Released {address} from {name}")
    output.show({"released": addresses}, lambda: None)


@command(app, "private")
def private_ips(app: options.App = None, config: options.Config = None) -> None:
    """List the addresses of the app's Machines on its private network."""
    name = app_name(app, config)
    with connect() as api:
        found = [views.machine(raw) for raw in api.machines(name)]
    value = [{"id": m.id, "region": m.region, "ip": m.private_ip} for m in found]
    rows = [[m.id, m.region, m.private_ip] for m in found]
    output.show(value, lambda: output.print_table(["ID", "Region", "IP"], rows))


def _allocate(
    name: str,
    body: Mapping[str, object],
    service: list[int] | None,
    expires: str | None,
    region: str | None,
) -> None:
    asked = {**body, "region": region or "", "ports": service or [], "expires": expires}
    with connect() as api:
        made = dict(api.post(app_path(name, "ip_assignments"), asked))
    if made.get("warning"):
        output.warn(str(made["warning"]))
    grant = made.get("grant")
    if isinstance(grant, dict):
        output.show(made, lambda: _say_asked(grant))
    else:
        output.show(made, lambda: _print([made]))


def _say_asked(grant: Mapping[str, Any]) -> None:
    org = grant.get("org")
    output.line(f"Asked organization {org}: grant {grant.get('id')}")
    output.note(
        f"There is no address before an admin of {org} runs: "
        f"roost ips grants accept {grant.get('id')} --org {org}"
    )


def _check(address: str) -> None:
    try:
        ip_address(address)
    except ValueError as error:
        raise InvalidError(f"{address!r} is no IP address", hint="see: roost ips list") from error


def _print(found: list[Mapping[str, Any]]) -> None:
    headers = ["Version", "IP", "Type", "Region", "Audience", "Ports", "Expires At", "Created At"]
    rows = [
        [
            views.ip_version(str(item.get("ip", ""))),
            str(item.get("ip", "")),
            views.ip_kind(item),
            str(item.get("region") or "global"),
            views.audience(item),
            views.ports(item),
            views.until(item.get("expires_at")),
            relative(item.get("created_at")),
        ]
        for item in found
    ]
    output.print_table(*output.without_empty(headers, rows, "Expires At"))
