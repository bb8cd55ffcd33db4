"""What goes to standard output and to standard error.

Results (tables, values, JSON) go to standard output and nothing else does; notes, questions and
progress go to standard error. Tables have no frames: columns are padded and separated by a tab,
empty cells are `-`, so that they can be read, and cut with awk or cut.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from roost.cli.session import current
from roost.errors import InvalidError

Cell = str | int | None
T = TypeVar("T")


def table_lines(headers: Sequence[str], rows: Iterable[Sequence[Cell]]) -> list[str]:
    """The lines of a table: an upper-case header, then the rows, in the order given."""
    body = [[_cell(cell) for cell in row] for row in rows]
    grid = [[header.upper() for header in headers], *body]
    widths = [max(len(row[column]) for row in grid) for column in range(len(headers))]
    return [
        "\t".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in grid
    ]


def _cell(value: Cell) -> str:
    text = "" if value is None else str(value)
    return " ".join(text.split()) or "-"


def line(text: str = "") -> None:
    """Print one line on standard output."""
    sys.stdout.write(f"{text}\n")


def note(text: str) -> None:
    """Print one line on standard error."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def warn(text: str) -> None:
    """Print a warning on standard error."""
    note(f"Warning: {text}")


def print_json(value: object) -> None:
    """Print a value as indented JSON, keys in the order given."""
    line(json.dumps(value, indent=2, ensure_ascii=False))


def print_json_line(value: object) -> None:
    """Print a value as one line of JSON, at once."""
    line(json.dumps(value, ensure_ascii=False))
    sys.stdout.flush()


def show(value: object, human: Callable[[], None]) -> None:
    """Print the value as JSON when `--json` was given, else call `human`."""
    if current().json:
        print_json(value)
    else:
        human()


def print_lines(texts: Iterable[str]) -> None:
    """Print lines on standard output."""
    for text in texts:
        line(text)


def print_table(headers: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Print a table on standard output."""
    print_lines(table_lines(headers, rows))


def without_empty(
    headers: Sequence[str], rows: Sequence[Sequence[Cell]], column: str
) -> tuple[list[str], list[list[Cell]]]:
    """Headers and rows, without the named column when no row has anything in it."""
    at = list(headers).index(column)
    if any(row[at] for row in rows):
        return list(headers), [list(row) for row in rows]
    return _cut(headers, at), [_cut(row, at) for row in rows]


def _cut(items: Sequence[T], at: int) -> list[T]:
    return [*items[:at], *items[at + 1 :]]


def print_block(title: str, pairs: Iterable[tuple[str, Cell]]) -> None:
    """Print a title and `name = value` lines below it, names padded to one width."""
    known = [(name, _cell(value)) for name, value in pairs]
    width = max(len(name) for name, _ in known)
    line(title)
    for name, value in known:
        line(f"  {name.ljust(width)} = {value}")
    line()


def confirm(question: str, *, yes: bool) -> bool:
    """Ask on the terminal; True at once with `--yes`.

    Raises InvalidError where nobody can be asked (standard input or error is no terminal).
    """
    if yes:
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InvalidError(f"{question} Nobody can be asked here", hint="pass --yes")
    import typer

    return typer.confirm(question, default=False, err=True)
