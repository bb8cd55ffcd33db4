"""`roost status`: the app, its Machines, and why one that ended did so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from roost.cli import options, output, views
from roost.cli.client import Api, Query, app_path, connect
from roost.cli.command import command, new_app
from roost.cli.project import app_name
from roost.cli.session import current
from roost.cli.times import relative

app = new_app("Status.")

LAST_LINES = 10
SHOWN_FAILURES = 5
"""At most so many failed Machines are asked for their output: each is one more request."""

HEADERS = ("Process", "ID", "Version", "Region", "State", "Role", "Checks", "Last Updated")


@command(app, "status")
def status(app: options.App = None, config: options.Config = None) -> None:
    """Show the app, its Machines, and why one failed.

    For a Machine that ended by itself: its exit code and what it wrote last.
    """
    name = app_name(app, config)
    with connect() as api:
        facts = api.app(name)
        raw = api.machines(name)
        machines = sorted(map(views.machine, raw), key=lambda m: (m.group, m.id))
        failures = _failures(api, name, machines)
        if current().json:
            output.print_json(_json(facts, raw, api.releases(name), failures))
            return
    _print(facts, machines)
    _print_failures(failures)
    if facts.get("warning"):
        output.warn(str(facts["warning"]))


def _print(facts: Mapping[str, Any], machines: list[views.MachineView]) -> None:
    name = str(facts.get("name", ""))
    network = str(facts.get("network") or "")
    block = [
        ("Name", name),
        ("Owner", str((facts.get("organization") or {}).get("slug", ""))),
        ("Hostname", f"{name}.flycast"),
        ("Image", machines[0].image if machines else ""),
    ]
    if network not in {"", "default"}:
        block.append(("Network", network))
    output.print_block("App", block)
    output.line("Machines")
    output.print_table(HEADERS, [_row(m) for m in machines])


def _row(m: views.MachineView) -> list[str]:
    standby = "†" if m.config.get("standbys") else ""
    dead = "💀" if m.raw.get("host_status", "ok") != "ok" else ""
    role = str(m.metadata.get("role", ""))
    return [
        f"{m.group}{standby}{dead}",
        m.id,
        m.version,
        m.region,
        m.state,
        role,
        m.checks,
        relative(m.updated_at),
    ]


def _failures(
    api: Api, app: str, machines: Iterable[views.MachineView]
) -> dict[str, dict[str, Any]]:
    """Machine id → how it ended and what it wrote last, for those that ended by themselves."""
    found: dict[str, dict[str, Any]] = {}
    for m in machines:
        ended = m.last_exit
        broken = m.state == "failed" or (ended and not ended.requested and ended.code)
        # One that waits for its next restart is "starting": its end is what matters.
        if not broken or m.state == "started" or len(found) >= SHOWN_FAILURES:
            continue
        query: Query = {"machine": m.id, "limit": LAST_LINES, "follow": False}
        with api.stream("GET", app_path(app, "logs"), params=query) as lines:
            output_lines = [str(item.get("message", "")) for item in lines]
        found[m.id] = {
            "exit_code": ended.code if ended else None,
            "reason": views.why_failed(m),
            "oom_killed": ended.oom_killed if ended else False,
            "at": ended.at if ended else None,
            "last_output": output_lines,
        }
    return found


def _print_failures(failures: Mapping[str, Mapping[str, Any]]) -> None:
    for machine, facts in failures.items():
        code = facts["exit_code"]
        how = f"failed: {facts['reason']}" if facts["reason"] else "failed"
        how = f"ended with exit code {code}" if code is not None else how
        oom = " (out of memory)" if facts["oom_killed"] else ""
        output.line()
        output.line(f"Machine {machine} {how}{oom} {relative(facts['at'])}".rstrip())
        for text in facts["last_output"]:
            output.line(f"  {text}")


def _json(
    facts: Mapping[str, Any],
    machines: list[dict[str, Any]],
    releases: list[dict[str, Any]],
    failures: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Fly's status object: its keys are capitalised, those of the Machines are not."""
    name = str(facts.get("name", ""))
    org = facts.get("organization") or {}
    return {
        "ID": str(facts.get("id", "")),
        "Name": name,
        "Deployed": facts.get("status") in {"deployed", "suspended"},
        "Status": str(facts.get("status", "")),
        "Hostname": f"{name}.flycast",
        "Version": int(releases[0].get("version", 0)) if releases else 0,
        "AppURL": f"http://{name}.flycast",
        "Network": str(facts.get("network") or "default"),
        "Organization": {"Name": str(org.get("name", "")), "Slug": str(org.get("slug", ""))},
        "PlatformVersion": "machines",
        "Machines": machines,
        "Failures": dict(failures),
    }
