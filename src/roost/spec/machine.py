"""From an AppConfig to the configuration of one process group's Machines.

Follows what Fly's client sends when it deploys. Fields that fly.toml does not have are kept from
the Machine's present configuration; `env` is replaced as a whole.
"""

from __future__ import annotations

import base64
import shlex
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from roost.model.machine_config import File, Guest, Init, MachineConfig, Restart, StopConfig
from roost.spec import durations, groups
from roost.spec.app_config import HOST_IMAGE, AppConfig, Check, Mount, Vm
from roost.spec.service_config import checks_to_api, service_to_api, without_none
from roost.spec.sizes import PRESETS

PLATFORM_VERSION = "v2"
_KEPT = (
    "schedule",
    "auto_destroy",
    "dns",
    "processes",
    "containers",
    "volumes",
    "rootfs",
    "cache_drive",
    "spot",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseStamp:
    """What a deploy writes into its Machines' metadata."""

    id: str
    version: int
    roost_version: str


def to_machine_config(
    config: AppConfig,
    group: str,
    image: str,
    *,
    release: ReleaseStamp,
    existing: MachineConfig | None = None,
    app_dir: str | None = None,
    region: str | None = None,
) -> MachineConfig:
    """The configuration for a Machine of `group`, new or (with `existing`) updated.

    `region` replaces primary_region in the environment. `app_dir` is used with roost/host only.
    Raises pydantic's ValidationError when the result is not a possible Machine.
    """
    services = tuple(
        converted
        for service in groups.services(config, group)
        for converted in service_to_api(service)
    )
    stop = {"signal": config.kill_signal, "timeout": _text(config.kill_timeout)}
    has_stop = config.kill_signal is not None or config.kill_timeout is not None
    restart = groups.restart(config, group)
    return MachineConfig.model_validate(
        {
            **_kept(existing, has_services=bool(services)),
            "image": image,
            "env": _env(config, group, region),
            "init": _init(config, group),
            "guest": _guest(groups.vm(config, group), existing),
            "metadata": _metadata(group, release, existing),
            "services": services,
            "checks": _checks(config, group),
            "restart": _restart(restart.policy, restart.retries) if restart else None,
            "stop_config": StopConfig.model_validate(stop) if has_stop else None,
            "files": _files(config, group),
            "mounts": _mounts(groups.mount(config, group)),
            "app_dir": app_dir if image == HOST_IMAGE else None,
            **_extras(config, group),
        }
    )


def command(config: AppConfig, group: str) -> tuple[str, ...]:
    """The words of the group's own command; empty means the image's."""
    return tuple(shlex.split(config.processes.get(group, "")))


def _text(nanoseconds: int | None) -> str | None:
    return None if nanoseconds is None else durations.write(nanoseconds)


def _kept(existing: MachineConfig | None, *, has_services: bool) -> dict[str, Any]:
    if existing is None:
        return {}
    have: dict[str, Any] = existing.to_api()
    # A Machine with services cannot stand by for others.
    names = _KEPT if has_services else (*_KEPT, "standbys")
    return {key: have[key] for key in names if key in have}


def _env(config: AppConfig, group: str, region: str | None) -> dict[str, str]:
    env = {**config.env, "FLY_PROCESS_GROUP": group}
    primary = region or config.primary_region
    return {**env, "PRIMARY_REGION": primary} if primary else env


def _init(config: AppConfig, group: str) -> Init:
    words = command(config, group)
    inner = config.experimental
    fields: dict[str, object] = {}
    if words:
        fields["cmd"] = words
    elif inner is not None and inner.cmd:
        fields["cmd"] = inner.cmd
    if inner is not None and inner.entrypoint:
        fields["entrypoint"] = inner.entrypoint
    if inner is not None and inner.exec:
        fields["exec"] = inner.exec
    if config.swap_size_mb:
        fields["swap_size_mb"] = config.swap_size_mb
    return Init.model_validate(fields)


def _guest(vm: Vm | None, existing: MachineConfig | None) -> Guest:
    if vm is None:
        return existing.guest if existing is not None else Guest()
    kind, cpus, memory = PRESETS[vm.size or "shared-cpu-1x"]
    if vm.size is None and vm.cpu_kind == "performance":
        kind, cpus, memory = PRESETS["performance-1x"]
    wanted_cpus = vm.cpus or cpus
    given = vm.memory if vm.memory is not None else vm.memory_mb
    extras: dict[str, object] = {
        "max_memory_mb": vm.max_memory_mb,
        "gpus": vm.gpus,
        "gpu_kind": vm.gpu_kind,
        "kernel_args": list(vm.kernel_args) or None,
        "host_dedication_id": vm.host_dedication_id,
        "persist_rootfs": vm.persist_rootfs,
    }
    return Guest.model_validate(
        {
            "cpu_kind": vm.cpu_kind or kind,
            "cpus": wanted_cpus,
            "memory_mb": given if given is not None else memory * wanted_cpus // cpus,
            **without_none(extras),
        }
    )


def _metadata(group: str, release: ReleaseStamp, existing: MachineConfig | None) -> dict[str, str]:
    return {
        **(existing.metadata if existing is not None else {}),
        "fly_platform_version": PLATFORM_VERSION,
        "fly_process_group": group,
        "fly_flyctl_version": release.roost_version,
        "fly_release_id": release.id,
        "fly_release_version": str(release.version),
    }


def _restart(policy: str, retries: int | None) -> Restart:
    name = "no" if policy == "never" else policy
    return Restart.model_validate(without_none({"policy": name, "max_retries": retries}))


def _files(config: AppConfig, group: str) -> tuple[File, ...]:
    # Other than for services, no `processes` means every group (docs/reference/configuration).
    return tuple(
        File.model_validate(
            without_none(
                {
                    "guest_path": file.guest_path,
                    "raw_value": file.raw_value,
                    "secret_name": file.secret_name or None,
                }
            )
        )
        for file in config.files
        if (file.raw_value is not None or file.secret_name)
        and (not file.processes or group in file.processes)
    )


def _mounts(mount: Mount | None) -> tuple[dict[str, JsonValue], ...]:
    if mount is None:
        return ()
    return (
        {
            key: value
            for key, value in {
                "name": mount.source,
                "path": mount.destination,
                "extend_threshold_percent": mount.auto_extend_size_threshold,
                "add_size_gb": mount.auto_extend_size_increment,
                "size_gb_limit": mount.auto_extend_size_limit,
            }.items()
            if value is not None
        },
    )


def _checks(config: AppConfig, group: str) -> dict[str, Any] | None:
    default_port = config.http_service.internal_port if config.http_service else None
    found = {
        name: _top_check(check, default_port)
        for name, check in config.checks.items()
        if groups.matches(check, group, config)
    }
    return found or None


def _top_check(check: Check, default_port: int | None) -> dict[str, Any]:
    return {**checks_to_api(check.type, check, clamped=False), "port": check.port or default_port}


def _extras(config: AppConfig, group: str) -> dict[str, Any]:
    """Fields of the API that MachineConfig keeps without looking at them."""
    extras: dict[str, Any] = {}
    metrics = groups.of_group(config.metrics, group, config)
    if metrics:
        first = metrics[0]
        extras["metrics"] = {"port": first.port, "path": first.path, "https": first.https}
    if config.statics:
        extras["statics"] = [
            static.model_dump(mode="json", exclude_none=True) for static in config.statics
        ]
    return extras


def encode_file(content: bytes) -> str:
    """The `raw_value` of a file's content."""
    return base64.b64encode(content).decode("ascii")
