"""The one sentence for a change whose expectation does not hold."""

from __future__ import annotations

from roost.errors import ConflictError


def conflict(kind: str, key: str, expect: int, found: int) -> ConflictError:
    """The error of a compare-and-set that failed (`found` 0: there is no such record)."""
    if expect == 0:
        return ConflictError(f"{kind} {key!r} exists already", code="exists")
    if found == 0:
        return ConflictError(f"{kind} {key!r} is gone", code="gone")
    return ConflictError(f"{kind} {key!r} was changed meanwhile")
