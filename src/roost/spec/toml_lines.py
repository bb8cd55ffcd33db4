"""Where the keys of a TOML document are: path → line.

`tomllib` reads values and forgets their places, so this scans the same text a second time. It may
trust the text: only a document that tomllib accepted comes here. A path is the keys and list
indexes that lead to a value, `("services", 0, "ports", 1, "port")`; tables that exist only as a
part of a header or of a dotted key get the line where they are first named.
"""

from __future__ import annotations

import re
import tomllib

Path = tuple[str | int, ...]

_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BLANK = re.compile(r"[ \t]*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})'
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_BARE = re.compile(r"[^,\]}#\n]*")


def index(text: str) -> dict[Path, int]:
    """Line (from 1) of every key, table and list element of a valid TOML document."""
    return _Scanner(text).document()


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.line = 1
        self.lines: dict[Path, int] = {}
        self.lengths: dict[Path, int] = {}
        """Number of elements so far of each array of tables."""

    def document(self) -> dict[Path, int]:
        table: Path = ()
        self.skip(_SPACE)
        while self.at < len(self.text):
            if self.text.startswith("[", self.at):
                table = self.header()
            else:
                self.pair(table)
            self.skip(_SPACE)
        return self.lines

    def skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        found = match.group() if match else ""
        self.at += len(found)
        self.line += found.count("\n")
        return found

    def header(self) -> Path:
        many = self.text.startswith("[[", self.at)
        self.at += 2 if many else 1
        names = self.names()
        self.at += 2 if many else 1
        path: Path = ()
        for position, name in enumerate(names):
            path = (*path, name)
            self.note(path)
            last = position == len(names) - 1
            if many and last:
                self.lengths[path] = self.lengths.get(path, 0) + 1
            if path in self.lengths:
                path = (*path, self.lengths[path] - 1)
                self.note(path)
        # A header is a better place for its table than the longer header that named it first.
        self.lines[path] = self.line
        return path

    def pair(self, table: Path) -> None:
        path = table
        for name in self.names():
            path = (*path, name)
            self.note(path)
        self.at += 1  # the "="
        self.skip(_BLANK)
        self.value(path)

    def names(self) -> list[str]:
        found = []
        while True:
            self.skip(_BLANK)
            found.append(_unquote(self.skip(_KEY)))
            self.skip(_BLANK)
            if not self.text.startswith(".", self.at):
                return found
            self.at += 1

    def value(self, path: Path) -> None:
        match self.text[self.at : self.at + 1]:
            case "[":
                self.array(path)
            case "{":
                self.inline_table(path)
            case '"' | "'":
                self.skip(_STRING)
            case _:
                self.skip(_BARE)

    def array(self, path: Path) -> None:
        self.at += 1
        position = 0
        while not self.closes("]"):
            self.note((*path, position))
            self.value((*path, position))
            position += 1

    def inline_table(self, path: Path) -> None:
        self.at += 1
        while not self.closes("}"):
            self.pair(path)

    def closes(self, bracket: str) -> bool:
        """Step over space and a comma; True (and over it) when the bracket is next."""
        self.skip(_SPACE)
        if self.text.startswith(",", self.at):
            self.at += 1
            self.skip(_SPACE)
        if self.at >= len(self.text) or self.text.startswith(bracket, self.at):
            self.at += 1
            return True
        return False

    def note(self, path: Path) -> None:
        self.lines.setdefault(path, self.line)


def _unquote(raw: str) -> str:
    if not raw.startswith(('"', "'")):
        return raw
    return next(iter(tomllib.loads(f"{raw} = 0")))
