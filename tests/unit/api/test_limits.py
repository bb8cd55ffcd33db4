"""Bounds on requests, and errors that nobody expected."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from roost.api.errors import sentence
from roost.api.limits import MAX_BODY, Limits
from tests.support.api_bench import ApiBench, with_api


async def too_much() -> AsyncIterator[bytes]:
    for _ in range(2 * MAX_BODY // 65536):
        yield b"x" * 65536


def test_a_body_that_is_too_large(tmp_path: Path) -> None:
    """Refused by its declared length, and while reading when none is declared."""

    async def body(api: ApiBench) -> None:
        reply = await api.http.post("/v1/apps", content=b"x" * (MAX_BODY + 1))
        assert (reply.status_code, reply.json()["status"]) == (413, "too_large")
        reply = await api.http.post("/v1/apps", content=too_much())
        assert reply.status_code == 413

    with_api(tmp_path, body)


@pytest.mark.parametrize("content", [b"{", b"\xff", b"null", b"[]", b"5", b'{"name":'])
def test_a_body_that_is_no_object(tmp_path: Path, content: bytes) -> None:
    """400 with a sentence, whatever it is."""

    async def body(api: ApiBench) -> None:
        reply = await api.http.post("/v1/apps", content=content)
        assert reply.status_code == 400
        assert reply.json()["status"] == "invalid_argument"

    with_api(tmp_path, body)


def test_a_body_without_a_content_type(tmp_path: Path) -> None:
    """`curl -d` sends a wrong type; it is taken for JSON all the same."""

    async def body(api: ApiBench) -> None:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        reply = await api.http.post("/v1/apps", content=b'{"name":"web"}', headers=headers)
        assert reply.status_code == 201

    with_api(tmp_path, body)


def test_a_mistake_of_ours_is_told_without_details(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """500 with a sentence; the traceback is in the log only."""

    async def body(api: ApiBench) -> None:
        @api.app.get("/broken")
        async def broken() -> None:
            msg = "internal detail"
            raise ZeroDivisionError(msg)

        with caplog.at_level(logging.ERROR, logger="roost.api"):
            reply = await api.http.get("/broken")
        assert reply.status_code == 500
        assert "internal detail" not in reply.text
        assert "internal detail" in caplog.text

    with_api(tmp_path, body)


def scope(**headers: str) -> Scope:
    pairs = [(key.encode(), value.encode()) for key, value in headers.items()]
    return {"type": "http", "method": "POST", "path": "/", "headers": pairs}


async def never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


async def answer_late(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.Event().wait()


async def answer_in_pieces(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await PlainTextResponse("begun")(scope, receive, send)
    await asyncio.sleep(0)


async def status(app: Limits, receive: Receive) -> int:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope(), receive, send)
    return int(sent[0]["status"])


async def empty() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


def test_times_are_bounded() -> None:
    """A body that does not come and an answer that does not begin are 408."""
    assert asyncio.run(status(Limits(answer_late, body_timeout=0), never)) == 408
    assert asyncio.run(status(Limits(answer_late, answer_timeout=0), empty)) == 408


def test_an_answer_that_has_begun_is_not_bounded() -> None:
    """Streams may last."""
    assert asyncio.run(status(Limits(answer_in_pieces, answer_timeout=30), empty)) == 200


def test_a_client_that_leaves_while_sending_gets_nothing() -> None:
    """And costs nothing."""

    async def gone() -> Message:
        return {"type": "http.disconnect"}

    with pytest.raises(IndexError):
        asyncio.run(status(Limits(answer_late), gone))


def test_sentences_of_validation_errors() -> None:
    """The place, without where it was sent, and what is wrong there."""
    errors = [{"type": "missing", "loc": ("body", "config", "image"), "msg": "Field required"}]
    assert sentence(errors) == "config.image: field required"
    errors = [{"type": "missing", "loc": ("body",), "msg": "Field required"}]
    assert sentence(errors) == "the body: field required"


def test_openapi_is_made_without_warnings(tmp_path: Path) -> None:
    """Every operation has an id of its own and a sentence."""

    async def body(api: ApiBench) -> None:
        ids = []
        for calls in (await api.ok("GET", "/openapi.json"))["paths"].values():
            for call in calls.values():
                ids.append(call["operationId"])
                assert call["description"]
        assert len(ids) == len(set(ids))

    with_api(tmp_path, body)


def test_a_reply_over_a_real_client_has_no_server_error_codes(tmp_path: Path) -> None:
    """502 and 503 are never used, as clients repeat them blindly."""

    async def body(api: ApiBench) -> None:
        reply: httpx.Response = await api.call("GET", "/v1/apps/none")
        assert reply.status_code not in (502, 503)

    with_api(tmp_path, body)
