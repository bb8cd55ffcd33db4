"""How much of the real proxy one caller may take: connections of a source, bytes that wait."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.http_peer import Peer, World, get, http_world, ok, post

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes network namespaces, which needs root"),
]

SAME = "fdaa:0:1:0:2:0:5:ffff"
OTHER = "fdaa:0:1:0:2:0:6:2"


def served(world: World, client: Peer) -> None:
    """The client's request gets its answer, and the Machine's connection ends."""
    with world.accept() as inside:
        inside.head()
        inside.send(ok("yes", "Connection: close\r\n"))
        assert client.answer()[1] == b"yes"


def test_a_source_has_so_many_connections(tmp_path: Path) -> None:
    """One more is reset, told and counted, from whichever of its addresses; others are served,
    and so is it again once one has ended."""
    with http_world(tmp_path, settings={"max_connections_source": 2}) as world:
        for address in (SAME, OTHER):
            world.add_address(address)
        first, _ = world.client(), world.client()
        world.counted("connections", 2)
        for source in (None, SAME):
            with pytest.raises(ConnectionError):
                world.client(get(), source=source).rest()
        line = world.control.event("log", app="a", code="RA03")
        assert "2 connections already" in line["message"]
        world.counted("refused_sources", 2)
        served(world, world.client(get(), source=OTHER))
        first.close()
        world.counted("connections", 2)
        served(world, world.client(get()))


def test_no_limit_for_a_source(tmp_path: Path) -> None:
    """0 is any number."""
    with http_world(tmp_path, settings={"max_connections_source": 0}) as world:
        for _ in range(20):
            world.client()
        world.counted("connections", 20)


def test_large_heads_at_a_time(tmp_path: Path) -> None:
    """One source has half of the room for heads of more than 8 KiB, begun or under way; one more is
    refused, small ones and other sources are not, and room is there again once one has ended."""
    large = get(fields=f"A: {'x' * 9_000}\r\n")
    with http_world(tmp_path, settings={"max_large_heads": 4}) as world:
        world.add_address(OTHER)
        world.client(large[:-2])
        first = world.client(large)
        inside = world.accept()
        inside.head()
        assert world.client(large).rest().startswith(b"HTTP/1.1 431 ")
        served(world, world.client(get()))
        served(world, world.client(large, source=OTHER))
        inside.send(ok(fields="Connection: close\r\n"))
        first.answer()
        served(world, world.client(large))


@pytest.mark.parametrize("bound", ["max_held_bytes", "max_held_bytes_app"])
def test_bytes_that_wait_are_bounded(tmp_path: Path, bound: str) -> None:
    """A request whose bytes find no room does not wait: 503; a small one does, with what may be
    read of its client meanwhile."""
    settings = {bound: 4_000}
    with http_world(tmp_path, settings=settings, limits={"hard_limit": 1}) as world:
        first = world.client(get("/first"))
        inside = world.accept()
        inside.head()
        large = world.client(post("Content-Length: 5000\r\n", "x" * 5_000))
        head, body = large.answer()
        assert head.startswith("HTTP/1.1 503 ")
        assert body.startswith(b"PR04")
        small = world.client(get("/small"))
        world.queued(1)
        inside.send(ok())
        first.answer()
        assert inside.head().startswith("GET /small ")
        inside.send(ok("small"))
        assert small.answer()[1] == b"small"
        world.counted("held_bytes", 0)
