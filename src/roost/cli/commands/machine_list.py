"""`roost machine list`."""

from __future__ import annotations

from roost.cli import options, output, views
from roost.cli.client import connect
from roost.cli.command import command
from roost.cli.commands.machine_app import app as group
from roost.cli.project import app_name
from roost.cli.times import relative

HEADERS = (
    "ID",
    "Name",
    "State",
    "Checks",
    "Region",
    "Role",
    "Image",
    "IP Address",
    "Volume",
    "Created",
    "Last Updated",
    "Process Group",
    "Size",
)


@command(group, "list")
def list_machines(
    app: options.App = None, config: options.Config = None, quiet: options.Quiet = False
) -> None:
    """List the app's Machines."""
    with connect() as api:
        raw = api.machines(app_name(app, config))
    found = sorted(map(views.machine, raw), key=lambda m: m.id)
    if quiet:
        for item in found:
            output.line(item.id)
        return
    output.show(raw, lambda: output.print_table(HEADERS, map(_row, found)))


def _row(m: views.MachineView) -> list[str]:
    mounts = m.config.get("mounts") or [{}]
    return [
        m.id,
        m.name,
        m.state,
        m.checks,
        m.region,
        str(m.metadata.get("role", "")),
        m.image,
        m.private_ip,
        str(mounts[0].get("volume", "")),
        relative(m.created_at),
        relative(m.updated_at),
        m.group,
        m.size,
    ]
