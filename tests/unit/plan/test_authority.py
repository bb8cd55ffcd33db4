"""What each grade of token may do: the whole table, written out a second time."""

from __future__ import annotations

from itertools import product

import pytest

from roost.model.access import Token, TokenKind
from roost.plan.authority import (
    HOST,
    RIGHTS,
    Right,
    Target,
    Verdict,
    describe_token,
    judge,
    knows,
    of_org,
    within,
)

APP = Target(org="acme", app="web", app_number=7)
MACHINE = Target(org="acme", app="web", app_number=7, machine="m1")
TARGETS = {
    "host": HOST,
    "org": of_org("acme"),
    "app": APP,
    "machine": MACHINE,
    "other machine": Target(org="acme", app="web", app_number=7, machine="m2"),
    "other app": Target(org="acme", app="db", app_number=8),
    "other app's machine": Target(org="acme", app="db", app_number=8, machine="m1"),
    "later app": Target(org="acme", app="web", app_number=9),
    "later app's machine": Target(org="acme", app="web", app_number=9, machine="m1"),
    "stranger's later app": Target(org="other", app="web", app_number=9),
    "same app elsewhere": Target(org="other", app="web", app_number=7),
    "other org": of_org("other"),
    "other org's app": Target(org="other", app="shop", app_number=3),
}
INSIDE = {
    "operator": set(TARGETS),
    "org": {
        "org",
        "app",
        "machine",
        "other machine",
        "other app",
        "other app's machine",
        "later app",
        "later app's machine",
    },
    "deploy": {"app", "machine", "other machine"},
    "machine": {"machine"},
}
INSIDE["readonly"] = INSIDE["org"]
AROUND = {
    "operator": set(),
    "org": {"host"},
    "readonly": {"host"},
    "deploy": {"host", "org"},
    "machine": {"host", "org", "app"},
}
MAY = {
    "operator": {"any", "look", "run", "change", "admin", "operate"},
    "org": {"any", "look", "run", "change", "admin"},
    "deploy": {"any", "look", "run", "change"},
    "machine": {"any", "look", "run"},
    "readonly": {"any", "look"},
}


def token(grade: str, **more: object) -> Token:
    """A token of a grade on the targets above."""
    scope: dict[str, object] = {
        "operator": {},
        "org": {"org": "acme"},
        "readonly": {"org": "acme"},
        "deploy": {"org": "acme", "app": "web", "app_number": 7},
        "machine": {"org": "acme", "app": "web", "app_number": 7, "machine": "m1"},
    }[grade]  # type: ignore[assignment]
    fields = {"id": "t", "name": "x", "grade": grade, "sha256": "", "created_at": 0}
    return Token.model_validate({**fields, **scope, **more})


def expected(grade: str, right: str, target: str) -> Verdict:
    if right == "any":
        return Verdict.ALLOWED
    if target in INSIDE[grade]:
        return Verdict.ALLOWED if right in MAY[grade] else Verdict.FORBIDDEN
    return Verdict.FORBIDDEN if target in AROUND[grade] else Verdict.HIDDEN


@pytest.mark.parametrize(("grade", "target"), list(product(MAY, TARGETS)))
def test_the_table(grade: str, target: str) -> None:
    """Each grade may do on each target exactly what the table here says."""
    for right in Right:
        verdict = judge(token(grade), right, TARGETS[target])
        assert verdict is expected(grade, str(right), target), right
    known = target in INSIDE[grade] | AROUND[grade]
    assert knows(token(grade), TARGETS[target]) is known


def test_the_table_is_whole() -> None:
    """Every kind of token and every right has its place in it, and everybody who reaches a thing
    may look at it (else a 403 would tell what only LOOK may).
    """
    assert set(RIGHTS) == set(TokenKind)
    assert set(MAY) == {str(grade) for grade in TokenKind}
    assert {right for rights in MAY.values() for right in rights} == {str(r) for r in Right}
    assert all({Right.ANY, Right.LOOK} <= rights for rights in RIGHTS.values())


@pytest.mark.parametrize("grade", ["org", "readonly", "deploy", "machine"])
def test_a_token_without_a_scope_reaches_nothing(grade: str) -> None:
    """A record that lost its scope gives no access, not even to the host."""
    lost = token(grade, org=None, app=None, app_number=None, machine=None)
    for right, target in product(set(Right) - {Right.ANY}, TARGETS.values()):
        assert judge(lost, right, target) is not Verdict.ALLOWED


GREATER = {
    "operator": {"operator", "org", "readonly", "deploy", "machine"},
    "org": {"org", "readonly", "deploy", "machine"},
    "readonly": {"readonly"},
    "deploy": {"deploy", "machine"},
    "machine": {"machine"},
}


@pytest.mark.parametrize(("mine", "asked"), list(product(MAY, MAY)))
def test_no_token_makes_a_greater_one(mine: str, asked: str) -> None:
    """What a token may hand on has no right and no scope that it lacks itself."""
    assert within(token(mine), token(asked)) is (asked in GREATER[mine])


@pytest.mark.parametrize("asked", ["org", "readonly", "deploy", "machine"])
def test_no_token_reaches_into_another_organization(asked: str) -> None:
    """An organization's token hands on nothing of another one."""
    assert not within(token("org"), token(asked, org="other"))


def test_a_token_in_words_is_not_its_text() -> None:
    """Sentences name a token by name, grade and scope."""
    assert describe_token(token("deploy", sha256="abc")) == "'x' (deploy of web)"
    assert describe_token(token("operator")) == "'x' (operator)"
