"""The keys of fly.toml, read off the models, to name the one that was probably meant."""

from __future__ import annotations

import types
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from roost.spec import suggest
from roost.spec.app_config import AppConfig
from roost.spec.toml_lines import Path


def hint(path: Path) -> str:
    """What to write instead of the unknown key at the end of `path`."""
    *table, word = path
    known = _keys_of(tuple(table))
    text = str(word)
    elsewhere = [home for home in _homes().get(text, ()) if home]
    near = suggest.nearest(text, known)
    if elsewhere and text not in known and not (near and _same_letters(near, text)):
        return f"`{text}` belongs in {' or '.join(sorted(elsewhere)[:3])}"
    if near:
        return f"did you mean `{near}`?"
    return f"known keys here: {', '.join(sorted(known))}" if known else "remove it"


def known_paths() -> set[str]:
    """Every key that any table of fly.toml may have."""
    return set(_fields(AppConfig)) | set(_homes())


def tables_of_keys() -> dict[str, list[str]]:
    """Each key with the tables that may have it ("" is the top of the file)."""
    found: dict[str, list[str]] = {key: [""] for key in _fields(AppConfig)}
    for key, tables in _homes().items():
        found[key] = [*found.get(key, []), *(table for table in tables if table)]
    return found


def _same_letters(one: str, other: str) -> bool:
    return sorted(one) == sorted(other)


def _keys_of(table: Path) -> set[str]:
    model: Any = AppConfig
    for part in table:
        model = _step(model, part)
        if model is None:
            return set()
    return set(_fields(model)) if _is_model(model) else set()


def _step(kind: Any, part: str | int) -> Any:
    """The type found under a key or an index of a type; None when there is none."""
    if _is_model(kind):
        return _fields(kind).get(str(part))
    if get_origin(kind) in {dict, tuple}:
        arguments = get_args(kind)
        return _bare(arguments[1] if get_origin(kind) is dict else arguments[0])
    return None


@cache
def _homes() -> dict[str, list[str]]:
    """Key → the headers of the tables that have it."""
    homes: dict[str, list[str]] = {}
    for header, model in _tables(AppConfig, ""):
        for key in _fields(model):
            homes.setdefault(key, []).append(header)
    return homes


def _tables(model: type[BaseModel], name: str) -> Iterator[tuple[str, type[BaseModel]]]:
    for key, kind in _fields(model).items():
        path = f"{name}.{key}" if name else key
        if _is_model(kind):
            yield f"[{path}]", kind
            yield from _tables(kind, path)
        elif get_origin(kind) in {dict, tuple}:
            many = get_origin(kind) is tuple
            inner = _step(kind, 0)
            if _is_model(inner):
                yield (f"[[{path}]]" if many else f"[{path}.NAME]"), inner
                yield from _tables(inner, path)


def _fields(model: type[BaseModel]) -> dict[str, Any]:
    return {info.alias or name: _bare(info.annotation) for name, info in model.model_fields.items()}


def _bare(kind: Any) -> Any:
    """A type without Annotated and without `| None`."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif get_origin(kind) in {Union, types.UnionType}:
            inner = [one for one in get_args(kind) if one is not type(None)]
            if len(inner) != 1:
                return None
            kind = inner[0]
        else:
            return kind


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
