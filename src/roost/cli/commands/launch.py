"""`roost launch`: write a fly.toml, create the app, deploy it."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from roost.cli import options, output
from roost.cli.client import Api, app_path, connect
from roost.cli.command import command, new_app
from roost.cli.commands.deploy import (
    Flycast,
    Ha,
    MaxUnavailable,
    NoPublicIps,
    SmokeChecks,
    StrategyFlag,
    WaitTimeout,
    deploy_file,
)
from roost.cli.deploying import DeployFlags
from roost.cli.launching import LaunchFlags, Plan, make_plan, say_plan
from roost.cli.pairs import pairs
from roost.cli.project import config_path, org_slug
from roost.cli.session import current
from roost.errors import InvalidError, RoostError

app = new_app("Launch.")


class AutoStop(StrEnum):
    """What is done with idle Machines."""

    OFF = "off"
    STOP = "stop"
    SUSPEND = "suspend"


@command(app, "launch")
def launch(
    *,
    image: options.Image = None,
    flycast: Flycast = False,
    name: Annotated[str | None, typer.Option("--name", "-n", help="The app's name.")] = None,
    generate_name: Annotated[bool, typer.Option("--generate-name", help="Make up a name.")] = False,
    internal_port: Annotated[
        int | None,
        typer.Option("--internal-port", min=1, max=65535, help="Port the app listens on (8080)."),
    ] = None,
    command_line: Annotated[
        str | None, typer.Option("--command", metavar="COMMAND", help="Instead of the image's.")
    ] = None,
    auto_stop: Annotated[
        AutoStop | None, typer.Option("--auto-stop", help="When idle (default: stop).")
    ] = None,
    org: options.Org = None,
    region: options.Region = None,
    network: options.Network = "",
    copy_config: Annotated[
        bool, typer.Option("--copy-config", help="Use the fly.toml that is there.")
    ] = False,
    no_deploy: Annotated[
        bool, typer.Option("--no-deploy", help="Write and create, but do not deploy.")
    ] = False,
    no_public_ips: NoPublicIps = False,
    ha: Ha = True,
    strategy: StrategyFlag = None,
    wait_timeout: WaitTimeout = None,
    max_unavailable: MaxUnavailable = None,
    smoke_checks: SmokeChecks = True,
    env: options.Env = None,
    detach: options.Detach = False,
    yes: options.Yes = False,
    config: options.Config = None,
) -> None:
    """Make a new app: write fly.toml, create the app, deploy it.

    Needs --image, or a fly.toml that names one; images cannot be built yet. The host's own programs
    are the image roost/host: `roost launch --flycast --image roost/host --command 'python3 -m
    http.server 8080'`. With --flycast, force_https is written as false.
    """
    path = config_path(config)
    flags = LaunchFlags(
        name=name,
        generate_name=generate_name,
        image=image,
        region=region,
        internal_port=internal_port,
        auto_stop=auto_stop.value if auto_stop else None,
        command=command_line,
        flycast=flycast,
    )
    deploy_flags = DeployFlags(
        strategy=strategy.value if strategy else None,
        ha=ha,
        flycast=flycast,
        no_public_ips=no_public_ips,
        detach=detach,
        wait_timeout=wait_timeout,
        max_unavailable=max_unavailable,
        smoke_checks=smoke_checks,
        env=pairs(env or (), "environment variable"),
    )
    copy = _use_existing(path, copy=copy_config, yes=yes)
    with connect() as api:
        plan = make_plan(api, path, flags, copy=copy)
        _check_writable(plan)
        say_plan(plan, region=plan.config.primary_region or "")
        _make(api, plan, org=org_slug(org), network=network, flycast=flycast)
        if no_deploy:
            _say_ready(plan)
        else:
            _deploy(api, plan, deploy_flags)
    _say_result(plan, deployed=not no_deploy)


def _use_existing(path: Path, *, copy: bool, yes: bool) -> bool:
    """Whether the file that is there is used. Raises when it is there and nobody said so."""
    if not path.exists():
        if copy:
            raise InvalidError(f"--copy-config: {path} does not exist")
        return False
    if output.confirm(f"Use the existing {path} for the new app?", yes=copy or yes):
        return True
    raise RoostError(f"{path} was not changed", hint="launch in another folder, or pass -c PATH")


def _check_writable(plan: Plan) -> None:
    """Find out now, before the app is created, that the file cannot be written."""
    folder = plan.path.resolve().parent
    target = plan.path if plan.path.exists() else folder
    if plan.text is not None and not os.access(target, os.W_OK):
        raise InvalidError(f"{plan.path} cannot be written", hint="pass -c PATH")


def _make(api: Api, plan: Plan, *, org: str, network: str, flycast: bool) -> None:
    """Create the app and write the file; what exists after a failure is said."""
    body = {
        "name": plan.app,
        "org_slug": org,
        "network": network,
        "wants_flycast": flycast,
    }
    api.post("/v1/apps", body)
    try:
        if plan.text is not None:
            plan.path.write_text(plan.text, encoding="utf-8")
    except OSError as error:
        api.call("DELETE", app_path(plan.app))
        raise InvalidError(f"{plan.path} cannot be written: {error.strerror}") from error
    output.note(f"Created app {plan.app}" + (f" and {plan.path}" if plan.text else ""))


def _deploy(api: Api, plan: Plan, flags: DeployFlags) -> None:
    """Deploy; a failure before the first release (no image, say) takes the new app away again."""
    try:
        deploy_file(api, plan.path, plan.app, flags)
    except RoostError as error:
        if _removed_again(api, plan.app):
            output.note(
                f"Nothing was deployed, so the app {plan.app} was removed again; {plan.path} stays"
            )
        else:
            output.note(
                f"The app {plan.app} and {plan.path} exist. Go on with: "
                f"roost deploy -a {plan.app}, or remove it with: "
                f"roost apps destroy {plan.app} --yes"
            )
        raise error from None


def _removed_again(api: Api, app: str) -> bool:
    """Take an app without any release away. What fails here must not hide the first error."""
    try:
        if api.releases(app):
            return False
        api.call("DELETE", app_path(app))
    except RoostError:
        return False
    return True


def _say_ready(plan: Plan) -> None:
    output.note(f"App {plan.app} is ready. Deploy it with: roost deploy")


def _say_result(plan: Plan, *, deployed: bool) -> None:
    value = {"app": plan.app, "config": str(plan.path), "deployed": deployed}
    if current().json:
        output.print_json_line(value)
