"""Read a fly.toml (or fly.json): text in, a checked AppConfig or every problem out.

Order: syntax, old shapes, each value, rules between values. Unlike Fly's client, Roost refuses
unknown keys, and names all problems of a file at once with the line of each.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from roost.spec import not_yet, old_shapes, rules, tree, validation
from roost.spec.app_config import AppConfig
from roost.spec.problems import ConfigError, Finding, Problem
from roost.spec.toml_lines import Path

FILE_NAMES = ("fly.toml", "fly.json", "fly.yaml")
"""Looked for in this order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A configuration without errors, and what is worth saying about it."""

    config: AppConfig
    warnings: tuple[Problem, ...]


def parse(text: str, filename: str = "fly.toml") -> Parsed:
    """Read and check a whole file; the name's ending chooses TOML or JSON.

    Raises ConfigError with all problems, each with its place.
    """
    root = tree.load(text, filename)
    old_shapes.rewrite(root)
    data, places = tree.flatten(root)
    checked = validation.validate(data)
    later = [*rules.check(checked.config), *not_yet.pending(checked.config)]
    findings = [*checked.findings, *(one for one in later if not checked.hides(one.path))]

    def placed(level: str) -> tuple[Problem, ...]:
        chosen = [
            Problem(_where(places, finding.path, filename), finding.message, finding.hint)
            for finding in findings
            if finding.level == level
        ]
        return tuple(sorted(chosen, key=_by_line))

    problems = placed("error")
    if problems:
        raise ConfigError(filename, problems)
    return Parsed(config=checked.config, warnings=placed("warning"))


def recheck(config: AppConfig, name: str = "configuration") -> tuple[str, ...]:
    """Check the rules of a configuration that came as JSON; returns the warnings.

    Raises ConfigError; places are paths, since there is no file.
    """
    findings = [*rules.check(config), *not_yet.pending(config)]
    errors = tuple(_without_file(name, one) for one in findings if one.level == "error")
    if errors:
        raise ConfigError(name, errors)
    return tuple(one.message for one in findings if one.level == "warning")


def inline_files(config: AppConfig, read: Callable[[str], str]) -> AppConfig:
    """Replace every `local_path` by the `raw_value` that `read(local_path)` returns (base64).

    Called by the CLI before it sends the configuration: the server never opens a user's files.
    """
    files = tuple(
        file.model_copy(update={"local_path": None, "raw_value": read(file.local_path)})
        if file.local_path
        else file
        for file in config.files
    )
    return config.model_copy(update={"files": files}) if config.files else config


def _without_file(name: str, finding: Finding) -> Problem:
    return Problem(f"{name}: {tree.path_text(finding.path)}", finding.message, finding.hint)


def _where(places: dict[Path, str], path: Path, filename: str) -> str:
    while path and path not in places:
        path = path[:-1]
    return places.get(path, filename)


def _by_line(problem: Problem) -> tuple[int, str]:
    match = re.search(r":([0-9]+)$", problem.where)
    return (int(match.group(1)) if match else 0, problem.where)


__all__ = ["FILE_NAMES", "AppConfig", "Parsed", "inline_files", "parse", "recheck"]
