"""Boolean flags in Go's form, and where shared flags may stand."""

from __future__ import annotations

import pytest

from roost.cli.command import plain_flags
from roost.cli.main import ALIASES, COMMANDS, build
from tests.support.api_stub import ApiStub
from tests.support.cli import Run

FLAGS = {"--ha": "--no-ha", "--no-ha": "--ha", "--detach": None}


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["--ha=false"], ["--no-ha"]),
        (["--ha=TRUE"], ["--ha"]),
        (["--detach=false"], []),
        (["--detach=true"], ["--detach"]),
        (["--name=true"], ["--name=true"]),
        (["--ha=maybe"], ["--ha=maybe"]),
        (["--", "--ha=false"], ["--", "--ha=false"]),
    ],
)
def test_go_style_booleans(given: list[str], read: list[str]) -> None:
    """Only known boolean flags are rewritten, and nothing after --."""
    assert read == list(plain_flags(given, FLAGS))


def test_the_help_says_what_the_commands_say() -> None:
    """The list in `roost --help`, which imports no command, agrees with each command's help."""
    root = build()
    for name, (_, line) in COMMANDS.items():
        command = root.get_command(None, name)
        assert line == command.help.strip().splitlines()[0], name


def test_aliases_lead_to_commands() -> None:
    """Every alias is another name of a command."""
    root = build()
    for alias, name in ALIASES.items():
        assert root.get_command(None, alias) is root.get_command(None, name)


@pytest.mark.parametrize(
    "words",
    [["--json", "apps"], ["-t", "other", "apps", "list"], ["apps", "list", "-t", "other"]],
)
def test_the_token_flag_stands_anywhere(api: ApiStub, run: Run, words: list[str]) -> None:
    """-t before or after the command beats the home's token; --json belongs after it."""
    ended = run(*words)
    if words[0] == "--json":
        assert 2 == ended.code
    else:
        assert "Bearer other" == api.asked[-1].token


def test_unknown_commands_name_the_nearest(run: Run) -> None:
    """A typing mistake gets the probable command and exit status 2."""
    ended = run("stauts")
    assert 2 == ended.code
    assert "'status'" in ended.err


def test_unknown_flags_are_wrong_usage(run: Run) -> None:
    """An unknown flag ends with status 2."""
    assert 2 == run("apps", "list", "--nonsense").code
