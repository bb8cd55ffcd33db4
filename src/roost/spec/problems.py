"""What is wrong, or only noteworthy, in a configuration file, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from roost.errors import InvalidError
from roost.spec.toml_lines import Path


@dataclass(frozen=True, slots=True)
class Problem:
    """`where` is `fly.toml:12` or `fly.json: services[0].port`."""

    where: str
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}"
        return f"{text}; {self.hint}" if self.hint else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A rule's result before its path is turned into a place in a file."""

    path: Path
    message: str
    hint: str | None = None
    level: Literal["error", "warning"] = "error"


class ConfigError(InvalidError):
    """A configuration file (or the configuration in a request) with all of its problems.

    The message holds every problem, one a line.
    """

    default_code = "invalid_config"

    def __init__(self, filename: str, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.filename = filename
        self.problems = problems
