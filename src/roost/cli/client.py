"""The HTTP client of the API: the one way in which the CLI reaches a Roost.

Blocking. Answers that are errors become `ApiError`, a RoostError with the server's sentence and
hint; a daemon that is not there becomes NoDaemonError. Nothing is retried.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from roost.cli.output import note, warn
from roost.cli.session import Token, current, given_token, given_url
from roost.cli.trust import VARIABLE, trusted, untrusted
from roost.errors import DeniedError, InvalidError, NotFoundError, RoostError, UnavailableError
from roost.home import Home

Query = Mapping[str, str | int | bool | Sequence[str]]

READ_TIMEOUT = 90.0
"""Seconds; longer than the longest wait that one request may ask for (60 s)."""


class ApiError(RoostError):
    """The API refused; carries its sentence, hint and code."""

    default_code = "api_error"

    def __init__(
        self, message: str, *, http_status: int, hint: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.http_status = http_status


class NoDaemonError(UnavailableError):
    """Nothing listens where the API should be."""


class Api:
    """Calls to one Roost. A context manager; close it when done."""

    def __init__(
        self, *, base: str, uds: Path | None, token: Token, timeout: float = READ_TIMEOUT
    ) -> None:
        self.base = base
        self.socket = uds
        self.token = token
        transport = httpx.HTTPTransport(uds=str(uds)) if uds else None
        self.tls = trusted(os.environ) if base.lower().startswith("https:") else None
        self._http = httpx.Client(
            base_url=base,
            transport=transport,
            verify=self.tls or True,
            headers={"Authorization": f"Bearer {token.text}", "User-Agent": "roost-cli"},
            timeout=httpx.Timeout(timeout, connect=min(timeout, 5.0)),
        )

    def __enter__(self) -> Api:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def get(self, path: str, params: Query | None = None) -> Any:
        """GET; returns the decoded JSON."""
        return self.call("GET", path, params=params)

    def post(self, path: str, body: object = None, params: Query | None = None) -> Any:
        """POST a JSON body (none when None); returns the decoded JSON."""
        return self.call("POST", path, body=body, params=params)

    def call(
        self, method: str, path: str, *, body: object = None, params: Query | None = None
    ) -> Any:
        """One call. Returns the decoded JSON ({} for an empty body).

        Raises ApiError, DeniedError, NotFoundError, NoDaemonError, UnavailableError.
        """
        with self._failures():
            reply = self._http.request(method, path, json=body, params=_query(params))
        if current().verbose:
            note(f"{method} {path}: {reply.status_code} in {reply.elapsed.total_seconds():.3f} s")
        if reply.status_code > 299:
            raise self._refusal(reply.status_code, reply.content)
        return _decode(reply.content)

    @contextmanager
    def stream(
        self, method: str, path: str, *, body: object = None, params: Query | None = None
    ) -> Iterator[Iterator[dict[str, Any]]]:
        """One call whose answer is JSON lines; yields an iterator over them, without time limit.

        Raises what `call` raises.
        """
        wait = httpx.Timeout(None, connect=5.0)
        with (
            self._failures(),
            self._http.stream(
                method, path, json=body, params=_query(params), timeout=wait
            ) as reply,
        ):
            if reply.status_code > 299:
                raise self._refusal(reply.status_code, reply.read())
            yield (item for text in reply.iter_lines() if (item := _decode_line(text)) is not None)

    def apps(self, org: str | None = None) -> list[dict[str, Any]]:
        """All apps, or those of an org."""
        found = self.get("/v1/apps", {"org_slug": org} if org else None)
        return list(found.get("apps", []))

    def app(self, name: str) -> dict[str, Any]:
        """One app. Raises NotFoundError."""
        return dict(self.get(app_path(name)))

    def machines(self, app: str) -> list[dict[str, Any]]:
        """The app's Machines, without destroyed ones."""
        return list(self.get(app_path(app, "machines")))

    def machine(self, app: str, machine: str) -> dict[str, Any]:
        """One Machine. Raises NotFoundError."""
        return dict(self.get(app_path(app, "machines", machine)))

    def releases(self, app: str, *, limit: int | None = None) -> list[dict[str, Any]]:
        """The app's releases (the newest `limit` of them), newest first."""
        found = self.get(app_path(app, "releases"), {"limit": limit} if limit else None)
        items = found if isinstance(found, list) else found.get("releases", [])
        return sorted(items, key=lambda item: int(item.get("version", 0)), reverse=True)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectError as error:
            raise self._not_there(error) from error
        except httpx.TimeoutException as error:
            raise UnavailableError("Roost did not answer in time", hint="see its log") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise InvalidError(
                f"{self.base!r} is no address of an API", hint="such as http://127.0.0.1:4280"
            ) from error
        except httpx.HTTPError as error:
            raise UnavailableError(
                f"the connection to Roost broke: {error}", hint="is it still running?"
            ) from error

    def _not_there(self, error: httpx.ConnectError) -> RoostError:
        if untrusted(error):
            return UnavailableError(
                f"the certificate of {self.base} is not trusted: {error}",
                hint=f"{VARIABLE}=FILE names the certificate of its authority",
            )
        if self.socket is None:
            return NoDaemonError(f"nothing answers at {self.base}: {error}")
        return no_daemon(self.socket.parent.parent)

    def _refusal(self, status: int, content: bytes) -> RoostError:
        decoded = _decode(content)
        facts = decoded if isinstance(decoded, dict) else {}
        message = str(facts.get("message") or facts.get("error") or f"the API answered {status}")
        hint = str(facts["hint"]) if facts.get("hint") else None
        code = str(facts["status"]) if facts.get("status") else None
        if status == 401:
            return DeniedError(
                f"the token from {self.token.origin} was refused",
                hint=hint or "unset it to use the token of ROOST_HOME",
            )
        if status == 404:
            return NotFoundError(message, hint=hint, code=code)
        return ApiError(message, http_status=status, hint=hint, code=code)


def app_path(app: str, *rest: str) -> str:
    """`/v1/apps/{app}/…` with each part quoted."""
    return "/".join(["/v1/apps", quote(app, safe=""), *(quote(part, safe=":") for part in rest)])


def no_daemon(home: Path) -> NoDaemonError:
    """The error for a Roost that does not run."""
    return NoDaemonError(
        f"no Roost is running for ROOST_HOME={home}", hint="start it: roost up --detach"
    )


def connect(*, timeout: float = READ_TIMEOUT) -> Api:
    """A client for the session's API: `--api`, the environment's URL, else the home's socket.

    Raises NoDaemonError when the home has no token yet, DeniedError when it may not be read.
    """
    session = current()
    url = given_url(session, os.environ)
    token = given_token(session, os.environ)
    home = Home.from_env()
    if token is None:
        token = _home_token(home, remote=url is not None)
    if url is None:
        _knock(home)
        return Api(base="http://roost", uds=home.api_socket, token=token, timeout=timeout)
    if host := plain_host(url):
        warn(f"your token goes to {host} over plain HTTP: use https:// (`roost up --tls-cert`)")
    return Api(base=url.rstrip("/"), uds=None, token=token, timeout=timeout)


def plain_host(url: str) -> str | None:
    """The host to which a token would go over a network in clear; None when it would not. Pure."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return None  # no address at all, which is said elsewhere
    if parts.scheme != "http" or host in {"", "localhost"}:
        return None
    try:
        return None if ip_address(host).is_loopback else host
    except ValueError:
        return host


def _knock(home: Home) -> None:
    """Find out whether somebody listens, and if not why, before httpx tries.

    Raises NoDaemonError, DeniedError.
    """
    with socket.socket(socket.AF_UNIX) as knocking:
        try:
            knocking.connect(str(home.api_socket))
        except PermissionError as error:
            raise DeniedError(
                f"you may not open {home.api_socket}", hint="run as the user who started Roost"
            ) from error
        except OSError as error:
            raise no_daemon(home.root) from error


def _home_token(home: Home, *, remote: bool) -> Token:
    try:
        text = home.token.read_text(encoding="utf-8").strip()
    except PermissionError as error:
        raise DeniedError(
            f"you may not read {home.token}", hint="run as the user who started Roost"
        ) from error
    except OSError as error:
        if remote:
            raise DeniedError(
                "no token for the API", hint="set ROOST_ACCESS_TOKEN or pass -t"
            ) from error
        raise no_daemon(home.root) from error
    return Token(text, str(home.token))


def _query(params: Query | None) -> dict[str, Any] | None:
    """Booleans as true and false; httpx does the rest."""
    if params is None:
        return None
    return {k: str(v).lower() if isinstance(v, bool) else v for k, v in params.items()}


def _decode(content: bytes) -> Any:
    if not content.strip():
        return {}
    try:
        return json.loads(content)
    except ValueError:
        return {"message": content.decode("utf-8", "replace").strip()[:500]}


def _decode_line(text: str) -> dict[str, Any] | None:
    if not text.strip():
        return None
    found = _decode(text.encode())
    return found if isinstance(found, dict) else None
