"""What each grade of token may do: one table, one judgement. Pure.

A right is asked for on a target: the host itself, an organization, an app or a Machine. A token
reaches what is *inside* its scope, knows of what is *around* it (its app's organization, its
Machine's app), and knows nothing of what is *outside*. Asked about something outside, the API
answers as if it did not exist, so that names cannot be found out by trying.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from roost.model.access import Token, TokenKind
from roost.model.records import App


class Right(StrEnum):
    """What can be needed of a token."""

    ANY = "any"
    """To be a valid token."""
    LOOK = "look"
    """Read."""
    RUN = "run"
    """Start, stop, signal, lease Machines and run commands in them."""
    CHANGE = "change"
    """Make, change and end what an app has."""
    ADMIN = "admin"
    """Make and destroy apps, tokens and what else an organization has; read its audit log."""
    OPERATE = "operate"
    """Whatever concerns more than one organization, or the host."""


class Verdict(StrEnum):
    """The answer to a question of authority."""

    ALLOWED = "allowed"
    FORBIDDEN = "forbidden"
    """The token knows of the thing, but may not do this."""
    HIDDEN = "hidden"
    """The token may not even know of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """On what a right is asked for: with nothing set the host itself, else what is named most
    closely. An app comes with its organization and number, a Machine with its app.
    """

    org: str = ""
    app: str = ""
    app_number: int = 0
    machine: str = ""


HOST = Target()

RIGHTS: Mapping[TokenKind, frozenset[Right]] = {
    TokenKind.OPERATOR: frozenset(Right),
    TokenKind.ORG: frozenset(Right) - {Right.OPERATE},
    TokenKind.DEPLOY: frozenset({Right.ANY, Right.LOOK, Right.RUN, Right.CHANGE}),
    TokenKind.MACHINE: frozenset({Right.ANY, Right.LOOK, Right.RUN}),
    TokenKind.READONLY: frozenset({Right.ANY, Right.LOOK}),
}
"""What a token of a grade may do inside its scope."""


class _Where(StrEnum):
    INSIDE = "inside"
    AROUND = "around"
    OUTSIDE = "outside"


def of_org(slug: str) -> Target:
    """An organization."""
    return Target(org=slug)


def of_app(app: App) -> Target:
    """An app."""
    return Target(org=app.org, app=app.name, app_number=app.number)


def of_machine(app: App, machine_id: str) -> Target:
    """A Machine of an app."""
    return Target(org=app.org, app=app.name, app_number=app.number, machine=machine_id)


def judge(token: Token, right: Right, target: Target) -> Verdict:
    """Whether a (valid) token may do this to the target."""
    if right is Right.ANY:
        return Verdict.ALLOWED
    where = _where(token, target)
    match where:
        case _Where.INSIDE if right in RIGHTS[token.grade]:
            return Verdict.ALLOWED
        case _Where.INSIDE | _Where.AROUND:
            return Verdict.FORBIDDEN
        case _Where.OUTSIDE:
            return Verdict.HIDDEN
        case _:
            assert_never(where)


def knows(token: Token, target: Target) -> bool:
    """Whether the token may know that the target exists."""
    return _where(token, target) is not _Where.OUTSIDE


def within(token: Token, other: Token) -> bool:
    """Whether `other` may do nothing that `token` may not: no token makes a greater one."""
    scope = Target(
        org=other.org or "",
        app=other.app or "",
        app_number=other.app_number or 0,
        machine=other.machine or "",
    )
    inside = _where(token, scope) is _Where.INSIDE
    return inside and RIGHTS[other.grade] <= RIGHTS[token.grade]


def describe(target: Target) -> str:
    """The target in words."""
    if target.machine:
        return f"machine {target.machine}"
    if target.app:
        return f'app "{target.app}"'
    return f"organization {target.org!r}" if target.org else "this Roost"


def describe_token(token: Token) -> str:
    """A token in words: its name, grade and scope, never its text."""
    scope = token.machine or token.app or token.org
    return f"{token.name!r} ({token.grade}{f' of {scope}' if scope else ''})"


def grades_with(right: Right) -> str:
    """The grades that have a right, in words."""
    return " or ".join(str(grade) for grade in TokenKind if right in RIGHTS[grade])


def _where(token: Token, target: Target) -> _Where:
    grade = token.grade
    match grade:
        case TokenKind.OPERATOR:
            return _Where.INSIDE
        case _ if target == HOST:
            # Everybody who talks to it knows that it is there.
            return _Where.AROUND
        case TokenKind.ORG | TokenKind.READONLY:
            return _Where.INSIDE if target.org == token.org else _Where.OUTSIDE
        case TokenKind.DEPLOY:
            return _Where.INSIDE if _same_app(token, target) else _around(token, target)
        case TokenKind.MACHINE:
            own = _same_app(token, target) and target.machine == token.machine
            return _Where.INSIDE if own else _around(token, target)
        case _:
            assert_never(grade)


def _same_app(token: Token, target: Target) -> bool:
    """The number too: a later app of the same name is another one."""
    mine = (token.org, token.app, token.app_number)
    return bool(token.app) and mine == (target.org, target.app, target.app_number)


def _around(token: Token, target: Target) -> _Where:
    """Its organization, and for a Machine's token the Machine's app: by name, not what is in it."""
    whole_org = not target.app and target.org == token.org
    whole_app = not target.machine and _same_app(token, target)
    return _Where.AROUND if whole_org or whole_app else _Where.OUTSIDE
