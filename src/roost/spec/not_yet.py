"""Keys that are read and checked while their feature does not run yet: one table.

Each entry is a path (`*` stands for any name or number), what is missing, and, where the key alone
says nothing, the values it is about. Removing a line here is the last step of building a feature.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from roost.spec.app_config import AppConfig
from roost.spec.problems import Finding
from roost.spec.toml_lines import Path
from roost.spec.tree import path_text


@dataclass(frozen=True, slots=True)
class Pending:
    """A key without its feature; `values` None means any value but false, "" and empty."""

    path: str
    missing: str
    values: frozenset[str] | None = None


_BUILD = "images are not built yet: give [build] image, or deploy with --image"
_COMMANDS = "commands are not run while deploying yet"
_GUEST = "it has no effect on Machines yet"

PENDING: tuple[Pending, ...] = (
    Pending("swap_size_mb", _GUEST),
    Pending("console_command", "`roost console` does not use it yet"),
    Pending("host_dedication_id", _GUEST),
    Pending("machine_config", "Machines of several containers do not run yet"),
    Pending("container", "Machines of several containers do not run yet"),
    Pending("build.builder", _BUILD),
    Pending("build.buildpacks", _BUILD),
    Pending("build.args", _BUILD),
    Pending("build.dockerfile", _BUILD),
    Pending("build.ignorefile", _BUILD),
    Pending("build.build-target", _BUILD),
    Pending("build.builtin", _BUILD),
    Pending("build.settings", _BUILD),
    Pending("build.compose", _BUILD),
    Pending("build.compression", _BUILD),
    Pending("build.compression_level", _BUILD),
    Pending("deploy.strategy", "it is done as rolling so far", frozenset({"canary", "bluegreen"})),
    Pending("deploy.release_command", _COMMANDS),
    Pending("deploy.release_command_timeout", _COMMANDS),
    Pending("deploy.release_command_vm", _COMMANDS),
    Pending("deploy.seed_command", _COMMANDS),
    Pending("mounts", "volumes do not exist yet, so deploys of it are refused"),
    Pending("vm.*.max_memory_mb", _GUEST),
    Pending("vm.*.gpus", _GUEST),
    Pending("vm.*.gpu_kind", _GUEST),
    Pending("vm.*.kernel_args", _GUEST),
    Pending("vm.*.host_dedication_id", _GUEST),
    Pending("vm.*.persist_rootfs", "the root file system is reset at each cold start so far"),
    Pending("statics", "static files are not served yet"),
    Pending("metrics", "metrics are not collected yet"),
    Pending("experimental.machine_config", "Machines of several containers do not run yet"),
    Pending("experimental.attached", "attached secrets are not exported yet"),
    Pending("experimental.auto_rollback", "deploys are not rolled back yet"),
    Pending("experimental.enable_consul", "there is no Consul"),
    Pending("experimental.enable_etcd", "there is no etcd"),
    Pending("experimental.lazy_load_images", _GUEST),
)


def pending(config: AppConfig) -> Iterator[Finding]:
    """One warning for each entry of the table that the configuration uses, at its first use."""
    data = config.model_dump(mode="json", by_alias=True, exclude_unset=True)
    for entry in PENDING:
        found = next(_uses(data, entry, tuple(entry.path.split(".")), ()), None)
        if found is None:
            continue
        path, value = found
        shown = f" = {value!r}" if entry.values else ""
        # A handler's own number in the list says nothing to the reader.
        named = path[:-1] if isinstance(path[-1], int) else path
        yield Finding(
            path=path,
            message=f"`{path_text(named)}`{shown} is read and checked, but {entry.missing}",
            level="warning",
        )


def _uses(
    data: object, entry: Pending, steps: tuple[str, ...], path: Path
) -> Iterator[tuple[Path, object]]:
    if not steps:
        if _counts(data, entry.values):
            yield path, data
        return
    step, *rest = steps
    children: list[tuple[str | int, object]] = []
    if isinstance(data, dict):
        table = cast("dict[str, object]", data)
        children = list(table.items()) if step == "*" else [(step, table.get(step))]
    elif isinstance(data, list) and step == "*":
        children = list(enumerate(cast("list[object]", data)))
    for key, child in children:
        yield from _uses(child, entry, tuple(rest), (*path, key))


def _counts(value: object, values: frozenset[str] | None) -> bool:
    if values is not None:
        return isinstance(value, str) and value in values
    return value not in (None, False, "", 0, [], {})
