"""What the flags that every command shares were set to: which API, which token, JSON or text.

Set by `roost.cli.command` before a command's body runs, read by the client and the output.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The shared flags of this call; `None` and False mean not given."""

    api: str | None = None
    token: str | None = None
    json: bool = False
    verbose: bool = False

    def merged(self, *, api: str | None, token: str | None, json: bool, verbose: bool) -> Session:
        """The same with the given flags laid over it (flags before and after the command)."""
        return replace(
            self,
            api=api or self.api,
            token=token or self.token,
            json=json or self.json,
            verbose=verbose or self.verbose,
        )


_current: ContextVar[Session] = ContextVar("session", default=Session())  # noqa: B039 - frozen


def current() -> Session:
    """The session of the running command."""
    return _current.get()


def set_current(session: Session) -> None:
    """Make this the session of the running command."""
    _current.set(session)


@dataclass(frozen=True, slots=True)
class Token:
    """A token and where it came from, so that a refused one can be named."""

    text: str
    origin: str


TOKEN_VARIABLES = ("ROOST_ACCESS_TOKEN", "FLY_ACCESS_TOKEN", "FLY_API_TOKEN")
URL_VARIABLES = ("ROOST_API_URL", "FLY_FLAPS_BASE_URL")


def given_token(session: Session, environ: Mapping[str, str]) -> Token | None:
    """The token of `-t`, else of the environment; None when the home's file is to be used."""
    if session.token:
        return Token(session.token, "--access-token")
    for name in TOKEN_VARIABLES:
        if text := environ.get(name, "").strip():
            return Token(text, name)
    return None


def given_url(session: Session, environ: Mapping[str, str]) -> str | None:
    """The API's URL of `--api`, else of the environment; None for the home's Unix socket."""
    if session.api:
        return session.api
    for name in URL_VARIABLES:
        if text := environ.get(name, "").strip():
            return text
    return None


def debugging() -> bool:
    """Whether `ROOST_DEBUG` asks for tracebacks."""
    return os.environ.get("ROOST_DEBUG", "") not in {"", "0"}
