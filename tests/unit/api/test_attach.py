"""Attaching to a Machine over the WebSocket, through a real server on a Unix socket."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from roost.api.server import serve
from roost.errors import UnavailableError
from tests.support.api_bench import ApiBench, with_api


def with_server(root: Path, body: Callable[[ApiBench, Path], Awaitable[None]]) -> None:
    """Run a test's body with the API served on a Unix socket."""

    async def main(api: ApiBench) -> None:
        path = api.bench.home.api_socket
        ready = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(serve(api.app, unix_socket=path, ready=ready))
            await ready.wait()
            await body(api, path)
            serving.cancel()
        assert not await asyncio.to_thread(path.exists)

    with_api(root, main)


def connect(api: ApiBench, path: Path, query: str) -> AbstractAsyncContextManager[ClientConnection]:
    machine = api.bench.control.machines.list("web")[0].id
    uri = f"ws://roost/v1/apps/web/machines/{machine}/attach?{query}"
    headers = {"Authorization": f"Bearer {api.token}"}
    return unix_connect(str(path), uri, additional_headers=headers)


def command(*words: str, **more: str) -> str:
    pairs = {"cmd": json.dumps(words), **more}
    return "&".join(f"{key}={quote(value)}" for key, value in pairs.items())


async def frame(client: ClientConnection) -> bytes:
    message = await client.recv()
    assert isinstance(message, bytes)
    return message


def test_streams_and_the_exit_status(tmp_path: Path) -> None:
    """Input goes in, output comes out, the exit status is last, and the session is closed."""

    async def body(api: ApiBench, path: Path) -> None:
        await api.machine()
        api.bench.host.session_exit = 7
        async with connect(api, path, command("sh", tty="1", rows="10", cols="20")) as client:
            assert await frame(client) == b"\x01ready\n"
            await client.send(b"\x00hello")
            assert await frame(client) == b"\x01hello"
            await client.send(b'\x03{"rows":30,"cols":90}')
            await client.send(b"\x03garbage")
            await client.send(b"\x00")
            assert await frame(client) == b'\x04{"exit_code": 7}'
            with pytest.raises(ConnectionClosed):
                await client.recv()
        (session,) = api.bench.host.sessions
        assert (session.args, session.size, session.closed) == (("sh",), (30, 90), True)

    with_server(tmp_path, body)


def test_a_client_that_leaves_ends_the_command(tmp_path: Path) -> None:
    """The session is closed when the connection goes."""

    async def body(api: ApiBench, path: Path) -> None:
        await api.machine()
        async with connect(api, path, command("sh")) as client:
            await frame(client)
        (session,) = api.bench.host.sessions
        await asyncio.wait_for(session.ended.wait(), 5)

    with_server(tmp_path, body)


def test_it_needs_a_token(tmp_path: Path) -> None:
    """Without a valid one nothing is opened."""

    async def body(api: ApiBench, path: Path) -> None:
        await api.machine()
        for token in ("", "roost_wrong"):
            api.token = token
            with pytest.raises(InvalidStatus) as refused:
                async with connect(api, path, command("sh")):
                    pass
            assert refused.value.response.status_code == 401
        assert api.bench.host.sessions == []

    with_server(tmp_path, body)


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("cmd=sh", 400, "cannot be read"),
        ("cmd=[]", 400, "cannot be read"),
        ("cmd=[1]", 400, "cannot be read"),
        ("", 400, "cmd"),
        (command("sh", env="[]"), 400, "cannot be read"),
        (command("sh", rows="0"), 400, "rows"),
    ],
)
def test_refusals_come_before_the_upgrade(
    tmp_path: Path, query: str, status: int, words: str
) -> None:
    """As a plain HTTP answer with the usual body."""

    async def body(api: ApiBench, path: Path) -> None:
        await api.machine()
        with pytest.raises(InvalidStatus) as refused:
            async with connect(api, path, query):
                pass
        assert refused.value.response.status_code == status
        problem = json.loads(refused.value.response.body or b"")
        assert words in problem["error"]
        assert api.bench.host.sessions == []

    with_server(tmp_path, body)


def test_a_machine_that_does_not_run(tmp_path: Path) -> None:
    """412 with the sentence."""

    async def body(api: ApiBench, path: Path) -> None:
        machine = await api.machine()
        await api.ok("POST", f"/v1/apps/web/machines/{machine['id']}/stop")
        with pytest.raises(InvalidStatus) as refused:
            async with connect(api, path, command("sh")):
                pass
        assert refused.value.response.status_code == 412
        assert b"is not running" in (refused.value.response.body or b"")

    with_server(tmp_path, body)


def test_the_socket_is_private_and_replaces_a_stale_one(tmp_path: Path) -> None:
    """Mode 0600; what a killed daemon left is no obstacle; TCP is served beside it."""

    async def body(api: ApiBench) -> None:
        path = api.bench.home.api_socket
        path.parent.mkdir(parents=True)
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(str(path))
        stale.close()
        tcp = socket.create_server(("127.0.0.1", 0))
        ready = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(serve(api.app, unix_socket=path, tcp=[tcp], ready=ready))
            await ready.wait()
            assert stat.S_IMODE((await asyncio.to_thread(path.stat)).st_mode) == 0o600
            async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(path))) as one:
                assert (await one.get("http://roost/v1/health")).status_code == 200
            async with httpx.AsyncClient() as two:
                url = f"http://127.0.0.1:{tcp.getsockname()[1]}/v1/apps"
                assert (await two.get(url)).status_code == 401
            serving.cancel()

    with_api(tmp_path, body)


def test_a_socket_that_cannot_be_made(tmp_path: Path) -> None:
    """A file in the way is not deleted; the sentence names the path."""

    async def body(api: ApiBench) -> None:
        path = api.bench.home.api_socket
        path.parent.mkdir(parents=True)
        path.write_text("precious")
        with pytest.raises(UnavailableError, match=r"cannot listen on .*api\.sock"):
            await serve(api.app, unix_socket=path)
        assert path.read_text() == "precious"

    with_api(tmp_path, body)
