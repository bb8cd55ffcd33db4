"""`roost machine run`: one Machine from an image, outside of deploys."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from roost.cli import options, output, ports, views
from roost.cli.client import Api, app_path, connect
from roost.cli.command import command
from roost.cli.commands.machine_app import app as group
from roost.cli.guest import guest
from roost.cli.pairs import pairs
from roost.cli.progress import working
from roost.cli.project import app_name
from roost.cli.times import patience
from roost.cli.waiting import AT_REST, wait_until
from roost.errors import NotFoundError, UnavailableError
from roost.model.machine_config import Dns, Init, MachineConfig, Restart


class Policy(StrEnum):
    """Restart policies."""

    NO = "no"
    ALWAYS = "always"
    ON_FAILURE = "on-failure"


class Autostop(StrEnum):
    """What is done with an idle Machine."""

    OFF = "off"
    STOP = "stop"
    SUSPEND = "suspend"


PortFlags = Annotated[
    list[str] | None,
    typer.Option(
        "--port", "-p", metavar="PORT", help="port[:internal][/protocol[:handler...]]; repeatable."
    ),
]


@command(group, "run")
def run(
    *,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="Such as roost/host or nginx:1.")],
    words: Annotated[list[str] | None, typer.Argument(metavar="COMMAND")] = None,
    app: options.App = None,
    config: options.Config = None,
    name: Annotated[str | None, typer.Option("--name", "-n", help="The Machine's name.")] = None,
    region: options.Region = None,
    port: PortFlags = None,
    autostart: Annotated[
        bool | None, typer.Option("--autostart/--no-autostart", help="Connections wake it.")
    ] = None,
    autostop: Annotated[Autostop | None, typer.Option("--autostop", help="When idle.")] = None,
    restart: Annotated[Policy | None, typer.Option("--restart", help="When it ends.")] = None,
    rm: Annotated[bool, typer.Option("--rm", help="Destroy it when it ends.")] = False,
    env: options.Env = None,
    metadata: Annotated[
        list[str] | None, typer.Option("--metadata", metavar="NAME=VALUE", help="Metadata.")
    ] = None,
    entrypoint: Annotated[
        str | None, typer.Option("--entrypoint", metavar="COMMAND", help="Instead of the image's.")
    ] = None,
    schedule: Annotated[
        str | None, typer.Option("--schedule", help="hourly, daily, weekly or monthly.")
    ] = None,
    skip_dns_registration: Annotated[
        bool, typer.Option("--skip-dns-registration", help="Keep it out of .internal names.")
    ] = False,
    vm_size: options.VmSize = None,
    vm_cpus: options.VmCpus = None,
    vm_cpu_kind: options.VmCpuKind = None,
    vm_memory: options.VmMemory = None,
    shell: Annotated[
        bool, typer.Option("--shell", help="Open a shell in it; destroyed when the shell ends.")
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Do not wait until it runs.")
    ] = False,
    wait_timeout: Annotated[
        str, typer.Option("--wait-timeout", metavar="TIME", help="At most so long.")
    ] = "5m",
) -> None:
    """Create and start a Machine.

    Words after the image replace its command. Put `--` before a command that has flags of its own.
    """
    policy = Policy.NO if (rm or shell) and restart is None else restart
    asked = MachineConfig(
        image=image,
        init=_init(words or [], entrypoint, shell=shell),
        env=pairs(env or (), "environment variable"),
        metadata=pairs(metadata or (), "metadata"),
        guest=guest(size=vm_size, cpus=vm_cpus, cpu_kind=vm_cpu_kind, memory=vm_memory),
        services=ports.services(
            map(ports.parse, port or ()), autostart=autostart, autostop=autostop
        ),
        restart=Restart(policy=policy.value) if policy else None,
        auto_destroy=rm or shell,
        schedule=schedule,
        dns=Dns(skip_registration=True) if skip_dns_registration else None,
    )
    body = {"config": asked.to_api(), "name": name, "region": region}
    limit = patience(wait_timeout)
    target = app_name(app, config)
    with connect() as api:
        made = _create(api, target, {k: v for k, v in body.items() if v is not None})
        if shell:
            _shell(api, target, made)
        if not detach:
            made = _settle(api, target, made, limit)
    output.show(made.raw, lambda: _print(made))


def _init(words: list[str], entrypoint: str | None, *, shell: bool) -> Init:
    import shlex

    if shell:
        return Init(exec=("/bin/sleep", "inf"))
    first = tuple(shlex.split(entrypoint)) if entrypoint else None
    return Init(entrypoint=first, cmd=tuple(words) or None)


def _create(api: Api, app: str, body: dict[str, object]) -> views.MachineView:
    try:
        return views.machine(api.post(app_path(app, "machines"), body))
    except NotFoundError as error:
        if f'"{app}"' in error.message or "app" in error.message.split()[:1]:
            raise NotFoundError(
                error.message, hint=f"create it: roost apps create {app}"
            ) from error
        raise


def _settle(api: Api, app: str, made: views.MachineView, limit: float) -> views.MachineView:
    """Wait until it runs, or has already ended; a failed start is an error."""
    with working(f"Waiting for machine {made.id} to start"):
        reached = wait_until(api, app, made.id, AT_REST, timeout=limit)
    ended = reached.last_exit
    if reached.state == "failed" or (ended and not ended.requested and ended.code):
        reason = views.why_failed(reached)
        if ended and ended.code is not None:
            reason = f"exit code {ended.code}"
        raise UnavailableError(
            f"machine {made.id} did not stay up{': ' if reason else ''}{reason}",
            hint=f"see: roost logs -a {app} --no-tail --machine {made.id}",
        )
    return reached


def _shell(api: Api, app: str, made: views.MachineView) -> None:
    """Attach a shell, destroy the Machine at its end, and end as it did."""
    from roost.cli.ephemeral import attached

    status = attached(api, app, made.id, [])
    raise typer.Exit(status)


def _print(made: views.MachineView) -> None:
    output.line(f"Machine ID: {made.id}")
    output.line(f"Instance ID: {made.instance_id}")
    output.line(f"State: {made.state}")
    output.line(f"Private IP: {made.private_ip}")
