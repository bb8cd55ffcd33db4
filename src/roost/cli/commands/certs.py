"""`roost certs list|add|import|check|remove`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from roost.cli import options, output
from roost.cli.client import app_path, connect
from roost.cli.command import command, new_group
from roost.cli.project import app_name
from roost.cli.times import relative
from roost.errors import InvalidError, RoostError

app = new_group("Certificates for host names of an app.")

Hostname = Annotated[
    str, typer.Argument(metavar="HOSTNAME", help="Such as www.example.com or *.example.com.")
]
Chain = Annotated[
    str | None,
    typer.Option("--cert", "--fullchain", metavar="FILE", help="Certificate and chain, PEM."),
]
Key = Annotated[
    str | None, typer.Option("--key", "--private-key", metavar="FILE", help="Private key, PEM.")
]


@command(app, "list")
def list_(app: options.App = None, config: options.Config = None) -> None:
    """List an app's certificates."""
    with connect() as api:
        found = list(api.get(app_path(app_name(app, config), "certificates"))["certificates"])
    rows = [
        [
            str(item.get("hostname", "")),
            "Custom" if item.get("has_custom_certificate") else "",
            _shown_status(item),
            relative(item.get("expires_at")),
        ]
        for item in found
    ]
    headers = ["Hostname", "Source", "Status", "Expires"]
    output.show(found, lambda: output.print_table(headers, rows))
    for item in found:
        for text in item.get("warnings", []):
            output.warn(f"{item.get('hostname')}: {text}")


@command(app, "add")
def add(
    hostname: Hostname,
    cert: Chain = None,
    key: Key = None,
    app: options.App = None,
    config: options.Config = None,
) -> None:
    """Add a certificate for a host name, or replace the one it has.

    The name becomes the app's: it also leads to the app at addresses that apps share.
    """
    name = app_name(app, config)
    if cert is None or key is None:
        raise InvalidError(
            f"no certificate for {hostname} is given",
            hint="Roost does not ask public authorities: pass --cert FILE and --key FILE. "
            f"https://{name}.flycast needs none",
        )
    body = {"hostname": hostname, "fullchain": _read(cert), "private_key": _read(key)}
    with connect() as api:
        made = dict(api.post(app_path(name, "certificates", "custom"), body))
    output.note(f"Certificate for {made.get('hostname')} added to app {name}")
    output.show(made, lambda: _print(made))
    _warn(made)


@command(app, "check")
def check(hostname: Hostname, app: options.App = None, config: options.Config = None) -> None:
    """Show a host name's certificate, and what to see to."""
    with connect() as api:
        found = dict(api.post(_path(app_name(app, config), hostname, "check")))
    output.show(found, lambda: _print(found))
    _warn(found)


@command(app, "remove")
def remove(
    hostname: Hostname,
    app: options.App = None,
    config: options.Config = None,
    yes: options.Yes = False,
) -> None:
    """Remove a host name and its certificate from an app."""
    name = app_name(app, config)
    with connect() as api:
        api.get(_path(name, hostname))
        if not output.confirm(f"Remove certificate {hostname} from app {name}?", yes=yes):
            raise RoostError(f"certificate {hostname} was not removed")
        api.call("DELETE", _path(name, hostname))
    output.note(f"Certificate {hostname} removed from app {name}")
    output.show({"removed": hostname}, lambda: None)


# Other words for them, flyctl's among them.
command(app, "create", hidden=True, help="Another word for add.")(add)
command(app, "import", help="As add, under flyctl's name for it.")(add)
command(app, "show", help="Another word for check.")(check)
command(app, "delete", hidden=True, help="Another word for remove.")(remove)


def _path(app: str, hostname: str, *rest: str) -> str:
    return app_path(app, "certificates", hostname, *rest)


def _read(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidError(f"{file} cannot be read: {error}", hint="give a PEM file") from error


def _print(found: dict[str, Any]) -> None:
    certificate = _first(found, "certificates")
    issued = _first(certificate, "issued")
    dns = found.get("dns_requirements", {})
    pairs = [
        ("Status", _shown_status(found)),
        ("Hostname", str(found.get("hostname", ""))),
        ("Issuer", str(certificate.get("issuer", ""))),
        ("Issued", str(issued.get("type", ""))),
        ("Added to App", relative(certificate.get("created_at"))),
        ("Expires", relative(certificate.get("expires_at"))),
    ]
    pairs += [("DNS A", str(ip)) for ip in dns.get("a", [])]
    pairs += [("DNS AAAA", str(ip)) for ip in dns.get("aaaa", [])]
    output.print_block("Certificate", pairs)


def _first(found: dict[str, Any], key: str) -> dict[str, Any]:
    items = found.get(key) or [{}]
    return dict(items[0])


def _shown_status(item: dict[str, Any]) -> str:
    """flyctl says Verified of a custom certificate that is served."""
    return "Verified" if item.get("status") == "active" else str(item.get("status", "")).title()


def _warn(found: dict[str, Any]) -> None:
    for item in found.get("validation_errors", []):
        output.warn(str(item.get("message", "")))
