"""Reading the ends of growing files, through rotation and truncation. Blocks on the disk."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

PIECE = 1024 * 1024
"""Bytes read at a time."""


@dataclass(slots=True)
class FileTail:
    """A place in a file: everything before it was read. Complete lines only."""

    path: Path
    inode: int = 0
    offset: int = 0

    def last(self, limit: int, max_bytes: int) -> list[str]:
        """The last `limit` lines, from at most `max_bytes` bytes; the place is behind them."""
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                self.inode = status.st_ino
                start = max(0, status.st_size - max_bytes)
                file.seek(start)
                data = file.read(status.st_size - start)
        except OSError:
            return []
        end = data.rfind(b"\n") + 1
        self.offset = start + end
        lines = data[:end].split(b"\n")[:-1]
        if start and lines:
            del lines[0]  # Cut in the middle.
        return [_text(line) for line in lines[-limit:]] if limit > 0 else []

    def more(self) -> list[str]:
        """Lines written since, at most a piece; an older file that was moved aside comes first."""
        try:
            file = self.path.open("rb")
        except OSError:
            return []
        with file:
            status = os.fstat(file.fileno())
            lines: list[str] = []
            if self.inode not in (0, status.st_ino):
                lines = self._rest_of_rotated()
                self.offset = 0
            elif status.st_size < self.offset:
                self.offset = 0
            self.inode = status.st_ino
            return lines + self._read(file)

    def _rest_of_rotated(self) -> list[str]:
        try:
            with self.path.with_name(self.path.name + ".1").open("rb") as file:
                if os.fstat(file.fileno()).st_ino == self.inode:
                    return self._read(file)
        except OSError:
            pass
        return []

    def _read(self, file: BinaryIO) -> list[str]:
        file.seek(self.offset)
        data = file.read(PIECE)
        end = data.rfind(b"\n") + 1
        if not end and len(data) == PIECE:
            end = len(data)  # One line longer than a piece: pass it on cut.
        self.offset += end
        return [_text(line) for line in data[:end].split(b"\n") if line]


def _text(line: bytes) -> str:
    return line.decode(errors="replace")
