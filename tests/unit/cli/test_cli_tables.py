"""Tables and blocks on standard output."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost.cli.output import confirm, table_lines
from roost.errors import InvalidError


def test_columns_are_padded_and_cut_by_tabs() -> None:
    """Headers are upper-case, cells padded to one width, columns separated by one tab."""
    lines = table_lines(["Name", "Status"], [["a", "deployed"], ["longer", 3]])
    assert ["NAME  \tSTATUS", "a     \tdeployed", "longer\t3"] == lines


def test_empty_cells_are_dashes() -> None:
    """An empty cell keeps its place, so that awk counts the same columns in every row."""
    assert "-\tx\t-" == table_lines(["A", "B", "C"], [["", "x", None]])[1].replace(" ", "")


def test_line_breaks_in_cells_do_not_break_rows() -> None:
    """A row is one line, whatever the cell holds."""
    assert 2 == len(table_lines(["A"], [["one\ntwo\tthree"]]))


def test_nobody_is_asked_where_nobody_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a terminal a question is an error that names --yes."""
    with Path("/dev/null").open() as null:
        monkeypatch.setattr("sys.stdin", null)
        with pytest.raises(InvalidError, match="--yes"):
            confirm("Destroy?", yes=False)


def test_yes_asks_nothing() -> None:
    """--yes is the answer."""
    assert confirm("Destroy?", yes=True)
