"""Rules of fly.toml that concern more than one value; the server runs them again.

Errors are what Fly's client refuses, and what its documentation forbids without the client looking
(reference: docs/reference/configuration, docs/networking/services).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from roost.spec import groups
from roost.spec.app_config import HOST_IMAGE, AppConfig, File, Mount
from roost.spec.port_rules import check_ports
from roost.spec.problems import Finding
from roost.spec.service_rules import check_services
from roost.spec.toml_lines import Path

MAX_STATICS = 10


def check(config: AppConfig) -> list[Finding]:
    """Everything that several keys together make wrong or noteworthy, errors and warnings."""
    rules = (
        _groups_exist,
        check_services,
        check_ports,
        _deploy,
        _mounts,
        _files,
        _statics,
        _build,
        _host_image_has_command,
    )
    return [finding for rule in rules for finding in rule(config)]


def host_command(config: AppConfig, image: str | None) -> Iterator[Finding]:
    """Findings for groups that would run the host's image without saying what to run in it."""
    if image != HOST_IMAGE:
        return
    inner = config.experimental
    if inner is not None and (inner.cmd or inner.entrypoint or inner.exec):
        return
    for group in groups.names(config):
        if not config.processes.get(group, "").strip():
            path: Path = ("processes", group) if group in config.processes else ("build", "image")
            yield Finding(
                path=path,
                message=f"{HOST_IMAGE} has no program of its own, and process group {group!r} "
                "names none",
                hint=f'add [processes] {group} = "your command"',
            )


def _host_image_has_command(config: AppConfig) -> Iterator[Finding]:
    return host_command(config, config.build.image if config.build else None)


def _groups_exist(config: AppConfig) -> Iterator[Finding]:
    known = groups.names(config)
    sections: list[tuple[Path, Iterable[str]]] = [
        *((("checks", name), check.processes) for name, check in config.checks.items()),
        *_scoped("mounts", config.mounts),
        *_scoped("vm", config.vm),
        *_scoped("restart", config.restart),
        *_scoped("files", config.files),
        *_scoped("metrics", config.metrics),
        *_scoped("services", config.services),
    ]
    if config.http_service is not None:
        sections.append((("http_service",), config.http_service.processes))
    for path, wanted in sections:
        for number, name in enumerate(wanted):
            if name not in known:
                yield Finding(
                    path=(*path, "processes", number),
                    message=f"process group {name!r} does not exist",
                    hint=f"groups of this app: {', '.join(known)}",
                )


def _scoped(key: str, sections: Iterable[groups.Scoped]) -> Iterator[tuple[Path, Iterable[str]]]:
    for number, section in enumerate(sections):
        yield (key, number), section.processes


def _deploy(config: AppConfig) -> Iterator[Finding]:
    deploy = config.deploy
    if deploy is None:
        return
    if deploy.strategy in {"canary", "bluegreen"} and config.mounts:
        yield Finding(
            path=("deploy", "strategy"),
            message=f"`deploy.strategy` {deploy.strategy!r} does not work for an app with mounts",
            hint='use "rolling" or "immediate"',
        )
    if deploy.max_unavailable is not None and deploy.strategy in {"immediate", "bluegreen"}:
        yield Finding(
            path=("deploy", "max_unavailable"),
            message=f"`deploy.max_unavailable` has no effect with strategy {deploy.strategy!r}",
            level="warning",
        )


def _mounts(config: AppConfig) -> Iterator[Finding]:
    seen: set[str] = set()
    for number, mount in enumerate(config.mounts):
        for group in groups.names(config):
            if groups.matches(mount, group, config):
                if group in seen:
                    yield Finding(
                        path=("mounts", number),
                        message=f"process group {group!r} has more than one mount",
                        hint="one volume a Machine: remove one, or give it other `processes`",
                    )
                seen.add(group)
        yield from _extension(number, mount)


def _extension(number: int, mount: Mount) -> Iterator[Finding]:
    threshold, increment = mount.auto_extend_size_threshold, mount.auto_extend_size_increment
    if (threshold is None) == (increment is None):
        if mount.auto_extend_size_limit is None or threshold is not None:
            return
        missing = "auto_extend_size_threshold"
    else:
        missing = f"auto_extend_size_{'threshold' if threshold is None else 'increment'}"
    yield Finding(
        path=("mounts", number),
        message=f"automatic extension needs `{missing}` too",
        hint="set threshold and increment, or remove all auto_extend_size_* keys",
    )


def _files(config: AppConfig) -> Iterator[Finding]:
    for number, file in enumerate(config.files):
        given = _sources(file)
        if len(given) > 1:
            yield Finding(
                path=("files", number, given[1]),
                message=f"file {file.guest_path} has more than one source: {', '.join(given)}",
                hint="keep one of local_path, secret_name and raw_value",
            )


def _sources(file: File) -> list[str]:
    return [key for key in ("local_path", "secret_name", "raw_value") if getattr(file, key)]


def _statics(config: AppConfig) -> Iterator[Finding]:
    if len(config.statics) > MAX_STATICS:
        yield Finding(
            path=("statics", MAX_STATICS),
            message=f"there are {len(config.statics)} [[statics]]",
            hint=f"at most {MAX_STATICS} are possible",
        )
    seen: dict[str, int] = {}
    for number, static in enumerate(config.statics):
        if seen.setdefault(static.url_prefix, number) != number:
            yield Finding(
                path=("statics", number, "url_prefix"),
                message=f"`url_prefix` {static.url_prefix!r} is used twice",
                hint="give each [[statics]] a prefix of its own",
            )


def _build(config: AppConfig) -> Iterator[Finding]:
    build = config.build
    if build is None:
        return
    methods = [key for key in ("image", "builder", "builtin", "dockerfile") if getattr(build, key)]
    if len(methods) > 1:
        yield Finding(
            path=("build", methods[1]),
            message=f"[build] names more than one source of the image: {', '.join(methods)}",
            hint=f"`{methods[0]}` is used",
            level="warning",
        )
