"""`roost completion bash|zsh|fish`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from roost.cli import output
from roost.cli.command import command, new_app

app = new_app("Shell completion.")


class Shell(StrEnum):
    """Shells with a completion script."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


@command(app, "completion", json=False)
def completion(shell: Annotated[Shell, typer.Argument(help="Which shell.")]) -> None:
    """Print a shell's completion script.

    Source it: `source <(roost completion bash)`, or write it where the shell looks for such files.
    """
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    output.line(
        get_completion_script(prog_name="roost", complete_var="_ROOST_COMPLETE", shell=shell)
    )
