"""From plain data to an AppConfig, with every problem found in one go.

pydantic reports all wrong values of one pass. So that rules about several keys are looked at too,
wrong values are then left out and what remains is read again; findings about what was left out
would only repeat the first problem and are dropped.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from roost.spec import known_keys
from roost.spec.app_config import AppConfig
from roost.spec.problems import Finding
from roost.spec.toml_lines import Path
from roost.spec.tree import path_text

_ROUNDS = 64

_KINDS = {
    "string_type": "must be a string",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "is too large a number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


@dataclass(frozen=True, slots=True)
class Checked:
    """What could be read, what was wrong with the rest, and the paths that were left out."""

    config: AppConfig
    findings: tuple[Finding, ...]
    dropped: frozenset[Path]

    def hides(self, path: Path) -> bool:
        """Whether something beside or above this path was left out."""
        return any(
            gone[:-1] == path[:-1] or path[: len(gone)] == gone or gone[: len(path)] == path
            for gone in self.dropped
        )


def validate(data: object) -> Checked:
    """Check each value; never raises for bad input."""
    findings: dict[Path, Finding] = {}
    dropped: set[Path] = set()
    for _ in range(_ROUNDS):
        try:
            config = AppConfig.model_validate_json(json.dumps(data, default=str), strict=True)
            return Checked(config, tuple(findings.values()), frozenset(dropped))
        except ValidationError as error:
            details = error.errors(include_url=False)
        for detail in details:
            finding = _finding(detail)
            findings.setdefault(finding.path, finding)
            gone = _leave_out(data, finding.path)
            if detail["type"] != "extra_forbidden":
                dropped.add(gone)
    return Checked(AppConfig(), tuple(findings.values()), frozenset({()}))


def _finding(detail: ErrorDetails) -> Finding:
    path: Path = tuple(part for part in detail["loc"] if part != "[key]")
    sentence, hint = _sentence(detail, path)
    return Finding(path=path, message=f"`{path_text(path)}` {sentence}", hint=hint)


def _sentence(detail: ErrorDetails, path: Path) -> tuple[str, str | None]:
    context = detail.get("ctx", {})
    given, shown = detail["input"], _show(detail["input"])
    header = path_text(tuple(part for part in path if isinstance(part, str)))
    hint: str | None = None
    match kind := detail["type"]:
        case "extra_forbidden":
            sentence, hint = "is not a known key", known_keys.hint(path)
        case "rule":
            sentence, hint = context["sentence"], context["hint"]
        case "literal_error":
            sentence, hint = f"is {shown}", f"use {context['expected']}"
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            key, words = _BOUNDS[kind]
            sentence, hint = f"is {shown}", f"use {words} {context[key]}"
        case "missing":
            sentence, hint = "is missing", "add it to this table"
        case "tuple_type" if isinstance(given, dict):
            sentence = "must be a list, and here it is a table"
            hint = f"write its header as [[{header}]]"
        case "model_type" | "dict_type" if isinstance(given, list):
            sentence = "must be a table, and here it is a list"
            hint = f"write its header as [{header}]"
        case _:
            sentence = f"{_KINDS.get(kind, detail['msg'])}, not {shown}"
    return sentence, hint


def _show(value: object) -> str:
    match value:
        case dict():
            return "a table"
        case list() | tuple():
            return "a list"
        case _:
            return json.dumps(value, default=str, ensure_ascii=False)[:80]


def _leave_out(data: object, path: Path) -> Path:
    """Delete the value at the path, or the nearest table entry around it; returns what went."""
    while path:
        parent = _at(data, path[:-1])
        last = path[-1]
        if isinstance(parent, dict) and isinstance(last, str) and last in parent:
            if path[0] == "processes" and len(path) == 2:
                parent[last] = ""  # the group exists, whatever is wrong with its command
            else:
                del parent[last]
            return path
        path = path[:-1]
    if isinstance(data, dict):
        data.clear()
    return ()


def _at(data: object, path: Path) -> object:
    for part in path:
        if isinstance(data, dict) and isinstance(part, str):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            return None
    return data
