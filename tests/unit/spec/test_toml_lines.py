"""Every key of a TOML document is found on the line where it is written."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.spec import toml_lines
from roost.spec.toml_lines import Path

DOCUMENT = '''\
# a comment = "with [brackets]"
title = "x # no comment"  # one
"quoted key" = 1
'single.quoted' = 2
a.b."c.d" = 3
a . e = 4
long = """
[not.a.header]
still = "inside" \\""" no
end"""
raw = \'\'\'
key = 1
\'\'\'
list = [
  1, # first
  "two, ]",
  [3, 4],
  { in = 5, deep = { er = 6 } },
]
when = 1979-05-27 07:32:00
inline = { x = 1, y = [2, 3] }

[table]
one = 1
  [table.sub]
  two = 2

[[tables]]
n = 1
  [[tables.inner]]
  m = 1
  [[tables.inner]]
  m = 2
[[tables]]
n = 2
  [tables."odd name"]
  k = "\\u00e4"
[deep.er.est]
z = 1
[deep]
y = 1
'''

EXPECTED: dict[Path, int] = {
    ("title",): 2,
    ("quoted key",): 3,
    ("single.quoted",): 4,
    ("a",): 5,
    ("a", "b", "c.d"): 5,
    ("a", "e"): 6,
    ("long",): 7,
    ("raw",): 11,
    ("list",): 14,
    ("list", 0): 15,
    ("list", 1): 16,
    ("list", 2, 1): 17,
    ("list", 3, "in"): 18,
    ("list", 3, "deep", "er"): 18,
    ("when",): 20,
    ("inline", "y", 1): 21,
    ("table",): 23,
    ("table", "one"): 24,
    ("table", "sub"): 25,
    ("table", "sub", "two"): 26,
    ("tables", 0): 28,
    ("tables", 0, "n"): 29,
    ("tables", 0, "inner", 0, "m"): 31,
    ("tables", 0, "inner", 1): 32,
    ("tables", 0, "inner", 1, "m"): 33,
    ("tables", 1): 34,
    ("tables", 1, "odd name"): 36,
    ("tables", 1, "odd name", "k"): 37,
    ("deep", "er", "est"): 38,
    ("deep", "er", "est", "z"): 39,
    ("deep",): 40,
    ("deep", "y"): 41,
}


def paths_of(value: Any, path: Path = ()) -> list[Path]:
    """All paths of a parsed document."""
    if isinstance(value, dict):
        found = [paths_of(child, (*path, key)) for key, child in value.items()]
    elif isinstance(value, list):
        found = [paths_of(child, (*path, number)) for number, child in enumerate(value)]
    else:
        found = []
    return [path, *(one for some in found for one in some)]


@pytest.mark.parametrize(("path", "line"), EXPECTED.items())
def test_line_of_a_key(path: Path, line: int) -> None:
    """Quoted, dotted and nested keys, strings and lists over several lines, arrays of tables."""
    assert toml_lines.index(DOCUMENT)[path] == line


@pytest.mark.parametrize("text", [DOCUMENT, DOCUMENT.replace("\n", "\r\n"), "", "\n\n# only\n"])
def test_every_path_has_a_line(text: str) -> None:
    """The scan finds exactly the paths that tomllib finds, whatever the line ends are."""
    assert set(toml_lines.index(text)) == set(paths_of(tomllib.loads(text))) - {()}


def toml(value: Any) -> str:
    """Inline TOML of a value."""
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case str():
            return quoted(value)
        case list():
            return "[\n" + "".join(f"{toml(one)}, # ]\n" for one in value) + "]"
        case _:
            return "{" + ", ".join(f"{quoted(k)} = {toml(v)}" for k, v in value.items()) + "}"


def quoted(text: str) -> str:
    """A basic string."""
    return '"' + "".join(f"\\U{ord(letter):08x}" for letter in text) + '"'


LETTERS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
VALUES = st.recursive(
    st.booleans() | st.integers(-9, 9) | LETTERS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(LETTERS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(LETTERS, VALUES, max_size=4), st.dictionaries(LETTERS, VALUES, max_size=3))
def test_any_document_is_scanned(top: dict[str, Any], table: dict[str, Any]) -> None:
    """For generated documents each path is found, and top-level keys are on their own line."""
    lines = [f"{quoted(key)} = {toml(value)}" for key, value in top.items()]
    name = "t" + "".join(top)
    lines.append(f"[{quoted(name)}]")
    lines += [f"{quoted(key)} = {toml(value)}" for key, value in table.items()]
    text = "\n".join(lines)
    found = toml_lines.index(text)
    assert set(found) == set(paths_of(tomllib.loads(text))) - {()}
    for key in top:
        assert text.split("\n")[found[(key,)] - 1].startswith(f"{quoted(key)} = ")
