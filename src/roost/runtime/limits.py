"""What a container may use, as cgroup values: pure, for both cgroup worlds.

Unified (v2): the OCI runtime applies `oci_resources`. Hybrid (v1 controllers beside a bare v2
tree): we write `v1_values` into our own v1 groups before the program starts.
"""

from __future__ import annotations

from dataclasses import dataclass

CPU_PERIOD_US = 100_000
_MIN_QUOTA_US = 1_000
"""The kernel refuses less than 1 ms per period."""

V1_CONTROLLERS = ("cpu", "memory", "pids", "devices")

DEVICES = (
    ("c", 1, 3),  # null
    ("c", 1, 5),  # zero
    ("c", 1, 7),  # full
    ("c", 1, 8),  # random
    ("c", 1, 9),  # urandom
    ("c", 5, 0),  # tty
    ("c", 5, 2),  # ptmx
    ("c", 136, None),  # pts
    ("c", 10, 200),  # net/tun
)
"""Character devices a container may open; it may make nodes of others, but not open them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`cpus` in cores, `memory` in bytes (0: unlimited), `pids` as a number of tasks."""

    cpus: float
    memory: int
    pids: int

    @property
    def cpu_quota_us(self) -> int:
        """Microseconds of processor time per period."""
        return max(round(self.cpus * CPU_PERIOD_US), _MIN_QUOTA_US)


def oci_resources(
    limits: Limits, *, controllers: frozenset[str], devices: bool
) -> dict[str, object]:
    """`linux.resources` of config.json for a unified hierarchy with these controllers.

    What no controller enforces is left out: the OCI runtime would fail on it. Swap stays
    unlimited: a suspended Machine's memory is meant to go there.
    """
    resources: dict[str, object] = {}
    if "pids" in controllers:
        resources["pids"] = {"limit": limits.pids}
    if limits.cpus > 0 and "cpu" in controllers:
        resources["cpu"] = {"quota": limits.cpu_quota_us, "period": CPU_PERIOD_US}
    if limits.memory > 0 and "memory" in controllers:
        resources["memory"] = {"limit": limits.memory}
    if devices:
        resources["devices"] = _oci_devices()
    return resources


def _oci_devices() -> list[dict[str, object]]:
    rules: list[dict[str, object]] = [{"allow": False, "access": "rwm"}]
    rules += [{"allow": True, "type": kind, "access": "m"} for kind in ("c", "b")]
    for kind, major, minor in DEVICES:
        rule: dict[str, object] = {"allow": True, "type": kind, "major": major, "access": "rwm"}
        if minor is not None:
            rule["minor"] = minor
        rules.append(rule)
    return rules


def v1_values(limits: Limits) -> list[tuple[str, str, str]]:
    """(controller, file, value) in the order in which they are to be written."""
    values = [("pids", "pids.max", str(limits.pids))]
    if limits.cpus > 0:
        values += [
            ("cpu", "cpu.cfs_period_us", str(CPU_PERIOD_US)),
            ("cpu", "cpu.cfs_quota_us", str(limits.cpu_quota_us)),
        ]
    if limits.memory > 0:
        values.append(("memory", "memory.limit_in_bytes", str(limits.memory)))
    values += [
        ("devices", "devices.deny", "a"),
        ("devices", "devices.allow", "c *:* m"),
        ("devices", "devices.allow", "b *:* m"),
    ]
    for kind, major, minor in DEVICES:
        text = "*" if minor is None else str(minor)
        values.append(("devices", "devices.allow", f"{kind} {major}:{text} rwm"))
    return values
