"""A gRPC service with all four kinds of calls, and a client that makes them: two programs.

``python -m tests.support.grpc_echo server ADDRESS`` says that it is ready and serves until its
input ends; with ``client ADDRESS`` it prints what it got as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import grpc

SERVICE = "roost.Echo"
MANY = 200


def unary(request: bytes, context: grpc.ServicerContext) -> bytes:
    """Gives the request back, with what of the deadline is left in a trailer."""
    left = context.time_remaining()
    context.set_trailing_metadata((("left", "none" if left is None else str(left < 30)),))
    return request


def down(request: bytes, _: grpc.ServicerContext) -> Iterator[bytes]:
    """Gives the request back many times."""
    for number in range(MANY):
        yield request + str(number).encode()


def up(requests: Iterator[bytes], _: grpc.ServicerContext) -> bytes:
    """Gives the lengths of all requests back."""
    return str(sum(len(request) for request in requests)).encode()


def both(requests: Iterator[bytes], _: grpc.ServicerContext) -> Iterator[bytes]:
    """Gives each request back before the next one is there."""
    yield from requests


def refuse(_: bytes, context: grpc.ServicerContext) -> None:
    """Fails by name."""
    context.set_trailing_metadata((("why-bin", b"\x00\xff"),))
    context.abort(grpc.StatusCode.ALREADY_EXISTS, "it is there: 100%")


def serve(address: str) -> None:
    """Runs the service."""
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Down": grpc.unary_stream_rpc_method_handler(down),
        "Up": grpc.stream_unary_rpc_method_handler(up),
        "Both": grpc.stream_stream_rpc_method_handler(both),
        "Refuse": grpc.unary_unary_rpc_method_handler(refuse),
    }
    server = grpc.server(ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(address)
    server.start()
    print("ready", flush=True)  # noqa: T201
    sys.stdin.read()


def call(address: str) -> dict[str, Any]:
    """Makes every kind of call."""
    with grpc.insecure_channel(address) as channel:
        got: dict[str, Any] = {}
        answer, made = channel.unary_unary(f"/{SERVICE}/Unary").with_call(b"one", timeout=20)
        got["unary"] = [answer.decode(), dict(made.trailing_metadata())["left"]]
        parts = list(channel.unary_stream(f"/{SERVICE}/Down")(b"n"))
        got["down"] = [len(parts), parts[-1].decode()]
        large = (b"x" * 100_000 for _ in range(20))
        got["up"] = channel.stream_unary(f"/{SERVICE}/Up")(large).decode()
        got["both"] = talk(channel)
        try:
            channel.unary_unary(f"/{SERVICE}/Refuse")(b"")
        except grpc.RpcError as error:
            trailers = dict(error.trailing_metadata())
            got["refuse"] = [error.code().name, error.details(), list(trailers["why-bin"])]
    return got


def talk(channel: grpc.Channel) -> list[str]:
    """Says each word only when the one before came back."""
    words: SimpleQueue[bytes | None] = SimpleQueue()
    answers = channel.stream_stream(f"/{SERVICE}/Both")(iter(words.get, None))
    heard = []
    for number in range(3):
        words.put(str(number).encode())
        heard.append(next(answers).decode())
    words.put(None)
    return heard + [answer.decode() for answer in answers]


if __name__ == "__main__":
    if sys.argv[1] == "server":
        serve(sys.argv[2])
    else:
        print(json.dumps(call(sys.argv[2])))  # noqa: T201
