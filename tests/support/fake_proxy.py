"""A roost-proxy that moves nothing: it speaks protocol/control.md and remembers what it was told.

For tests of the agent; the real one is driven by tests/support/proxy_control.py.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any


def _nothing() -> dict[str, dict[str, Any]]:
    return {"network": {}, "app": {}, "machine": {}, "certificate": {}}


class FakeProxy:
    """Listens on the control socket. `entities` is what it knows: kind → id → value."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.entities: dict[str, dict[str, Any]] = _nothing()
        self.refuses: set[str] = set()
        """Ids of things whose puts it does not understand."""
        self.loads: dict[str, int] = {}
        self.drains: list[tuple[str, bool]] = []
        self.failures: list[dict[str, Any]] = []
        self.refusals: list[dict[str, Any]] = []
        """`certificate_failed`."""
        self.shown: dict[str, list[str]] = {}
        self.asked: list[str] = []
        """Every `op`."""
        self.snapshots: list[int] = []
        """How much it knew at the end of each."""
        self.before: dict[str, Callable[[], Awaitable[object]]] = {}
        """What is done before an `op` is answered."""
        self._server: asyncio.Server | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._changed = asyncio.Condition()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_unix_server(self._serve, self._path, limit=1 << 20)

    async def stop(self) -> None:
        """Close the socket and the agent's connection."""
        if self._server is not None:
            self._server.close()
        self.hang_up()
        self._path.unlink(missing_ok=True)

    def hang_up(self) -> None:
        """Close the agent's connection."""
        if self._writer is not None:
            self._writer.close()

    def say(self, ev: str, **fields: Any) -> None:
        """Send an event up."""
        assert self._writer is not None
        self._writer.write(json.dumps({"ev": ev, **fields}).encode() + b"\n")

    def report(self, loads: dict[str, list[int]] | None = None) -> None:
        """One second's load report: Machine id → [now, peak] of port 8080."""
        machines = {key: {"8080": value} for key, value in (loads or {}).items()}
        self.say("load", machines=machines, waiting={})

    def state(self, machine: str) -> str:
        """The state in which a Machine was last shown, "" when it is unknown."""
        return str(self.entities["machine"].get(machine, {}).get("state", ""))

    async def until(self, check: Any) -> None:
        """Wait until something that it was told makes `check()` true (at most 5 s)."""
        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(check)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.say("hello", protocol=1, version="fake", pid=0)
        while line := await reader.readline():
            message = json.loads(line)
            if before := self.before.get(message["op"]):
                await before()
            self.asked.append(message["op"])
            reply = self._take(message)
            writer.write(json.dumps({"ev": "ack", "seq": message["seq"], **reply}).encode() + b"\n")
            async with self._changed:
                self._changed.notify_all()
        writer.close()

    def _take(self, message: dict[str, Any]) -> dict[str, Any]:
        match message["op"]:
            case "snapshot" if message["stage"] == "begin":
                self.entities = _nothing()
            case "snapshot":
                self.snapshots.append(sum(len(kind) for kind in self.entities.values()))
            case "put" if message["value"]["id"] in self.refuses:
                return {"error": "the line was not understood"}
            case "put":
                value = message["value"]
                self.entities[message["kind"]][value["id"]] = value
                if message["kind"] == "machine":
                    self.shown.setdefault(value["id"], []).append(value["state"])
            case "del":
                self.entities[message["kind"]].pop(message["id"], None)
            case "drain":
                load = self.loads.get(message["machine"], 0)
                self.drains.append((message["machine"], message["if_idle"]))
                self.shown.setdefault(message["machine"], []).append("drain")
                return {"drained": not message["if_idle"] or load == 0, "load": load}
            case "certificate_failed":
                self.refusals.append(message)
            case "wake_failed":
                self.failures.append(message)
            case _:
                pass
        return {}
