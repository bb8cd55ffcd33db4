"""Deciding what `roost launch` makes, before anything is made: name, configuration, file text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from roost.cli import output
from roost.cli.client import Api
from roost.cli.commands.deploy import need_image
from roost.cli.config_file import load, show_warnings
from roost.cli.names import generated_name, name_from_folder
from roost.errors import ConflictError, InvalidError, NotFoundError
from roost.model import ids
from roost.spec.app_config import DEFAULT_GROUP, AppConfig, Build
from roost.spec.fly_toml import recheck
from roost.spec.render import launch_config, render
from roost.spec.services import DEFAULT_INTERNAL_PORT, HttpService, Service

ServiceT = TypeVar("ServiceT", HttpService, Service, HttpService | None)

HEADER = "# fly.toml of {app}, written by roost launch; keys: docs/reference/fly-toml.md\n\n"
NO_HTTPS = (
    "  # Private (Flycast) callers use plain HTTP: a redirect to https would only break them."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchFlags:
    """What the flags of launch say about the configuration; None was not given."""

    name: str | None
    generate_name: bool
    image: str | None
    region: str | None
    internal_port: int | None
    auto_stop: str | None
    command: str | None
    flycast: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will be made. `text` is None when the existing file stays as it is."""

    app: str
    path: Path
    config: AppConfig
    text: str | None


def make_plan(api: Api, path: Path, flags: LaunchFlags, *, copy: bool) -> Plan:
    """Decide everything and check it with the server; changes nothing.

    Raises InvalidError, ConflictError (name taken), ConfigError.
    """
    folder = path.resolve().parent
    if copy:
        parsed = load(path)
        show_warnings(parsed)
        known = parsed.config
        name = _chosen_name(flags, known.app or folder.name)
        _refuse_taken(api, name, copied=known.app == name)
        need_image(flags.image or (known.build.image if known.build else None), folder)
        config = _merged(known, name, _region(api, flags.region or known.primary_region), flags)
        text = None if config == known else render(config)
        return Plan(app=name, path=path, config=config, text=text)
    image = need_image(flags.image, folder)
    name = _chosen_name(flags, folder.name)
    _refuse_taken(api, name, copied=False)
    config = _fresh(name, _region(api, flags.region), image, flags)
    return Plan(app=name, path=path, config=config, text=file_text(config, flycast=flags.flycast))


def file_text(config: AppConfig, *, flycast: bool) -> str:
    """The text of a new fly.toml; with Flycast a comment says why force_https is off."""
    text = HEADER.format(app=config.app) + render(config)
    if not flycast:
        return text
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if line.strip() == "force_https = false":
            lines.insert(number, NO_HTTPS)
            break
    return "\n".join(lines) + "\n"


def _chosen_name(flags: LaunchFlags, known: str) -> str:
    if flags.name:
        return ids.app_name(flags.name)
    if flags.generate_name:
        return generated_name()
    return ids.app_name(name_from_folder(known) or generated_name())


def _refuse_taken(api: Api, name: str, *, copied: bool) -> None:
    try:
        api.app(name)
    except NotFoundError:
        return
    hint = f"deploy it again with roost deploy -a {name}, or" if copied else "choose another one:"
    raise ConflictError(
        f"the app name {name!r} is taken", hint=f"{hint} --name NAME", code="name_taken"
    )


def _region(api: Api, wanted: str | None) -> str:
    """The wanted region, or this Roost's. Raises InvalidError for one that it does not have."""
    reply: Mapping[str, Any] = api.get("/v1/platform/regions")
    codes = [str(item.get("code", "")) for item in reply.get("Regions", [])]
    if wanted is None:
        return str(reply.get("Nearest") or codes[0])
    if wanted not in codes:
        raise InvalidError(f"region {wanted!r} is not there", hint=f"there is {', '.join(codes)}")
    return wanted


def _fresh(name: str, region: str, image: str, flags: LaunchFlags) -> AppConfig:
    try:
        return launch_config(
            app=name,
            region=region,
            image=image,
            internal_port=flags.internal_port or DEFAULT_INTERNAL_PORT,
            auto_stop=flags.auto_stop or "stop",
            # Fly writes true here and its users have to undo it for Flycast.
            force_https=not flags.flycast,
            command=flags.command,
        )
    except ValidationError as error:
        raise InvalidError(_first_problem(error)) from error


def _merged(known: AppConfig, name: str, region: str, flags: LaunchFlags) -> AppConfig:
    """An existing configuration with the flags laid over it."""
    changes: dict[str, object] = {"app": name}
    if known.primary_region is None or flags.region:
        changes["primary_region"] = region
    if flags.image:
        changes["build"] = (known.build or Build()).model_copy(update={"image": flags.image})
    if flags.command:
        changes["processes"] = dict(known.processes) | {"app": flags.command}
    service = _service(known.http_service, flags)
    if flags.command and not known.processes:
        # Services must name their group as soon as there is one with a name.
        service = _in_group(service)
        changes["services"] = tuple(_in_group(one) for one in known.services)
    if service != known.http_service:
        changes["http_service"] = service
    try:
        changed = AppConfig.model_validate(known.model_copy(update=changes).show())
    except ValidationError as error:
        raise InvalidError(_first_problem(error)) from error
    recheck(changed, "fly.toml")
    return changed


def _in_group(service: ServiceT) -> ServiceT:
    """The service, for the group `app` when it names none."""
    if service is None or service.processes:
        return service
    return service.model_copy(update={"processes": (DEFAULT_GROUP,)})


def _service(known: HttpService | None, flags: LaunchFlags) -> HttpService | None:
    wanted: dict[str, object] = {}
    if flags.internal_port is not None:
        wanted["internal_port"] = flags.internal_port
    if known is not None and flags.auto_stop is not None:
        wanted["auto_stop_machines"] = flags.auto_stop
    if not wanted:
        return known
    return (known or HttpService()).model_copy(update=wanted)


def _first_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    context = first.get("ctx") or {}
    where = ".".join(str(part) for part in first["loc"])
    return f"{where} {context.get('sentence') or first['msg']}"


def say_plan(plan: Plan, *, region: str) -> None:
    """Print what is about to be made."""
    service = plan.config.http_service
    build = plan.config.build
    rows = [
        ("App", plan.app),
        ("Region", region),
        ("Image", build.image if build else None),
        ("Internal port", service.internal_port if service else None),
        ("fly.toml", str(plan.path)),
    ]
    for title, value in rows:
        output.note(f"  {title + ':':<15}{value if value is not None else '-'}")
