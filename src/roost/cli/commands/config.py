"""`roost config validate|show|save|env`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from roost.cli import options, output
from roost.cli.client import Api, app_path, connect
from roost.cli.command import command, new_group
from roost.cli.config_file import load_existing, show_warnings
from roost.cli.project import app_name, config_path
from roost.errors import NotFoundError, RoostError
from roost.spec.app_config import AppConfig
from roost.spec.render import render

app = new_group("The app's configuration (fly.toml).")

Local = Annotated[bool, typer.Option("--local", help="The local file instead of the deployed one.")]
Toml = Annotated[bool, typer.Option("--toml", help="Print TOML instead of JSON.")]


@command(app, "validate")
def validate(
    config: options.Config = None,
    app: options.App = None,  # noqa: ARG001 - accepted as flyctl does
    strict: Annotated[
        bool, typer.Option("--strict", help="Accepted; unknown keys are always errors.")
    ] = False,
) -> None:
    """Check a fly.toml.

    Names every problem with its line, and ends with status 1, when it is not valid.
    """
    del strict
    path, parsed = load_existing(config)
    show_warnings(parsed)
    warnings = [str(problem) for problem in parsed.warnings]
    output.show(
        {"valid": True, "file": str(path), "warnings": warnings},
        lambda: output.line(f"{path} is valid"),
    )


@command(app, "show")
def show(
    app: options.App = None, config: options.Config = None, local: Local = False, toml: Toml = False
) -> None:
    """Print the configuration of the latest release (JSON, or TOML)."""
    if local:
        value = load_existing(config)[1].config
    else:
        with connect() as api:
            value = _deployed(api, app_name(app, config))
    if toml:
        output.line(render(value).rstrip("\n"))
    else:
        output.print_json(value.show())


@command(app, "save")
def save(app: options.App = None, config: options.Config = None, yes: options.Yes = False) -> None:
    """Write the configuration of the latest release to fly.toml."""
    name = app or app_name(app, None)
    path = config_path(config)
    with connect() as api:
        value = _deployed(api, name)
    if path.exists() and not output.confirm(f"Overwrite {path}?", yes=yes):
        raise RoostError(f"{path} was not changed")
    path.write_text(render(value), encoding="utf-8")
    output.show({"file": str(path)}, lambda: output.line(f"Wrote {path}"))


@command(app, "env")
def env(app: options.App = None, config: options.Config = None) -> None:
    """List the app's secrets (names and digests) and its environment."""
    name = app_name(app, config)
    with connect() as api:
        secrets = list(api.get(app_path(name, "secrets")).get("secrets", []))
        values = _deployed(api, name).env
    value = {"secrets": secrets, "env": values}
    output.show(value, lambda: _print_env(secrets, values))


def _print_env(secrets: list[dict[str, Any]], values: dict[str, str]) -> None:
    if secrets:
        rows = [[str(item.get("name", "")), str(item.get("digest", ""))] for item in secrets]
        output.line("Secrets")
        output.print_table(["Name", "Digest"], rows)
        output.line()
    output.line("Environment variables")
    output.print_table(["Name", "Value"], sorted(values.items()))


def _deployed(api: Api, name: str) -> AppConfig:
    """The latest release's configuration. Raises NotFoundError when there is none."""
    for item in api.releases(name):
        if item.get("config"):
            return AppConfig.model_validate(item["config"])
    raise NotFoundError(
        f"app {name} has no release yet", hint="deploy it, or pass --local for the local file"
    )
