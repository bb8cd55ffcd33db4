"""`roost canary` (Roost's own): try now what must be impossible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from roost.cli import output
from roost.cli.client import connect
from roost.cli.command import command, new_app
from roost.cli.progress import working
from roost.cli.times import relative

app = new_app("Canary.")


@command(app, "canary")
def canary(
    latest: Annotated[
        bool, typer.Option("--latest", help="Show the newest report instead of trying now.")
    ] = False,
) -> None:
    """Try from inside each network what must be impossible.

    Roost does so by itself every five minutes (`roost up --canary-every`) and writes what it finds
    to its log and metrics; this does it now. Exit status 1 when something was found.
    """
    with connect() as api:
        if latest:
            report = api.get("/v1/canary").get("report")
        else:
            with working("Trying what must be impossible"):
                report = api.post("/v1/canary").get("report")
    output.show(report, lambda: _print(report))
    if report and report.get("findings"):
        raise typer.Exit(1)


def _print(report: Mapping[str, Any] | None) -> None:
    if report is None:
        output.line("The canary has not run yet.")
        return
    number = len(report.get("networks", []))
    count = "1 network" if number == 1 else f"{number} networks"
    output.line(
        f"Tried {report.get('tried')} things in {count} within "
        f"{report.get('took_ms')} ms, {relative(report.get('started_at'))}: "
        f"{report.get('breach')} breaches, {report.get('blind')} blind, {report.get('drift')} drift"
    )
    if left := report.get("left_out"):
        output.line(f"{len(left)} more networks come in later runs.")
    for finding in report.get("findings", []):
        output.line(f"  {finding.get('kind')}: {finding.get('message')}")
