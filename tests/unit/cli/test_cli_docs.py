"""The command tree as a whole: its reference page, its flags, its completion, its speed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from roost.cli.main import COMMANDS, build
from tests.support.cli import Run

ROOT = Path(__file__).parents[3]
WITHOUT_JSON = {
    "roost console",
    "roost ssh console",
    "roost completion",
    "roost up",
    "roost down",
    "roost doctor",
}
"""They attach a terminal, print a script, or hand their arguments over."""


def leaves(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every command with its words."""
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name, one in inner.items():
        yield from leaves(one, f"{path} {name}")


def every() -> list[tuple[str, Any]]:
    """All commands."""
    root = build()
    tops = [(f"roost {name}", root.get_command(None, name)) for name in COMMANDS]
    return [leaf for path, command in tops for leaf in leaves(command, path)]


@pytest.mark.parametrize("name", ["gen_cli_docs.py", "gen_fly_toml_docs.py", "gen_access_docs.py"])
def test_the_reference_is_current(name: str) -> None:
    """The pages of docs/reference say what the commands and the parser say."""
    script = ROOT / "scripts" / name
    checked = subprocess.run(
        [sys.executable, str(script), "--check"],
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "") == (checked.returncode, checked.stderr)


@pytest.mark.parametrize(("path", "command"), every(), ids=lambda value: str(value)[:40])
def test_every_command_has_help_and_json(path: str, command: Any) -> None:
    """Each says what it does in one line, explains its flags, and prints JSON where it prints."""
    first = (command.help or "").strip().splitlines()[0]
    assert first.endswith(".")
    assert len(first) <= 80
    options = [param for param in command.params if param.param_type_name == "option"]
    assert all(param.help for param in options), path
    assert (path not in WITHOUT_JSON) is any("--json" in param.opts for param in options)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(run: Run, shell: str) -> None:
    """For each shell, a script that calls roost back."""
    ended = run("completion", shell)
    assert (0, True) == (ended.code, "_ROOST_COMPLETE" in ended.out)


def test_completion_of_commands(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    """The script's question is answered with the commands that fit."""
    monkeypatch.setenv("_ROOST_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "roost ma")
    monkeypatch.setenv("COMP_CWORD", "1")
    assert "machine" in run().out.split()


def test_version_needs_only_its_own_module() -> None:
    """`roost version` and `roost --help` load nothing that they do not need."""
    for words in (["version"], ["--help"]):
        program = (
            "import sys, roost.cli.main as m\n"
            f"try:\n    m.main({words!r})\n"
            "except SystemExit:\n    pass\n"
            "heavy = {'httpx', 'rich', 'websockets', 'dns', 'roost.spec'} & set(sys.modules)\n"
            "sys.exit(str(heavy) if heavy else 0)\n"
        )
        ended = subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONPATH": str(ROOT / "src")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (0, "") == (ended.returncode, ended.stderr)


def test_the_daemons_commands_get_all_arguments() -> None:
    """up, down and doctor become `python -m roost.daemon` with everything that was said."""
    program = (
        "import os, sys, roost.cli.main as m\n"
        "os.execv = lambda path, words: sys.exit(' '.join(words[1:]))\n"
        "m.main(['up', '--detach', '--region', 'ams', '--listen', '127.0.0.1:1', '--json', '-h'])\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    expected = "-m roost.daemon up --detach --region ams --listen 127.0.0.1:1 --json -h\n"
    assert expected == ended.stderr
