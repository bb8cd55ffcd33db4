"""Tokens (Roost's own): an organization's by its administrators, operators' by operators.

The text of a token is in the answer that makes it and nowhere else.
"""

from __future__ import annotations

from fastapi import APIRouter

from roost.api.bodies import OperatorTokenBody, TokenBody
from roost.api.caller import CallerDep
from roost.api.needs import needs
from roost.api.parts import PartsDep
from roost.api.views import Json, token_view
from roost.control.token_scope import LIFE_MS, NewToken
from roost.control.tokens import Made
from roost.model.access import TokenKind
from roost.plan.authority import Right
from roost.spec import lifetimes

router = APIRouter(tags=["tokens"])


@router.get("/orgs/{org}/tokens", dependencies=needs(Right.ADMIN))
async def list_tokens(parts: PartsDep, org: str) -> Json:
    """List an organization's tokens, those that ended included; never their texts."""
    parts.control.orgs.get(org)
    return {"tokens": [token_view(token) for token in parts.control.tokens.list(org)]}


@router.post("/orgs/{org}/tokens", status_code=201, dependencies=needs(Right.ADMIN))
async def create_token(parts: PartsDep, caller: CallerDep, org: str, body: TokenBody) -> Json:
    """Make a token. `token` is its text: shown now and never again."""
    new = NewToken(
        grade=TokenKind(body.kind),
        name=body.name,
        org=org,
        app=body.app,
        machine=body.machine,
        life_ms=_life(body.expiry),
    )
    return _shown(await parts.control.tokens.create(new, by=caller.token))


@router.delete("/orgs/{org}/tokens/{token_id}", dependencies=needs(Right.ADMIN))
async def revoke_token(parts: PartsDep, org: str, token_id: str) -> Json:
    """End a token of an organization at once; it stays listed."""
    parts.control.orgs.get(org)
    return token_view(await parts.control.tokens.revoke(org, token_id))


@router.get("/tokens", dependencies=needs(Right.OPERATE))
async def list_operators(parts: PartsDep) -> Json:
    """List the operators' tokens."""
    return {"tokens": [token_view(token) for token in parts.control.tokens.list(None)]}


@router.post("/tokens", status_code=201, dependencies=needs(Right.OPERATE))
async def create_operator(parts: PartsDep, caller: CallerDep, body: OperatorTokenBody) -> Json:
    """Make an operator's token. `token` is its text: shown now and never again."""
    new = NewToken(grade=TokenKind.OPERATOR, name=body.name, life_ms=_life(body.expiry))
    return _shown(await parts.control.tokens.create(new, by=caller.token))


@router.delete("/tokens/{token_id}", dependencies=needs(Right.OPERATE))
async def revoke_operator(parts: PartsDep, token_id: str) -> Json:
    """End an operator's token at once; 412 for the last one that is valid."""
    return token_view(await parts.control.tokens.revoke(None, token_id))


def _life(expiry: str | None) -> int:
    return lifetimes.milliseconds(expiry) if expiry else LIFE_MS


def _shown(made: Made) -> Json:
    return {**token_view(made.token), "token": made.text}
