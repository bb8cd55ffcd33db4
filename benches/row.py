"""One line of the table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A figure; `limit` is the one to reach."""

    what: str
    value: float
    p99: float | None = None
    limit: float | None = None
    unit: str = "ms"

    def text(self) -> str:
        """As printed."""
        tail = f"{self.p99:10.2f}" if self.p99 is not None else " " * 10
        if self.limit is None:
            return f"{self.what:<58}{self.value:10.2f}{tail} {self.unit:<6}"
        verdict = "ok" if self.value <= self.limit else "MISSED"
        return f"{self.what:<58}{self.value:10.2f}{tail} {self.unit:<6} <= {self.limit:g} {verdict}"
