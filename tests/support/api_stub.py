"""An API on a Unix socket that answers what a test told it to, and remembers what it was asked.

It speaks real HTTP and WebSocket (uvicorn in a thread), so that the CLI's own client, timeouts and
streams are exercised. Paths that no test prepared get 404, in the shape of the API's errors.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response, WebSocket
from fastapi.responses import JSONResponse

TOKEN = "roost_test_token"

Answer = Callable[["Asked"], tuple[int, object]]
Session = Callable[[WebSocket], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    query: list[tuple[str, str]]
    body: Any
    token: str

    @property
    def line(self) -> str:
        """Such as `POST /v1/apps`."""
        return f"{self.method} {self.path}"

    def values(self, name: str) -> list[str]:
        """All values of a query parameter."""
        return [value for key, value in self.query if key == name]


@dataclass(slots=True)
class ApiStub:
    """What is answered (by `METHOD path`) and what was asked."""

    socket: Path
    answers: dict[str, Answer] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def on(self, line: str, body: object = None, *, status: int = 200) -> None:
        """Answer `METHOD path` with a JSON body; a list of Events becomes JSON lines."""
        self.answers[line] = lambda _: (status, {} if body is None else body)

    def on_call(self, line: str, answer: Answer) -> None:
        """Answer `METHOD path` by calling."""
        self.answers[line] = answer

    def on_attach(self, path: str, session: Session) -> None:
        """Serve the WebSocket at a path with a coroutine function."""
        self.sessions[path] = session

    def refuse(self, line: str, status: int, message: str, **more: object) -> None:
        """Answer `METHOD path` with an error in the API's shape."""
        self.on(line, {"error": message, "message": message, **more}, status=status)

    @property
    def lines(self) -> list[str]:
        """What was asked, as `METHOD path`, in order."""
        return [asked.line for asked in self.asked]

    def last(self, line: str) -> Asked:
        """The last request of this kind."""
        return [asked for asked in self.asked if asked.line == line][-1]

    def reset(self) -> None:
        """Forget everything."""
        self.answers.clear()
        self.sessions.clear()
        self.asked.clear()


class Lines(list[dict[str, Any]]):
    """An answer that is sent as JSON lines."""


def _application(stub: ApiStub) -> FastAPI:
    app = FastAPI(openapi_url=None)

    @app.api_route("/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    async def anything(request: Request) -> Response:
        content = await request.body()
        asked = Asked(
            method=request.method,
            path=request.url.path,
            query=list(request.query_params.multi_items()),
            body=json.loads(content) if content else None,
            token=request.headers.get("authorization", ""),
        )
        stub.asked.append(asked)
        if asked.token != f"Bearer {TOKEN}":
            return JSONResponse({"error": "unauthorized", "message": "unauthorized"}, 401)
        answer = stub.answers.get(asked.line)
        if answer is None:
            sentence = f"{asked.line} is not prepared: not found"
            return JSONResponse({"error": sentence, "message": sentence}, 404)
        status, body = answer(asked)
        if isinstance(body, Lines):
            text = "".join(json.dumps(item) + "\n" for item in body)
            return Response(text, status, media_type="application/x-ndjson")
        return JSONResponse(body, status)

    @app.websocket("/{path:path}")
    async def attach(socket: WebSocket) -> None:
        session = stub.sessions.get(socket.url.path)
        if session is None:
            await socket.close(4404)
            return
        await socket.accept()
        await session(socket)

    return app


@contextmanager
def api_stub(folder: Path) -> Iterator[ApiStub]:
    """Serve a stub as the API of ROOST_HOME=`folder` (its socket and token file) for the block."""
    (folder / "run").mkdir(parents=True)
    (folder / "token").write_text(TOKEN + "\n")
    stub = ApiStub(folder / "run" / "api.sock")
    settings = uvicorn.Config(
        _application(stub),
        uds=str(stub.socket),
        log_level="critical",
        lifespan="off",
        ws="websockets-sansio",
    )
    server = _Server(settings)
    thread = threading.Thread(target=server.run, name="api-stub")
    thread.start()
    try:
        server.up.wait(timeout=30)
        yield stub
    finally:
        server.should_exit = True
        thread.join(timeout=30)


class _Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets: Any = None) -> None:
        """Listen, then tell."""
        await super().startup(sockets)
        self.up.set()
