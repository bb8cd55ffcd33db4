"""`roost machine start|stop|suspend|restart|destroy|cordon|uncordon`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from roost.cli import options, output
from roost.cli.client import Api, Query, app_path, connect
from roost.cli.command import command
from roost.cli.commands.machine_app import app as group
from roost.cli.progress import working
from roost.cli.project import app_name
from roost.cli.times import patience
from roost.cli.waiting import wait_until

Signal = Annotated[
    str | None, typer.Option("--signal", "-s", metavar="NAME", help="Signal, such as SIGTERM.")
]
Timeout = Annotated[
    str | None,
    typer.Option("--timeout", metavar="TIME", help="How long it may take to end before SIGKILL."),
]
Wait = Annotated[
    str | None,
    typer.Option("--wait-timeout", "-w", metavar="TIME", help="Wait, at most so long."),
]
RESTART_PATIENCE = "5m"


@command(group, "start")
def start(
    machines: options.MachineIds,
    app: options.App = None,
    config: options.Config = None,
    wait: Wait = None,
) -> None:
    """Start Machines (a suspended one is resumed)."""
    _each(machines, app_name(app, config), "start", goal="started", wait=wait)


@command(group, "stop")
def stop(
    *,
    machines: options.MachineIds,
    app: options.App = None,
    config: options.Config = None,
    signal: Signal = None,
    timeout: Timeout = None,
    wait: Wait = None,
) -> None:
    """Stop Machines: a signal, then SIGKILL when the time is over."""
    body: dict[str, str] = {}
    if signal:
        body["signal"] = _signal(signal)
    if timeout:
        body["timeout"] = f"{patience(timeout):g}s"
    _each(machines, app_name(app, config), "stop", goal="stopped", wait=wait, body=body)


@command(group, "suspend")
def suspend(
    machines: options.MachineIds,
    app: options.App = None,
    config: options.Config = None,
    wait: Wait = None,
) -> None:
    """Suspend Machines.

    They are frozen as they are; the next start or connection resumes them.
    """
    _each(machines, app_name(app, config), "suspend", goal="suspended", wait=wait)


@command(group, "restart")
def restart(
    *,
    machines: options.MachineIds,
    app: options.App = None,
    config: options.Config = None,
    signal: Signal = None,
    timeout: Timeout = None,
    force_stop: Annotated[
        bool, typer.Option("--force-stop", help="SIGKILL at once instead of a signal.")
    ] = False,
    wait: Wait = RESTART_PATIENCE,
) -> None:
    """Restart Machines and wait until they run."""
    query: dict[str, str | bool] = {"force_stop": force_stop}
    if signal:
        query["signal"] = _signal(signal)
    if timeout:
        query["timeout"] = f"{patience(timeout):g}s"
    _each(machines, app_name(app, config), "restart", goal="started", wait=wait, query=query)


@command(group, "destroy")
def destroy(
    machines: options.MachineIds,
    app: options.App = None,
    config: options.Config = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Also when it runs.")] = False,
) -> None:
    """Destroy Machines for good."""
    name = app_name(app, config)

    def one(api: Api, machine: str) -> None:
        path = app_path(name, "machines", machine)
        api.call("DELETE", path, params={"force": force, "kill": force})
        output.note(f"{machine} has been destroyed")

    _over(machines, one)


@command(group, "cordon")
def cordon(
    machines: options.MachineIds, app: options.App = None, config: options.Config = None
) -> None:
    """Keep new connections away from Machines."""
    _each(machines, app_name(app, config), "cordon", goal="cordoned", wait=None)


@command(group, "uncordon")
def uncordon(
    machines: options.MachineIds, app: options.App = None, config: options.Config = None
) -> None:
    """Let new connections reach Machines again."""
    _each(machines, app_name(app, config), "uncordon", goal="uncordoned", wait=None)


def _each(
    machines: list[str],
    app: str,
    verb: str,
    *,
    goal: str,
    wait: str | None,
    body: dict[str, str] | None = None,
    query: Query | None = None,
) -> None:
    """POST the verb for each Machine; with `wait`, block until each is in the state `goal`."""
    limit = patience(wait) if wait else None

    def one(api: Api, machine: str) -> None:
        api.post(app_path(app, "machines", machine, verb), body, query)
        if limit is None:
            output.note(f"{machine} {_announced(verb)}")
            return
        with working(f"Waiting for {machine} to be {goal}"):
            wait_until(api, app, machine, [goal], timeout=limit)
        output.note(f"{machine} has been {goal}")

    _over(machines, one)


def _announced(verb: str) -> str:
    done = {"cordon": "has been cordoned", "uncordon": "has been uncordoned"}
    return done.get(verb, f"was asked to {verb}")


def _over(machines: list[str], one: Callable[[Api, str], Any]) -> None:
    with connect() as api:
        for machine in machines:
            one(api, machine)
    output.show({"ok": True, "machines": machines}, lambda: None)


def _signal(text: str) -> str:
    from roost.spec.signals import name

    return name(text)
