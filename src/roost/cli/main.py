"""The `roost` command: finds the sub-command, loads only its module, turns errors into sentences.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted; `console`, `ssh console` and
`machine exec` end with the status of the command they ran.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from roost.cli.command import ApiOption, TokenOption, VerboseOption, new_app
from roost.cli.session import Session, debugging, set_current
from roost.errors import RoostError

COMMANDS: dict[str, tuple[str, str]] = {
    "launch": ("launch", "Make a new app: write fly.toml, create the app, deploy it."),
    "deploy": ("deploy", "Deploy fly.toml: make or update the app's Machines."),
    "apps": ("apps", "Create, list and destroy apps."),
    "status": ("status", "Show the app, its Machines, and why one failed."),
    "machine": ("machine", "Run and manage single Machines."),
    "scale": ("scale", "Show or change how many Machines an app has."),
    "ips": ("ips", "Addresses of an app: private (Flycast) and public ones."),
    "certs": ("certs", "Certificates for host names of an app."),
    "ca": ("ca", "The private CA of an organization, which its Machines trust."),
    "networks": ("networks", "Private networks."),
    "proxy": ("proxy", "The proxy processes of this host, and their upgrade."),
    "canary": ("canary", "Try from inside each network what must be impossible."),
    "reach": ("reach", "Say whether FROM reaches TO, with every deciding step."),
    "secrets": ("secrets", "Encrypted values that Machines get as environment."),
    "config": ("config", "The app's configuration (fly.toml)."),
    "checks": ("checks", "Health checks of Machines."),
    "logs": ("logs", "Show the app's log and follow it until Ctrl-C."),
    "releases": ("releases", "List the app's latest releases, newest first."),
    "console": ("console", "Open a shell, or run a command, inside a private network."),
    "ssh": ("ssh", "Shells in running Machines."),
    "dig": ("dig", "Ask the DNS server of a private network, from inside it."),
    "orgs": ("orgs", "Organizations."),
    "tokens": ("tokens", "Create, list and revoke API tokens."),
    "audit": ("audit", "Show who changed what, newest first."),
    "platform": ("platform", "What this Roost offers."),
    "up": ("daemon", "Start Roost on this host (--detach: in the background)."),
    "down": ("daemon", "Stop Roost on this host."),
    "doctor": ("daemon", "Check what this host has, and how to get what it lacks."),
    "completion": ("completion", "Print a shell's completion script."),
    "version": ("version", "Show the version of roost."),
}
"""Command → module of `roost.cli.commands` and line of the help, which imports none of them."""

ALIASES = {
    "machines": "machine",
    "m": "machine",
    "app": "apps",
    "ip": "ips",
    "secret": "secrets",
    "network": "networks",
    "token": "tokens",
    "cert": "certs",
    "certificates": "certs",
}


class LazyGroup(TyperGroup):
    """Commands whose modules are imported when they are named."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        """The names in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """Import the module of a command (or alias) and build it; None for an unknown name."""
        name = ALIASES.get(cmd_name, cmd_name)
        if name not in COMMANDS:
            return None
        loaded = self.commands.get(name)
        if loaded is None:
            loaded = self.commands[name] = _load(name)
        return loaded

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """The list of commands in the help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As ever, with the nearest command's name for an unknown one."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            from difflib import get_close_matches

            near = get_close_matches(name, [*COMMANDS, *ALIASES], n=1)
            hint = f" Did you mean {near[0]!r}?" if near else " See roost --help."
            ctx.fail(f"No such command {name!r}.{hint}")
        return super().resolve_command(ctx, args)


def _load(name: str) -> Any:
    module = import_module(f"roost.cli.commands.{COMMANDS[name][0]}")
    built = typer.main.get_command(module.app)
    inner = getattr(built, "commands", {})
    if name in inner:
        return inner[name]
    built.name = name
    return built


app = new_app("Private services on your own Linux hosts that sleep until called.", completion=True)
app.info.cls = LazyGroup


@app.callback()
def _root(
    access_token: TokenOption = None, api: ApiOption = None, verbose: VerboseOption = False
) -> None:
    set_current(Session(api=api, token=access_token, verbose=verbose))


def build() -> Any:
    """The whole command tree, as click-like objects (for the reference and the tests)."""
    return typer.main.get_command(app)


def main(args: list[str] | None = None) -> None:
    """Run the command line; always ends with SystemExit."""
    _open_standard_files()
    try:
        build().main(args=args, prog_name="roost")
    except RoostError as error:
        if debugging():
            raise
        sys.exit(_report(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        _silence_stdout()
        sys.exit(1)
    except Exception as error:
        if debugging():
            raise
        sys.stderr.write(
            f"Error: roost failed unexpectedly: {type(error).__name__}: {error} "
            "(ROOST_DEBUG=1 shows where)\n"
        )
        sys.exit(1)
    sys.exit(0)


def _report(error: RoostError) -> int:
    """Print one error: `Error: sentence (hint)`, or every problem of a config file."""
    text = error.message if error.code == "invalid_config" else f"Error: {error}"
    sys.stderr.write(f"{text}\n")
    return 1


def _open_standard_files() -> None:
    """Put /dev/null where a standard descriptor is closed, or a socket would take its number."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _silence_stdout() -> None:
    """Whoever read our output left: keep the interpreter's last flush quiet."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
