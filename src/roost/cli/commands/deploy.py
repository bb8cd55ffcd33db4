"""`roost deploy`."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from roost.cli import options
from roost.cli.client import Api, connect
from roost.cli.command import command, new_app
from roost.cli.config_file import load, show_warnings, with_files
from roost.cli.deploying import DeployFlags, deploy, release_image, used_app_dir
from roost.cli.pairs import pairs
from roost.cli.project import app_name, existing_config
from roost.errors import InvalidError, NotFoundError
from roost.spec.app_config import HOST_IMAGE

app = new_app("Deploys.")


class Strategy(StrEnum):
    """How Machines are replaced."""

    ROLLING = "rolling"
    IMMEDIATE = "immediate"
    CANARY = "canary"
    BLUEGREEN = "bluegreen"


Flycast = Annotated[
    bool, typer.Option("--flycast", help="Give the app a private (Flycast) address.")
]
NoPublicIps = Annotated[bool, typer.Option("--no-public-ips", help="Give it no public address.")]
Ha = Annotated[bool, typer.Option("--ha/--no-ha", help="Two Machines for each group at first.")]
StrategyFlag = Annotated[
    Strategy | None, typer.Option("--strategy", help="How Machines are replaced.")
]
WaitTimeout = Annotated[
    str | None, typer.Option("--wait-timeout", metavar="TIME", help="For each Machine.")
]
SmokeChecks = Annotated[
    bool, typer.Option("--smoke-checks/--no-smoke-checks", help="Watch new Machines for a while.")
]
SkipHealthChecks = Annotated[
    bool,
    typer.Option("--skip-health-checks", help="Do not wait until health checks pass."),
]
MaxUnavailable = Annotated[
    float | None,
    typer.Option("--max-unavailable", help="Number, or part below 1, replaced at once."),
]


@command(app, "deploy")
def deploy_(
    *,
    folder: Annotated[
        str | None, typer.Argument(metavar="FOLDER", help="The app's folder.")
    ] = None,
    app: options.App = None,
    config: options.Config = None,
    image: options.Image = None,
    flycast: Flycast = False,
    no_public_ips: NoPublicIps = False,
    ha: Ha = True,
    strategy: StrategyFlag = None,
    wait_timeout: WaitTimeout = None,
    max_unavailable: MaxUnavailable = None,
    smoke_checks: SmokeChecks = True,
    skip_health_checks: SkipHealthChecks = False,
    env: options.Env = None,
    detach: options.Detach = False,
    yes: options.Yes = False,
) -> None:
    """Deploy fly.toml: make or update the app's Machines.

    Waits until they are up, unless --detach is given. Without a fly.toml the configuration of the
    latest release is deployed again.
    """
    del yes
    flags = DeployFlags(
        image=image,
        strategy=strategy.value if strategy else None,
        ha=ha,
        flycast=flycast,
        no_public_ips=no_public_ips,
        detach=detach,
        wait_timeout=wait_timeout,
        max_unavailable=max_unavailable,
        smoke_checks=smoke_checks,
        skip_health_checks=skip_health_checks,
        env=pairs(env or (), "environment variable"),
    )
    path = existing_config(config or folder)
    with connect() as api:
        if path is None:
            _deploy_again(api, app_name(app, None), flags)
        else:
            deploy_file(api, path, app, flags)


def deploy_file(api: Api, path: Path, app: str | None, flags: DeployFlags) -> None:
    """Deploy a fly.toml to the app that `app`, FLY_APP or the file names."""
    parsed = load(path)
    name = app_name(app, str(path))
    show_warnings(parsed)
    folder = path.resolve().parent
    build = parsed.config.build
    image = need_image(flags.image or (build.image if build else None), folder)
    value = with_files(parsed.config, folder).show() | {"app": name}
    app_dir = str(folder) if image == HOST_IMAGE else None
    deploy(api, name, config=value, flags=flags, app_dir=app_dir)


def need_image(image: str | None, folder: Path) -> str:
    """The image. Raises InvalidError when there is none: building one is not there yet."""
    if image:
        return image
    found = " from a Dockerfile" if (folder / "Dockerfile").exists() else ""
    raise InvalidError(
        f"no image is named, and Roost cannot build images{found} yet",
        hint="pass --image REF, or use the host's own programs: --image roost/host, or in fly.toml "
        '`[build] image = "roost/host"` with a command under `[processes]`',
    )


def _deploy_again(api: Api, name: str, flags: DeployFlags) -> None:
    """Without a fly.toml: the latest release's configuration."""
    for release in api.releases(name):
        if release.get("config"):
            again = replace(flags, image=flags.image or release_image(release))
            app_dir = used_app_dir(api, name)
            deploy(api, name, config=release["config"], flags=again, app_dir=app_dir)
            return
    raise NotFoundError(
        "there is no fly.toml here, and the app was never deployed",
        hint="make one with roost launch, or pass -c PATH",
    )
