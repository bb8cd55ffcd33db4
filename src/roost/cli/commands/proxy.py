"""`roost proxy …` (Roost's own): what runs of the proxy, and how it is replaced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

from roost.cli import output
from roost.cli.client import connect
from roost.cli.command import command, new_group
from roost.cli.progress import working
from roost.errors import InvalidError
from roost.spec import durations

app = new_group("The proxy processes of this host, and their upgrade.")

HEADERS = ("PID", "Version", "Role", "Connections", "Waiting", "Ends Within")
UPGRADE_SECONDS = 60.0


@command(app, "status")
def status() -> None:
    """Show the proxy that serves, and older ones whose connections still go on."""
    with connect() as api:
        found = api.get("/v1/proxy").get("proxies", [])
    output.show(found, lambda: output.print_table(HEADERS, [_row(one) for one in found]))


@command(app, "upgrade")
def upgrade(
    drain: Annotated[
        str,
        typer.Option(
            "--drain",
            metavar="TIME",
            help="How long connections may go on in the old process; what is left then is reset.",
        ),
    ] = "1h",
) -> None:
    """Start the installed roost-proxy beside the running one and let it take over.

    It gets the listening sockets and the load counters: no call fails, and limits hold. The old
    process goes on with its connections (WebSockets, raw TCP) until they end.
    """
    drain_ms = _milliseconds(drain)
    with connect(timeout=UPGRADE_SECONDS) as api, working("A new proxy takes over"):
        done = api.post("/v1/proxy/upgrade", {"drain_ms": drain_ms})
        left = api.get("/v1/proxy").get("proxies", [])[1:]
    output.show(done | {"draining": left}, lambda: _print(done, left))


def _milliseconds(text: str) -> int:
    seconds = durations.seconds(text)
    if not 0 <= seconds <= 7 * 86_400:
        raise InvalidError(f"--drain {text!r} is not between 0 and 7 days", hint="such as 1h")
    return round(seconds * 1000)


def _print(done: Mapping[str, Any], left: Iterable[Mapping[str, Any]]) -> None:
    before, after = done.get("before", {}), done.get("after", {})
    output.line(
        f"roost-proxy {after.get('version')} (pid {after.get('pid')}) took over "
        f"{done.get('sockets')} sockets from {before.get('version')} (pid {before.get('pid')}) "
        f"within {done.get('took_ms')} ms."
    )
    for one in left:
        output.line(
            f"{one.get('connections')} connections go on in pid {one.get('pid')}, "
            f"for at most {_time(one.get('left_ms'))} (roost proxy status)."
        )


def _row(one: Mapping[str, Any]) -> list[str]:
    said = [str(one.get(key, "")) for key in ("pid", "version", "role", "connections", "waiting")]
    return [*said, _time(one.get("left_ms"))]


def _time(milliseconds: int | None) -> str:
    return "" if milliseconds is None else durations.write(milliseconds // 1000 * 10**9)
