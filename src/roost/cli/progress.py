"""Saying that something is going on: a spinner on a terminal, plain lines elsewhere.

Everything here goes to standard error; with `--json` nothing is said.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from roost.cli.output import note
from roost.cli.session import current

if TYPE_CHECKING:
    from rich.status import Status


@contextmanager
def working(text: str) -> Iterator[None]:
    """Show that `text` is under way while the block runs."""
    with steps() as shown:
        shown.step(text)
        yield


@contextmanager
def steps() -> Iterator[Steps]:
    """Show steps one after the other; the last one is under way until the block ends."""
    if current().json or not sys.stderr.isatty():
        yield Steps(None)
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield Steps(status)


class Steps:
    """Where steps are shown."""

    def __init__(self, status: Status | None) -> None:
        self._status = status

    def step(self, text: str) -> None:
        """Say what is under way now."""
        if self._status is not None:
            from rich.text import Text

            self._status.update(Text(text))
        elif not current().json:
            note(f"{text}..." if text[-1:].isalnum() else text)

    def say(self, text: str) -> None:
        """Say something that stays."""
        if self._status is not None:
            from rich.text import Text

            self._status.console.print(Text(text))
        elif not current().json:
            note(text)
