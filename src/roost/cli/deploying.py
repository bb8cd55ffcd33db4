"""Asking for a deploy and showing how it goes.

The server does the work and reports it as JSON lines; the last one is `done` or `failed`. The
deploy goes on when this process is interrupted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from roost.cli import output
from roost.cli.client import Api, app_path
from roost.cli.progress import Steps, steps
from roost.cli.session import current
from roost.cli.times import patience
from roost.errors import RoostError, UnavailableError
from roost.spec import durations


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployFlags:
    """What the flags of deploy (and launch) ask for; None leaves it to fly.toml or the default."""

    image: str | None = None
    strategy: str | None = None
    ha: bool = True
    flycast: bool = False
    no_public_ips: bool = False
    detach: bool = False
    wait_timeout: str | None = None
    max_unavailable: float | None = None
    smoke_checks: bool = True
    skip_health_checks: bool = False
    env: Mapping[str, str] = field(default_factory=dict)


class DeployFailedError(UnavailableError):
    """The server says that the deploy failed; what the Machine wrote last has been shown."""


def deploy(
    api: Api,
    app: str,
    *,
    config: Mapping[str, Any],
    flags: DeployFlags,
    app_dir: str | None,
    restart_only: bool = False,
) -> None:
    """Deploy a configuration (fly.toml's keys as JSON) and show the progress; blocks until done.

    Raises DeployFailedError, and what the API raises.
    """
    body = request_body(config, flags, app_dir=app_dir, restart_only=restart_only)
    try:
        with api.stream("POST", app_path(app, "deploys"), body=body) as events, steps() as shown:
            _follow(events, shown, app)
    except KeyboardInterrupt:
        output.note(f"The deploy of {app} goes on without you; see: roost releases -a {app}")
        raise


def redeploy(api: Api, app: str, release: Mapping[str, Any], *, detach: bool) -> None:
    """Deploy a release's configuration and image again, so that Machines get new secrets."""
    flags = DeployFlags(image=release_image(release), detach=detach, ha=False)
    config = release.get("config") or {}
    app_dir = used_app_dir(api, app)
    deploy(api, app, config=config, flags=flags, app_dir=app_dir, restart_only=True)


def release_image(release: Mapping[str, Any]) -> str | None:
    """The image that a release deployed."""
    return str(release.get("image_ref") or release.get("image") or "") or None


def used_app_dir(api: Api, app: str) -> str | None:
    """The folder that the app's Machines show at /app, when they do."""
    for raw in api.machines(app):
        if found := (raw.get("config") or {}).get("app_dir"):
            return str(found)
    return None


def request_body(
    config: Mapping[str, Any],
    flags: DeployFlags,
    *,
    app_dir: str | None,
    restart_only: bool = False,
) -> dict[str, Any]:
    """The body of `POST …/deploys` (`roost.deploy.DeployRequest`) without what was not given."""
    asked = {
        "config": dict(config),
        "image": flags.image,
        "strategy": flags.strategy,
        "ha": flags.ha,
        "flycast": flags.flycast,
        "no_public_ips": flags.no_public_ips,
        "detach": flags.detach,
        "wait_timeout": _go(flags.wait_timeout),
        "max_unavailable": flags.max_unavailable,
        "smoke_checks": flags.smoke_checks,
        "skip_health_checks": flags.skip_health_checks or None,
        "env": dict(flags.env) or None,
        "app_dir": app_dir,
        "update_only": restart_only or None,
    }
    return {key: value for key, value in asked.items() if value is not None}


def _follow(events: Iterator[dict[str, Any]], shown: Steps, app: str) -> None:
    """Show each event. Raises DeployFailedError when the last one says so or none came."""
    for event in events:
        if current().json:
            output.print_json_line(event)
        match event.get("type"):
            case "failed":
                raise _failure(event)
            case "done":
                _finish(event)
                return
            case _:
                _show(event, shown)
    raise UnavailableError(
        "the server stopped reporting before the deploy was done",
        hint=f"see: roost releases -a {app}",
    )


def _show(event: Mapping[str, Any], shown: Steps) -> None:
    text = str(event.get("message", ""))
    match event.get("type"):
        case "step":
            shown.step(text)
        case "warning":
            shown.say(f"Warning: {text}")
        case _:
            shown.say(text)


def _go(text: str | None) -> str | None:
    """A flag's time as the duration string that the API takes."""
    return None if text is None else durations.write(round(patience(text) * durations.SECOND))


def _finish(event: Mapping[str, Any]) -> None:
    if current().json:
        return
    output.line(str(event.get("message", "")))
    if event.get("url"):
        output.line(f"Visit: {event['url']}")


def _failure(event: Mapping[str, Any]) -> RoostError:
    for text in event.get("output") or ():
        output.note(f"  {text}")
    message = str(event.get("message") or "the deploy failed")
    return DeployFailedError(message, hint=str(event["hint"]) if event.get("hint") else None)
