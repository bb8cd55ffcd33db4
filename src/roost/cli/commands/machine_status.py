"""`roost machine status`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

from roost.cli import options, output, views
from roost.cli.client import connect
from roost.cli.command import command
from roost.cli.commands.machine_app import app as group
from roost.cli.project import app_name
from roost.cli.times import parse_time, relative


@command(group, "status")
def status(
    machine: options.MachineId,
    app: options.App = None,
    config: options.Config = None,
    display_config: Annotated[
        bool, typer.Option("--display-config", "-d", help="Print only its configuration, as JSON.")
    ] = False,
) -> None:
    """Show one Machine: what it is, its checks, its latest events."""
    with connect() as api:
        raw = api.machine(app_name(app, config), machine)
    if display_config:
        output.print_json(raw.get("config"))
        return
    output.show(raw, lambda: _print(views.machine(raw)))


def _print(m: views.MachineView) -> None:
    init = m.config.get("init") or {}
    output.print_block(
        "VM",
        [
            ("ID", m.id),
            ("Instance ID", m.instance_id),
            ("State", m.state),
            ("HostStatus", str(m.raw.get("host_status", ""))),
            ("Image", m.image),
            ("Name", m.name),
            ("Private IP", m.private_ip),
            ("Region", m.region),
            ("Process Group", m.group),
            ("CPU Kind", str(m.guest.get("cpu_kind", ""))),
            ("vCPUs", m.guest.get("cpus")),
            ("Memory", f"{m.guest.get('memory_mb', '')} MB"),
            ("Created", str(m.created_at or "")),
            ("Updated", str(m.updated_at or "")),
            ("Entrypoint", " ".join(init.get("entrypoint") or ())),
            ("Command", " ".join(init.get("exec") or init.get("cmd") or ())),
        ],
    )
    _print_checks(m.raw.get("checks") or ())
    output.line("Event Logs")
    output.print_table(
        ["State", "Event", "Source", "Timestamp", "Info"],
        [_event(event) for event in m.raw.get("events") or ()],
    )


def _print_checks(checks: Iterable[Mapping[str, Any]]) -> None:
    rows = [
        [
            str(check.get("name", "")),
            str(check.get("status", "")),
            relative(check.get("updated_at")),
            str(check.get("output", "")),
        ]
        for check in checks
    ]
    if rows:
        output.line("Checks")
        output.print_table(["Name", "Status", "Last Updated", "Output"], rows)
        output.line()


def _event(event: Mapping[str, Any]) -> list[str]:
    when = parse_time(event.get("timestamp"))
    return [
        str(event.get("status", "")),
        str(event.get("type", "")),
        str(event.get("source", "")),
        when.isoformat(timespec="milliseconds") if when else "",
        _info(event.get("request") or {}),
    ]


def _info(request: Mapping[str, Any]) -> str:
    return exit_facts(request.get("exit_event") or {}) or str(request.get("error") or "")


def exit_facts(facts: Mapping[str, Any]) -> str:
    """Such as `exit_code=1,oom_killed=false,requested_stop=true`; "" for no exit."""
    known = ("exit_code", "oom_killed", "requested_stop")
    return ",".join(f"{key}={_text(facts[key])}" for key in known if key in facts)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
