"""Every call needs a token."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from roost.api.auth import candidates
from tests.support.api_bench import ApiBench, forget_failures, with_api

OPEN = "/v1/health"


def routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Method and path of each call, with something in place of each parameter."""
    schema = app.openapi()
    for path, calls in schema["paths"].items():
        for method in calls:
            yield method.upper(), filled(path)
    yield "GET", "/openapi.json"
    yield "GET", "/docs"


def filled(path: str) -> str:
    return (
        path.replace("{app}", "web")
        .replace("{machine_id}", "0" * 14)
        .replace("{key}", "k")
        .replace("{ip}", "fdaa::1")
        .replace("{org}", "personal")
        .replace("{token_id}", "0" * 26)
    )


def test_no_route_answers_without_a_token(tmp_path: Path) -> None:
    """All but the health check give 401 with a problem body, whatever else is wrong."""

    async def body(api: ApiBench) -> None:
        found = list(routes(api.app))
        assert len(found) > 45
        for method, path in found:
            # A fresh count of failures for each, so that none is only slowed down.
            forget_failures(api)
            reply = await api.http.request(method, path, headers={"Authorization": ""})
            if path == OPEN:
                assert (reply.status_code, reply.json()) == (200, {"ok": True})
            else:
                assert reply.status_code == 401, (method, path)
                assert reply.json()["status"] == "unauthorized"

    with_api(tmp_path, body)


def test_no_route_is_forgotten(tmp_path: Path) -> None:
    """Everything the application serves is in the walk above, or the WebSocket below."""

    async def body(api: ApiBench) -> None:
        walked = {path for _, path in routes(api.app)}
        for route in api.app.routes:
            if isinstance(route, APIRoute):
                assert filled(route.path) in walked

    with_api(tmp_path, body)


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer wrong", "Basic {basic}", "{token}", "Bearer {token}x", "Digest {token}"],
)
def test_refused_headers(tmp_path: Path, header: str) -> None:
    """No, wrong, or otherwise given tokens are refused with a hint."""

    async def body(api: ApiBench) -> None:
        basic = base64.b64encode(f"x:{api.token}".encode()).decode()
        text = header.format(token=api.token, basic=basic)
        reply = await api.http.get("/v1/apps", headers={"Authorization": text})
        assert reply.status_code == 401
        assert "ROOST_HOME/token" in reply.json()["hint"]
        assert reply.headers["www-authenticate"] == "Bearer"

    with_api(tmp_path, body)


@pytest.mark.parametrize(
    "header",
    [
        "Bearer {token}",
        "bearer {token}",
        "FlyV1 {token}",
        "Bearer fm2_x, {token}",
        "Bearer a,{token}",
    ],
)
def test_accepted_headers(tmp_path: Path, header: str) -> None:
    """One valid token of a list is enough, under either scheme."""

    async def body(api: ApiBench) -> None:
        text = header.format(token=api.token)
        reply = await api.http.get("/v1/apps", headers={"Authorization": text})
        assert reply.status_code == 200

    with_api(tmp_path, body)


def test_the_page_takes_a_browsers_password(tmp_path: Path) -> None:
    """The documentation opens with HTTP Basic, where the token is the password."""

    async def body(api: ApiBench) -> None:
        basic = httpx.BasicAuth("any", api.token)
        for path in ("/docs", "/openapi.json"):
            reply = await api.http.get(path, auth=basic)
            assert reply.status_code == 200
            refused = await api.http.get(path, auth=httpx.BasicAuth("any", "wrong"))
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith("Basic")

    with_api(tmp_path, body)


def test_lists_of_tokens_are_bounded() -> None:
    """Only the first few of a list are looked at."""
    assert candidates("Bearer " + ",".join("abcdefghijkl")) == list("abcdefgh")
    assert candidates("Bearer ,, a") == ["a"]
    assert len(candidates("Bearer " + "x" * 100_000)[0]) < 5000
