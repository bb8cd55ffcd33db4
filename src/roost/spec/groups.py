"""Which process groups an app has, and which sections are for which group."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

from roost.spec.app_config import DEFAULT_GROUP, AppConfig, Mount, Restart, Vm
from roost.spec.services import HttpService, Service


class Scoped(Protocol):
    """A section with a list of process groups."""

    @property
    def processes(self) -> tuple[str, ...]:
        """Names of groups; empty has a meaning of its own for each kind of section."""
        ...


T = TypeVar("T", bound=Scoped)


def names(config: AppConfig) -> list[str]:
    """All process groups in alphabetical order; without `[processes]` only `app`."""
    return sorted(config.processes) or [DEFAULT_GROUP]


def default(config: AppConfig) -> str:
    """The group that sections without `processes` are for: `app`, else the first name."""
    known = names(config)
    return DEFAULT_GROUP if DEFAULT_GROUP in known else known[0]


def matches(section: Scoped, group: str, config: AppConfig) -> bool:
    """Whether a section is for a group; without `processes` it is for the default group."""
    if section.processes:
        return group in section.processes
    return group == default(config)


def of_group(sections: Iterable[T], group: str, config: AppConfig) -> list[T]:
    """The sections that are for a group."""
    return [section for section in sections if matches(section, group, config)]


def services(config: AppConfig, group: str) -> list[HttpService | Service]:
    """The services of a group, `[http_service]` first."""
    every: list[HttpService | Service] = [*config.services]
    if config.http_service is not None:
        every.insert(0, config.http_service)
    return of_group(every, group, config)


def mount(config: AppConfig, group: str) -> Mount | None:
    """The group's mount, if any."""
    return next(iter(of_group(config.mounts, group, config)), None)


def vm(config: AppConfig, group: str) -> Vm | None:
    """The `[[vm]]` that names the group, else one that names none, else None."""
    return _named_or_common(config.vm, group)


def restart(config: AppConfig, group: str) -> Restart | None:
    """The last `[[restart]]` that names the group, else the last that names none."""
    return _named_or_common(config.restart, group)


def _named_or_common(sections: Sequence[T], group: str) -> T | None:
    named = [section for section in sections if group in section.processes]
    common = [section for section in sections if not section.processes]
    chosen = named or common
    return chosen[-1] if chosen else None
