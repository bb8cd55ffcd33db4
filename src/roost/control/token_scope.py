"""What a new token is good for: exactly what its kind needs is named, and all of it exists."""

from __future__ import annotations

from dataclasses import dataclass

from roost.control.app_lookup import app_not_found, get_app
from roost.control.edit import machine_not_found
from roost.control.orgs import org_not_found
from roost.errors import InvalidError, PreconditionError
from roost.model.access import TokenKind
from roost.model.machine_state import MachineState
from roost.model.records import App, Machine, Org
from roost.store.base import Store

MAX_NAME = 128
LIFE_MS = 175_200 * 3_600_000
"""How long a token lives unless told: 20 years, as Fly's."""

NEEDS = {
    TokenKind.OPERATOR: set[str](),
    TokenKind.ORG: {"org"},
    TokenKind.READONLY: {"org"},
    TokenKind.DEPLOY: {"org", "app"},
    TokenKind.MACHINE: {"org", "app", "machine"},
}
"""What a token of a kind is made for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """What a token shall be good for, and for how long."""

    grade: TokenKind
    name: str = ""
    org: str = ""
    app: str = ""
    machine: str = ""
    life_ms: int = LIFE_MS


def name_of(new: NewToken) -> str:
    """The name, else one that says the kind. Raises InvalidError."""
    name = " ".join(new.name.split()) or f"{new.grade} token"
    if len(name) > MAX_NAME or not name.isprintable():
        raise InvalidError(f"a token's name has at most {MAX_NAME} printable characters")
    return name


def scope_of(store: Store, new: NewToken) -> dict[str, str | int]:
    """The token's fields that say on what.

    Raises InvalidError (too much or too little is named), NotFoundError (organization, app,
    Machine), PreconditionError (the organization is being deleted).
    """
    needed = NEEDS[new.grade]
    if {name for name in ("org", "app", "machine") if getattr(new, name)} != needed:
        words = " and ".join(sorted(needed, reverse=True)) or "no organization, app or machine"
        raise InvalidError(f"a token of kind {new.grade} is made for {words}")
    if not needed:
        return {}
    open_org(store, new.org)
    if "app" not in needed:
        return {"org": new.org}
    app = get_app(store, new.app)
    if app.org != new.org:
        raise app_not_found(new.app)
    scope: dict[str, str | int] = {"org": app.org, "app": app.name, "app_number": app.number}
    return scope | ({"machine": _living(store, app, new.machine)} if "machine" in needed else {})


def open_org(store: Store, slug: str) -> None:
    """Raises NotFoundError, or PreconditionError while the organization is being deleted."""
    stored = store.get(Org, slug)
    if stored is None:
        raise org_not_found(slug)
    if stored.record.closed:
        raise PreconditionError(f"organization {slug!r} is being deleted")


def ended(machine: Machine) -> bool:
    """Whether a Machine is no more; its record stays for a while."""
    return machine.state is MachineState.DESTROYED


def _living(store: Store, app: App, machine_id: str) -> str:
    stored = store.get(Machine, machine_id)
    if stored is None or stored.record.app != app.name or ended(stored.record):
        raise machine_not_found(machine_id)
    return machine_id
