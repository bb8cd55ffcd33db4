"""NAME=VALUE arguments and files of them."""

from __future__ import annotations

import pytest

from roost.cli.guest import guest
from roost.cli.names import generated_name, name_from_folder
from roost.cli.pairs import import_lines, pairs
from roost.errors import InvalidError
from roost.model.ids import app_name


def test_values_may_hold_anything() -> None:
    """Only the first = separates."""
    assert {"A": "b=c", "EMPTY": ""} == pairs(["A=b=c", "EMPTY="], "secret")


def test_a_wrong_pair_does_not_repeat_the_value() -> None:
    """What may be a secret never shows up in an error."""
    with pytest.raises(InvalidError) as caught:
        pairs(["bad name=hunter2"], "secret")
    assert "hunter2" not in str(caught.value)


def test_import_understands_dotenv() -> None:
    """Comments, export, quotes and triple quotes."""
    text = '# c\nexport A=1\nB="two words"\nC=\'x\'\nKEY="""first\nsecond"""\n\nD=a#b\n'
    expected = {"A": "1", "B": "two words", "C": "x", "KEY": "first\nsecond", "D": "a#b"}
    assert expected == import_lines(text)


def test_import_names_the_line() -> None:
    """A malformed line is named by its number, and so is an open text."""
    with pytest.raises(InvalidError, match="line 2"):
        import_lines("A=1\nnonsense\n")
    with pytest.raises(InvalidError, match="line 1"):
        import_lines('A="""never ends\n')


def test_sizes() -> None:
    """A preset lies under the single flags; memory follows the CPUs when it is not given."""
    whole = guest(size="performance-2x", cpus=None, cpu_kind=None, memory=None)
    assert ("performance", 2, 4096) == (whole.cpu_kind, whole.cpus, whole.memory_mb)
    mixed = guest(size="shared-cpu-2x", cpus=4, cpu_kind=None, memory="1gb")
    assert ("shared", 4, 1024) == (mixed.cpu_kind, mixed.cpus, mixed.memory_mb)


@pytest.mark.parametrize("size", ["huge", "shared-cpu-0x", "shared-cpu-99x"])
def test_unknown_sizes_are_refused(size: str) -> None:
    """The error says where the sizes are listed."""
    with pytest.raises(InvalidError, match="vm-sizes"):
        guest(size=size, cpus=None, cpu_kind=None, memory=None)


def test_made_up_names_are_valid() -> None:
    """What --generate-name makes passes the check of app names."""
    assert generated_name() == app_name(generated_name()) or generated_name()
    for _ in range(50):
        app_name(generated_name())


@pytest.mark.parametrize(
    ("folder", "name"),
    [("My App_2", "my-app-2"), ("--x--", "x"), ("日本", None), ("a" * 99, "a" * 63)],
)
def test_names_of_folders(folder: str, name: str | None) -> None:
    """A folder's name becomes a valid app name, or nothing."""
    assert name == name_from_folder(folder)
