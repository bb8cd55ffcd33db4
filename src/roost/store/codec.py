"""Records to rows and back: JSON text for the body and for the index pairs.

Pure. Counterpart: `sqlite_writer` writes what `encode` makes, `sqlite` reads with `decode`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from pydantic import ValidationError

from roost.errors import UnavailableError
from roost.store.base import Change, Delete, Put, R


@dataclass(frozen=True, slots=True)
class Row:
    """One change in a form that the writer thread can apply without looking at records.

    `body` is None for a deletion; `indexes` are the pairs the record is listed under.
    """

    kind: str
    key: str
    expect: int | None
    body: str | None = None
    indexes: tuple[tuple[str, str], ...] = ()


def encode(change: Change) -> Row:
    """The row of a change."""
    match change:
        case Put(record=record, expect=expect):
            return Row(
                kind=record.kind,
                key=record.key,
                expect=expect,
                body=record.model_dump_json(),
                indexes=tuple(sorted(record.indexes().items())),
            )
        case Delete(kind=kind, key=key, expect=expect):
            return Row(kind=kind.kind, key=key, expect=expect)


def decode(kind: type[R], key: str, body: str) -> R:
    """The record in a row's body. Raises UnavailableError when the text is damaged."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise UnavailableError(
            f"the stored {kind.kind} {key!r} cannot be read",
            hint="the database is damaged; restore it from a backup",
        ) from error


def encode_indexes(pairs: tuple[tuple[str, str], ...]) -> str:
    """Index pairs as JSON text."""
    return json.dumps(pairs, separators=(",", ":"))


def decode_indexes(text: str) -> set[tuple[str, str]]:
    """Index pairs from JSON text."""
    return {(str(name), str(value)) for name, value in json.loads(text)}
