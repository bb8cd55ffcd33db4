"""What this host can do for containers: which programs, which cgroups, and what is lacking.

`detect()` changes nothing and runs nothing; `roost doctor` prints its findings.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from roost.runtime import hierarchy
from roost.runtime.hierarchy import CgroupMode
from roost.runtime.reclaim import swap_total

SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where system programs are, whatever the caller's PATH says."""

_CAP_SYS_RESOURCE = 24
_ALL_IDS = ["0", "0", "4294967295"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is not as it should be. `fatal`: no container can run."""

    what: str
    fix: str
    fatal: bool = False


_OPEN_DEVICES = Finding(
    what="no cgroup limits device access: a device node that an image brings could be opened",
    fix="give Roost CAP_SYS_RESOURCE, or run only images you trust",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    """The host as the runtime driver sees it.

    `runtime` is the OCI runtime to use ("" when none can work), `runtimes` all that are there,
    by name. `init` is the catatonit program. `devices_ruled`: a cgroup limits device access.
    """

    runtime: str
    runtimes: dict[str, Path]
    conmon: Path | None
    init: Path | None
    cgroups: CgroupMode
    covered: bool
    rootless: bool
    can_set_groups: bool
    devices_ruled: bool
    swap: int
    findings: tuple[Finding, ...]

    @property
    def usable(self) -> bool:
        """Whether containers can run."""
        return not any(finding.fatal for finding in self.findings)


def detect(*, prefer: str = "crun", covered: bool = True) -> Detected:
    """Look at this host from the current namespaces. Reads small files; a millisecond.

    `covered`: /sys/fs/cgroup is v2, or will be, as `roost up` sees to on a hybrid host.
    """
    runtimes = {name: path for name in ("crun", "runc") if (path := _program(name))}
    rootless = is_rootless()
    found = hierarchy.find(rootless=rootless)
    conmon = _program("conmon")
    init = _program("catatonit")
    devices_ruled = _devices_ruled(found)
    runtime = choose(tuple(runtimes), prefer=prefer, covered=covered)
    findings = [
        *_programs(runtime, conmon, init),
        *_cgroup_findings(found, covered=covered, runtime=runtime),
        *([] if devices_ruled or rootless else [_OPEN_DEVICES]),
    ]
    return Detected(
        runtime=runtime,
        runtimes=runtimes,
        conmon=conmon,
        init=init,
        cgroups=found.mode,
        covered=covered,
        rootless=rootless,
        can_set_groups=_can_set_groups(),
        devices_ruled=devices_ruled,
        swap=swap_total(),
        findings=tuple(findings),
    )


def choose(available: tuple[str, ...], *, prefer: str, covered: bool) -> str:
    """The OCI runtime to use: `prefer`, else any; crun only where /sys/fs/cgroup is v2. Pure."""
    able = [name for name in available if name != "crun" or covered]
    return prefer if prefer in able else next(iter(able), "")


def is_rootless() -> bool:
    """Whether we are in a user namespace (or an ordinary user)."""
    if os.geteuid() != 0:
        return True
    return Path("/proc/thread-self/uid_map").read_text().split() != _ALL_IDS


def _program(name: str) -> Path | None:
    found = shutil.which(name, path=SEARCH) or shutil.which(name)
    return Path(found) if found else None


def _programs(runtime: str, conmon: Path | None, init: Path | None) -> list[Finding]:
    findings = []
    if not runtime:
        findings.append(
            Finding(
                what="no OCI runtime that works here (crun or runc)",
                fix="install the package crun (or runc)",
                fatal=True,
            )
        )
    if conmon is None:
        findings.append(
            Finding(what="conmon is not installed", fix="install the package conmon", fatal=True)
        )
    if init is None:
        findings.append(
            Finding(
                what="catatonit is not installed: a Machine's program is process 1 itself, and "
                "ignores signals that it has no handler for",
                fix="install the package catatonit",
            )
        )
    return findings


def _cgroup_findings(found: hierarchy.Hierarchy, *, covered: bool, runtime: str) -> list[Finding]:
    findings = []
    if found.mode is CgroupMode.NONE:
        findings.append(
            Finding(
                what=f"no cgroups: {found.problem}; CPU and memory limits are not enforced",
                fix="run Roost as root, or give the user a delegated cgroup v2 subtree",
            )
        )
    elif found.problem:
        findings.append(Finding(what=found.problem, fix="delegate cpu, memory and pids"))
    if not covered and runtime == "runc":
        findings.append(
            Finding(
                what="/sys/fs/cgroup is not cgroup v2 and cannot be made so: runc is used",
                fix="boot with systemd.unified_cgroup_hierarchy=1",
            )
        )
    return findings


def _can_set_groups() -> bool:
    try:
        return Path("/proc/thread-self/setgroups").read_text().strip() == "allow"
    except OSError:
        return True


def _devices_ruled(found: hierarchy.Hierarchy) -> bool:
    """v1: the devices controller; v2: eBPF, for which the runtime raises RLIMIT_MEMLOCK."""
    if found.mode is CgroupMode.HYBRID:
        return "devices" in found.v1
    return found.mode is CgroupMode.UNIFIED and not is_rootless() and _has_sys_resource()


def _has_sys_resource() -> bool:
    for line in Path("/proc/thread-self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_SYS_RESOURCE & 1)
    return False
