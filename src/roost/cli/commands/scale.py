"""`roost scale count|show`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated

import typer

from roost.cli import options, output, views
from roost.cli.client import app_path, connect
from roost.cli.command import command, new_group
from roost.cli.project import app_name
from roost.cli.scaling import asked_counts, plan_lines
from roost.errors import RoostError

app = new_group("Show or change how many Machines an app has.")


@command(app, "count")
def count(
    words: Annotated[
        list[str], typer.Argument(metavar="COUNT", help="3, +1, -1, or GROUP=3 GROUP=1.")
    ],
    app: options.App = None,
    config: options.Config = None,
    process_group: Annotated[
        str, typer.Option("--process-group", "-g", metavar="NAME", help="Which group.")
    ] = "app",
    yes: options.Yes = False,
) -> None:
    """Make or destroy Machines until a group has so many.

    Put -- before a negative number. New Machines are like those that the group has, or had last.
    """
    name = app_name(app, config)
    counts = asked_counts(words, group=process_group)
    with connect() as api:
        lines = plan_lines(counts, map(views.machine, api.machines(name)))
        if lines and not output.confirm(_question(name, lines), yes=yes):
            raise RoostError(f"app {name} was not scaled")
        changes = list(api.post(app_path(name, "scale"), {"counts": counts}).get("changes", []))
    if not changes:
        output.note(f"App {name} already has that many Machines")
    output.show({"changes": changes}, lambda: output.print_lines(changes))


@command(app, "show")
def show(app: options.App = None, config: options.Config = None) -> None:
    """Show number and size of the Machines of each group."""
    name = app_name(app, config)
    with connect() as api:
        machines = [m for m in map(views.machine, api.machines(name)) if m.managed]
    value = [_summary(group, members) for group, members in _groups(machines).items()]
    rows = [
        [
            str(item["Process"]),
            str(item["Count"]),
            str(item["CPUKind"]),
            str(item["CPUs"]),
            f"{item['Memory']} MB",
            str(item["Regions"]),
        ]
        for item in value
    ]
    headers = ["Name", "Count", "Kind", "CPUs", "Memory", "Regions"]
    output.show(value, lambda: output.print_table(headers, rows))


def _question(app: str, plan: Iterable[str]) -> str:
    lines = "\n".join(f"  {line}" for line in plan)
    return f"App '{app}' is going to be scaled according to this plan:\n{lines}\nScale it?"


def _groups(machines: Iterable[views.MachineView]) -> dict[str, list[views.MachineView]]:
    found: dict[str, list[views.MachineView]] = {}
    for m in sorted(machines, key=lambda m: (m.group, m.id)):
        found.setdefault(m.group, []).append(m)
    return found


def _summary(group: str, members: list[views.MachineView]) -> dict[str, object]:
    regions = Counter(m.region for m in members)
    guest = members[0].guest
    return {
        "Process": group,
        "Count": len(members),
        "CPUKind": str(guest.get("cpu_kind", "")),
        "CPUs": guest.get("cpus"),
        "Memory": guest.get("memory_mb"),
        "Regions": ",".join(
            f"{code}({number})" if number > 1 else code for code, number in sorted(regions.items())
        ),
    }
