"""A configuration file as a tree whose every value knows where it was written.

Old shapes are rewritten on this tree (`old_shapes`), so that a problem found afterwards still
points at the line the user wrote. `where` is a line number for TOML, a path for JSON.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath

from roost.spec import toml_lines
from roost.spec.problems import ConfigError, Problem
from roost.spec.toml_lines import Path

LARGEST = 1 << 20
"""Characters of a configuration file."""


@dataclass(slots=True)
class Node:
    """A value and its place; tables and lists hold nodes."""

    value: object
    where: str

    @property
    def table(self) -> dict[str, Node] | None:
        """The entries, when this is a table."""
        return self.value if isinstance(self.value, dict) else None

    @property
    def items(self) -> list[Node] | None:
        """The elements, when this is a list."""
        return self.value if isinstance(self.value, list) else None


def load(text: str, filename: str) -> Node:
    """Read fly.toml or fly.json text. Raises ConfigError with the place of a syntax error."""
    if len(text) > LARGEST:
        raise _broken(filename, f"is longer than {LARGEST} characters")
    try:
        match PurePath(filename).suffix.lower():
            case ".json":
                return _json(text, filename)
            case ".yaml" | ".yml":
                raise _broken(
                    filename,
                    "YAML is not read",
                    hint="write the same settings as fly.toml or fly.json",
                )
            case _:
                return _toml(text, filename)
    except RecursionError:
        raise _broken(filename, "is nested too deeply") from None


def flatten(node: Node) -> tuple[object, dict[Path, str]]:
    """The plain value of a tree, and where each path of it was written."""
    places: dict[Path, str] = {}

    def walk(node: Node, path: Path) -> object:
        places[path] = node.where
        if node.table is not None:
            return {key: walk(child, (*path, key)) for key, child in node.table.items()}
        if node.items is not None:
            return [walk(child, (*path, number)) for number, child in enumerate(node.items)]
        return node.value

    return walk(node, ()), places


def path_text(path: Path) -> str:
    """`services[0].ports[1].port`, the way people write a path."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def _toml(text: str, filename: str) -> Node:
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        sentence, _, place = str(error).partition(" (at line ")
        line = place.partition(",")[0]
        if not line.isdigit():
            line = str(text.count("\n") + 1)
        raise ConfigError(
            filename, (Problem(f"{filename}:{line}", f"is not valid TOML: {sentence.lower()}"),)
        ) from None
    lines = toml_lines.index(text)
    return _tree(data, (), lambda path: f"{filename}:{_nearest(lines, path)}")


def _json(text: str, filename: str) -> Node:
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(
            filename, (Problem(f"{filename}:{error.lineno}", f"is not valid JSON: {error.msg}"),)
        ) from None
    if not isinstance(data, dict):
        raise _broken(filename, "must be a JSON object")
    return _tree(data, (), lambda path: f"{filename}: {path_text(path)}" if path else filename)


def _nearest(lines: dict[Path, int], path: Path) -> int:
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _tree(data: object, path: Path, where: Callable[[Path], str]) -> Node:
    if isinstance(data, dict):
        table = {str(key): _tree(value, (*path, str(key)), where) for key, value in data.items()}
        return Node(table, where(path))
    if isinstance(data, list):
        items = [_tree(value, (*path, number), where) for number, value in enumerate(data)]
        return Node(items, where(path))
    return Node(data, where(path))


def _broken(filename: str, message: str, hint: str | None = None) -> ConfigError:
    return ConfigError(filename, (Problem(filename, message, hint),))
