"""`roost ips allocate-v6|list|release|private`."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Any

import typer

from roost.cli import options, output, views
from roost.cli.client import app_path, connect
from roost.cli.command import command, new_group
from roost.cli.project import app_name
from roost.cli.times import relative
from roost.errors import InvalidError

app = new_group("Private (Flycast) addresses of an app.")


@command(app, "allocate-v6")
def allocate_v6(
    *,
    private: Annotated[
        bool, typer.Option("--private", help="A private address, reachable by Flycast.")
    ] = False,
    network: options.Network = "",
    org: options.Org = None,
    region: options.Region = None,
    app: options.App = None,
    config: options.Config = None,
) -> None:
    """Give the app an address on a network (the default network of its organization)."""
    name = app_name(app, config)
    body = {
        "type": "private_v6" if private else "v6",
        "region": region or "",
        "org_slug": org or "",
        "network": network,
        "service_name": "",
    }
    with connect() as api:
        made = dict(api.post(app_path(name, "ip_assignments"), body))
    if made.get("warning"):
        output.warn(str(made["warning"]))
    output.show(made, lambda: _print([made]))


@command(app, "list")
def list_ips(app: options.App = None, config: options.Config = None) -> None:
    """List the app's addresses."""
    name = app_name(app, config)
    with connect() as api:
        found = list(api.get(app_path(name, "ip_assignments")).get("ips", []))
    output.show(found, lambda: _print(found))


@command(app, "release")
def release(
    addresses: Annotated[list[str], typer.Argument(metavar="ADDRESS")],
    app: options.App = None,
    config: options.Config = None,
) -> None:
    """Give addresses back; they are never used again."""
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


def _check(address: str) -> None:
    try:
        ip_address(address)
    except ValueError as error:
        raise InvalidError(f"{address!r} is no IP address", hint="see: roost ips list") from error


def _print(found: list[Mapping[str, Any]]) -> None:
    rows = [
        [
            views.ip_version(str(item.get("ip", ""))),
            str(item.get("ip", "")),
            views.ip_kind(item),
            str(item.get("region") or "global"),
            str(item.get("network") or ""),
            relative(item.get("created_at")),
        ]
        for item in found
    ]
    headers = ["Version", "IP", "Type", "Region", "Network", "Created At"]
    if all(row[4] in {"", "default"} for row in rows):
        headers.remove("Network")
        rows = [row[:4] + row[5:] for row in rows]
    output.print_table(headers, rows)
