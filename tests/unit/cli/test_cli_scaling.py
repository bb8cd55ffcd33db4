"""What `scale count` asks for and shows."""

from __future__ import annotations

import pytest

from roost.cli.scaling import asked_counts, plan_lines
from roost.cli.views import machine
from roost.errors import InvalidError
from tests.support.cli import a_machine


def test_words_become_counts() -> None:
    """A bare number is for the default group, NAME=NUMBER for another one."""
    assert {"app": "+1", "web": "2"} == asked_counts(["+1", "web=2"], group="app")


@pytest.mark.parametrize("word", ["x", "1.5", "web=", "=2", "--1"])
def test_malformed_words_are_refused(word: str) -> None:
    """Everything else is an error that shows the forms."""
    with pytest.raises(InvalidError, match="such as 3"):
        asked_counts([word], group="app")


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ("3", "+1 machine for group 'app' on region 'local' with size 'shared-cpu-1x:256MB'"),
        ("0", "-2 machines for group 'app' on region 'local' with size 'shared-cpu-1x:256MB'"),
        ("-1", "-1 machine for group 'app' on region 'local' with size 'shared-cpu-1x:256MB'"),
    ],
)
def test_the_plan_says_what_changes(asked: str, line: str) -> None:
    """One line for each group, with region and size of its Machines."""
    machines = [machine(a_machine("a")), machine(a_machine("b", "stopped"))]
    assert [line] == plan_lines({"app": asked}, machines)


def test_no_change_is_no_plan() -> None:
    """The number that is there needs no question; Machines that are going do not count."""
    machines = [machine(a_machine("a")), machine(a_machine("b", "destroyed"))]
    assert [] == plan_lines({"app": "1"}, machines)
    assert ["+1 machine for group 'new'"] == plan_lines({"new": "1"}, machines)
