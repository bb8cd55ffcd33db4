"""`roost reach FROM TO[:PORT]` (Roost's own): who reaches whom, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from roost.cli import output
from roost.cli.client import connect
from roost.cli.command import command, new_app

app = new_app("Reach.")


@command(app, "reach")
def reach(
    source: Annotated[
        str, typer.Argument(metavar="FROM", help="An app, a Machine's id, or ORG/NETWORK.")
    ],
    target: Annotated[
        str,
        typer.Argument(metavar="TO[:PORT]", help="An app, a name or an address, such as web:80."),
    ],
) -> None:
    """Say whether FROM reaches TO, with every deciding step.

    Between apps also whether fly-replay may send requests there. Exit status 1 when FROM does not
    reach TO. The answer comes from the rows that the proxy is told, not
    from trying.
    """
    with connect() as api:
        answer = dict(api.get("/v1/reach", {"from": source, "to": target}))
    output.show(answer, lambda: _print(answer))
    if not answer.get("reaches"):
        raise typer.Exit(1)


def _print(answer: Mapping[str, Any]) -> None:
    verdict = "yes" if answer.get("reaches") else "no"
    output.line(f"{verdict}: {answer.get('from')} → {answer.get('to')}")
    steps = answer.get("steps", [])
    width = max((len(str(step.get("step", ""))) for step in steps), default=0)
    for step in steps:
        mark = "✓" if step.get("passes") else "✗"
        output.line(f"  {mark} {str(step.get('step', '')).ljust(width)}  {step.get('why', '')}")
    if replay := answer.get("replay"):
        allowed = "allowed" if replay.get("passes") else "not allowed"
        output.line(f"fly-replay is {allowed}: {replay.get('why', '')}")
