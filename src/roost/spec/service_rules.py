"""Rules of services and checks."""

from __future__ import annotations

from collections.abc import Iterator

from roost.errors import InvalidError
from roost.spec import check_limits, durations, groups
from roost.spec.app_config import AppConfig
from roost.spec.problems import Finding
from roost.spec.services import HttpCheck, HttpService, Service, ServiceBase, TcpCheck
from roost.spec.toml_lines import Path

SHORTEST_CHECK = durations.SECOND
LONGEST_CHECK = 60 * durations.SECOND


def check_services(config: AppConfig) -> Iterator[Finding]:
    """Groups, limits and checks of every service, then the top-level checks."""
    for path, service in all_services(config):
        yield from _groups(config, path, service)
        yield from _limits(path, service)
        yield from _service_checks(path, service)
    yield from _top_checks(config)
    yield from _number_of_checks(config)


def all_services(config: AppConfig) -> Iterator[tuple[Path, HttpService | Service]]:
    """Every service with its path, `[http_service]` first."""
    if config.http_service is not None:
        yield ("http_service",), config.http_service
    for number, service in enumerate(config.services):
        yield ("services", number), service


def clamp(duration: int | None, *, lowest: int = SHORTEST_CHECK) -> int | None:
    """What a service check's duration counts as: 1 s to 60 s (a grace period may be 0)."""
    if duration is None:
        return None
    if duration == 0 and lowest == 0:
        return 0
    return min(max(duration, SHORTEST_CHECK), LONGEST_CHECK)


def _groups(config: AppConfig, path: Path, service: ServiceBase) -> Iterator[Finding]:
    if config.processes and not service.processes:
        known = groups.names(config)
        yield Finding(
            path=path,
            message="a service must name its process groups when [processes] exists",
            hint=f'add processes = ["{groups.default(config)}"] (groups: {", ".join(known)})',
        )


def _limits(path: Path, service: ServiceBase) -> Iterator[Finding]:
    limits = service.concurrency
    if limits is None or not limits.soft_limit or not limits.hard_limit:
        return
    if limits.hard_limit < limits.soft_limit:
        yield Finding(
            path=(*path, "concurrency", "hard_limit"),
            message=f"`hard_limit` {limits.hard_limit} is less than `soft_limit` "
            f"{limits.soft_limit}",
            hint="the hard limit must be at least the soft limit",
        )


def _service_checks(path: Path, service: HttpService | Service) -> Iterator[Finding]:
    if isinstance(service, HttpService):
        lists: dict[str, tuple[TcpCheck, ...]] = {"checks": service.checks}
    else:
        lists = {"tcp_checks": service.tcp_checks, "http_checks": service.http_checks}
    for key, checks in lists.items():
        for number, check in enumerate(checks):
            yield from _clamped((*path, key, number), check)
            yield from _headers((*path, key, number), check)


def _clamped(path: Path, check: TcpCheck) -> Iterator[Finding]:
    for key in ("interval", "timeout", "grace_period"):
        given: int | None = getattr(check, key)
        counted = clamp(given, lowest=0 if key == "grace_period" else SHORTEST_CHECK)
        if given is not None and counted is not None and given != counted:
            yield Finding(
                path=(*path, key),
                message=f"`{key}` {durations.write(given)} counts as {durations.write(counted)}",
                hint="checks of services take 1s to 60s",
                level="warning",
            )


def _top_checks(config: AppConfig) -> Iterator[Finding]:
    for name, check in config.checks.items():
        yield from _headers(("checks", name), check)
        if check.port is None and not (
            config.http_service is not None
            and any(
                groups.matches(config.http_service, group, config)
                for group in groups.names(config)
                if groups.matches(check, group, config)
            )
        ):
            yield Finding(
                path=("checks", name),
                message=f"check {name!r} has no `port`",
                hint="add port = …; only checks of groups with [http_service] have a default",
            )


def _headers(path: Path, check: TcpCheck) -> Iterator[Finding]:
    if not isinstance(check, HttpCheck):
        return
    try:
        check_limits.headers(list(check.headers.items()))
    except InvalidError as error:
        yield Finding(path=(*path, "headers"), message=error.message, hint=error.hint)


def _number_of_checks(config: AppConfig) -> Iterator[Finding]:
    for group in groups.names(config):
        own = sum(groups.matches(check, group, config) for check in config.checks.values())
        of_services = sum(
            len(service.checks)
            if isinstance(service, HttpService)
            else len(service.tcp_checks) + len(service.http_checks)
            for _, service in all_services(config)
            if groups.matches(service, group, config)
        )
        if own + of_services > check_limits.MAX_CHECKS:
            yield Finding(
                path=("checks",),
                message=f"process group {group!r} has {own + of_services} checks",
                hint=f"at most {check_limits.MAX_CHECKS} are possible",
            )
