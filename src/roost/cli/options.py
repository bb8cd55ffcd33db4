"""Flags that several commands share, under flyctl's names."""

from __future__ import annotations

from typing import Annotated

import typer


def _complete_app(incomplete: str) -> list[str]:
    """App names for the shell's completion; silent when there is no answer."""
    from roost.cli.client import connect
    from roost.errors import RoostError

    try:
        with connect(timeout=1.0) as api:
            names = [str(app.get("name", "")) for app in api.apps()]
    except RoostError:
        return []
    return [name for name in names if name.startswith(incomplete)]


App = Annotated[
    str | None,
    typer.Option(
        "--app",
        "-a",
        metavar="NAME",
        help="App name (else $FLY_APP, else `app` of fly.toml).",
        autocompletion=_complete_app,
    ),
]
AppArgument = Annotated[
    list[str], typer.Argument(metavar="APP", help="App names.", autocompletion=_complete_app)
]
Config = Annotated[
    str | None,
    typer.Option("--config", "-c", metavar="PATH", help="fly.toml, or the folder it is in."),
]
Org = Annotated[str | None, typer.Option("--org", "-o", metavar="SLUG", help="Organization.")]
Network = Annotated[str, typer.Option("--network", metavar="NAME", help="Private network.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only names or ids.")]
Region = Annotated[str | None, typer.Option("--region", "-r", metavar="CODE", help="Region.")]
Detach = Annotated[bool, typer.Option("--detach", help="Do not wait until it is done.")]
Image = Annotated[str | None, typer.Option("--image", "-i", metavar="REF", help="Image to run.")]
MachineId = Annotated[str, typer.Argument(metavar="ID", help="Machine id.")]
MachineIds = Annotated[list[str], typer.Argument(metavar="ID", help="Machine ids.")]
Env = Annotated[
    list[str] | None,
    typer.Option("--env", "-e", metavar="NAME=VALUE", help="Environment; may be repeated."),
]
VmSize = Annotated[
    str | None, typer.Option("--vm-size", metavar="SIZE", help="Preset (platform vm-sizes).")
]
VmCpus = Annotated[int | None, typer.Option("--vm-cpus", min=1, help="Number of CPUs.")]
VmCpuKind = Annotated[
    str | None, typer.Option("--vm-cpu-kind", metavar="KIND", help="shared or performance.")
]
VmMemory = Annotated[
    str | None, typer.Option("--vm-memory", metavar="SIZE", help="Memory: MB, or such as 1gb.")
]
