"""Who calls, and what they may do: what a route asks when its target is not in its path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from roost.api.auth import TokenDep, source_of
from roost.control.app_lookup import app_not_found
from roost.control.edit import machine_not_found
from roost.control.orgs import org_not_found
from roost.errors import ForbiddenError, RoostError
from roost.model.access import Token
from roost.plan import authority
from roost.plan.authority import Right, Target, Verdict


@dataclass(frozen=True, slots=True)
class Caller:
    """A valid token and where its call came from (an address, or `socket`)."""

    token: Token
    source: str

    @property
    def party(self) -> str:
        """Who it is in the eyes of other organizations, which do not see the names of tokens."""
        return "operator" if self.token.org is None else f"organization {self.token.org}"

    def may(self, right: Right, target: Target) -> bool:
        """Whether the token may do this."""
        return authority.judge(self.token, right, target) is Verdict.ALLOWED

    def must(self, right: Right, target: Target) -> None:
        """Raises ForbiddenError, or the NotFoundError of an unknown thing where even knowing of
        it would be too much.
        """
        match authority.judge(self.token, right, target):
            case Verdict.ALLOWED:
                return
            case Verdict.FORBIDDEN:
                raise self._forbidden(right, target)
            case Verdict.HIDDEN:
                raise self._unknown(target)

    def must_know(self, target: Target) -> None:
        """Raises NotFoundError when the token may not know of the target."""
        if not authority.knows(self.token, target):
            raise self._unknown(target)

    def _forbidden(self, right: Right, target: Target) -> ForbiddenError:
        return ForbiddenError(
            f"this needs the right {right} on {authority.describe(target)}, which token "
            f"{authority.describe_token(self.token)} has not",
            hint=f"use a token of kind {authority.grades_with(right)} that covers it "
            "(`roost tokens create`)",
        )

    def _unknown(self, target: Target) -> RoostError:
        """The sentence of the outermost thing that the token does not know of."""
        org = authority.of_org(target.org)
        app = Target(org=target.org, app=target.app, app_number=target.app_number)
        if target.machine and authority.knows(self.token, app):
            return machine_not_found(target.machine)
        return app_not_found(target.app) if target.app else org_not_found(org.org)


async def _caller(connection: HTTPConnection, token: TokenDep) -> Caller:
    return Caller(token, source_of(connection))


CallerDep = Annotated[Caller, Depends(_caller)]
"""A route's parameter that gets the caller."""
