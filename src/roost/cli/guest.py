"""The size of a Machine from `--vm-*` flags."""

from __future__ import annotations

import re
from typing import Literal, cast

from roost.errors import InvalidError
from roost.model.machine_config import Guest
from roost.spec.sizes import memory_mb

_PRESET = re.compile(r"(shared-cpu|performance)-(\d+)x")
_PER_CPU = {"shared": 256, "performance": 2048}


def guest(*, size: str | None, cpus: int | None, cpu_kind: str | None, memory: str | None) -> Guest:
    """The size; the preset is laid under the single flags. Raises InvalidError."""
    kind, count = _preset(size)
    kind = cpu_kind or kind
    count = cpus or count
    if kind not in _PER_CPU:
        raise InvalidError(f"CPU kind {kind!r} is unknown", hint="use shared or performance")
    return Guest(
        cpu_kind=cast("Literal['shared', 'performance']", kind),
        cpus=count,
        memory_mb=memory_mb(memory) if memory else _PER_CPU[kind] * count,
    )


def _preset(size: str | None) -> tuple[str, int]:
    if size is None:
        return "shared", 1
    match = _PRESET.fullmatch(size)
    if match is None or not 1 <= int(match[2]) <= 16:
        raise InvalidError(f"VM size {size!r} is unknown", hint="see: roost platform vm-sizes")
    return ("shared" if match[1] == "shared-cpu" else "performance"), int(match[2])
