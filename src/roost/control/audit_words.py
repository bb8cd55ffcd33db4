"""What a commit changes, in words, sorted by whose it is. Reads the store; never shows a value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from roost.model.access import AuditEntry, Token
from roost.model.certificates import Authority, Certificate, IssuedCertificate
from roost.model.grants import Grant
from roost.model.records import (
    Address,
    App,
    Counter,
    Machine,
    Network,
    Org,
    Record,
    Release,
    Secret,
)
from roost.plan.authority import describe_token
from roost.store.base import Change, Delete, Put, Store

_SILENT = (Counter, AuditEntry, IssuedCertificate)


@dataclass(frozen=True, slots=True)
class Told:
    """Changes to one organization's things ("" for none); `app` when they are of one app."""

    org: str
    app: str
    changes: tuple[str, ...]


def tell(store: Store, changes: Iterable[Change]) -> Sequence[Told]:
    """The changes of a commit that is about to be made, for each organization."""
    words: dict[str, list[str]] = {}
    apps: dict[str, set[str]] = {}
    for change in changes:
        found = _told(store, change)
        if found is None:
            continue
        verb, record = found
        for org in _owners(store, record):
            words.setdefault(org, []).append(f"{verb} {_name(record)}")
            apps.setdefault(org, set()).add(_app(record))
    return [Told(org, _only(apps[org]), tuple(texts)) for org, texts in words.items()]


def _told(store: Store, change: Change) -> tuple[str, Record] | None:
    """What happens, and to which record; None when nothing does that somebody wants to know."""
    match change:
        case Put(record=record) if isinstance(record, _SILENT):
            return None
        case Put(record=record):
            before = store.get(type(record), record.key)
            if before is None:
                return "create", record
            return None if _same(before.record, record) else ("change", record)
        case Delete(kind=kind) if issubclass(kind, _SILENT):
            return None
        case Delete(kind=kind, key=key):
            gone = store.get(kind, key)
            return ("delete", gone.record) if gone else None


def _same(before: Record, after: Record) -> bool:
    """Whether nothing is changed: a lease only says who is about to."""
    if isinstance(before, Machine) and isinstance(after, Machine):
        return before.model_copy(update={"lease": after.lease}) == after
    return before == after


def _name(record: Record) -> str:
    """A record's kind and key, and for a token what it is, as its id says nothing."""
    more = f" {describe_token(record)}" if isinstance(record, Token) else ""
    return f"{record.kind} {record.key}{more}"


def _owners(store: Store, record: Record) -> tuple[str, ...]:
    """The organizations whose thing a record is; an address on another's network has two."""
    match record:
        case Org():
            return (record.slug,)
        case App() | Network() | Token() | Authority():
            return (record.org or "",)
        case Grant():
            return tuple(dict.fromkeys((record.app_org, record.org)))
        case Address():
            return tuple(dict.fromkeys((_org_of_app(store, record.app), record.org)))
        case Machine() | Secret() | Release() | Certificate():
            return (_org_of_app(store, record.app),)
        case _:
            return ("",)


def _org_of_app(store: Store, name: str) -> str:
    stored = store.get(App, name)
    return stored.record.org if stored else ""


def _app(record: Record) -> str:
    match record:
        case App():
            return record.name
        case Machine() | Secret() | Release() | Address() | Grant() | Certificate():
            return record.app
        case Token():
            return record.app or ""
        case _:
            return ""


def _only(names: set[str]) -> str:
    return next(iter(names)) if len(names) == 1 else ""
