"""`roost doctor`: what this host has and lacks, each with the fix."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from roost.daemon import holder, lock
from roost.errors import RoostError
from roost.home import Home
from roost.proxyctl.find import find_proxy
from roost.proxyctl.process import processes

Status = Literal["ok", "degraded", "missing"]
_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `fix` says what to do unless the status is ok."""

    name: str
    status: Status
    detail: str
    fix: str = ""

    def as_dict(self) -> dict[str, str]:
        """For --json."""
        return asdict(self)


def examine(home: Home) -> list[Finding]:
    """Look at everything Roost needs. Changes nothing; takes well under a second."""
    checks: tuple[Callable[[], Finding], ...] = (
        _kernel,
        _user,
        _user_namespaces,
        _cgroups,
        _freezer,
        _swap,
        _oci_runtime,
        lambda: _program("conmon", "missing", "keeps output and exit status of containers"),
        lambda: _program("nft", "missing", "guards the private networks", package="nftables"),
        lambda: _program("nsenter", "missing", "enters namespaces", package="util-linux"),
        lambda: _program("skopeo", "degraded", "fetches images; roost/host works without"),
        lambda: _program("catatonit", "degraded", "reaps processes inside Machines"),
        _egress,
        lambda: _proxy(home),
        _open_files,
        lambda: _home(home),
    )
    return [check() for check in checks]


def render(findings: list[Finding]) -> str:
    """The report as text."""
    width = max(len(item.name) for item in findings)
    lines = []
    for item in findings:
        lines.append(f"{item.status:<9} {item.name:<{width}}  {item.detail}")
        if item.fix and item.status != "ok":
            lines.append(f"{'':<9} {'':<{width}}  → {item.fix}")
    return "\n".join(lines)


def _kernel() -> Finding:
    release = os.uname().release
    parts = release.split(".")
    recent = (int(parts[0]), int(parts[1].partition("-")[0])) >= (5, 15)
    if recent:
        return Finding("kernel", "ok", release)
    return Finding("kernel", "degraded", f"{release} is older than 5.15", "use a newer kernel")


def _user() -> Finding:
    if os.geteuid() == 0:
        return Finding("user", "ok", "root")
    return Finding(
        "user",
        "degraded",
        "not root: Roost runs in a user namespace, without egress to the outside",
        "run as root for egress and limits",
    )


def _user_namespaces() -> Finding:
    tried = subprocess.run(["unshare", "--user", "true"], capture_output=True, check=False)
    if tried.returncode == 0:
        return Finding("user namespaces", "ok", "can be made (needed only without root)")
    needed = os.geteuid() != 0
    return Finding(
        "user namespaces",
        "missing" if needed else "degraded",
        "cannot be made",
        "sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces above 0",
    )


def _cgroups() -> Finding:
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").is_file():
        controllers = (root / "cgroup.controllers").read_text().split()
        lacking = [name for name in ("cpu", "memory", "pids") if name not in controllers]
        if lacking:
            return Finding(
                "cgroups",
                "degraded",
                f"v2 without {', '.join(lacking)}: limits are not enforced",
                "delegate the controllers to this user (systemd: Delegate=yes)",
            )
        return Finding("cgroups", "ok", "v2")
    if (root / "unified" / "cgroup.procs").is_file():
        return Finding("cgroups", "ok", "v1 + v2 hybrid: limits by v1, freezing by v2")
    return Finding(
        "cgroups",
        "degraded",
        "v1 only: no suspend",
        "boot with systemd.unified_cgroup_hierarchy=1",
    )


def _freezer() -> Finding:
    for root in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")):
        if (root / "cgroup.procs").is_file() and os.access(root, os.W_OK):
            return Finding("freezer", "ok", "cgroup v2: Machines can be suspended")
    return Finding(
        "freezer",
        "degraded",
        "no writable cgroup v2: Machines are suspended by signals instead",
        "run as root, or delegate a cgroup to this user",
    )


def _swap() -> Finding:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("SwapTotal:") and int(line.split()[1]) > 0:
            return Finding("swap", "ok", f"{int(line.split()[1]) // 1024} MiB")
    return Finding(
        "swap",
        "degraded",
        "none: a suspended Machine's memory stays resident",
        "add swap or zram to push sleepers out of memory",
    )


def _oci_runtime() -> Finding:
    for name in ("crun", "runc"):
        path = shutil.which(name, path=_PATH)
        if path:
            return Finding("OCI runtime", "ok", path)
    return Finding(
        "OCI runtime", "missing", "neither crun nor runc", "apt-get install crun (or runc)"
    )


def _program(name: str, otherwise: Status, why: str, package: str = "") -> Finding:
    path = shutil.which(name, path=_PATH)
    if path:
        return Finding(name, "ok", path)
    return Finding(name, otherwise, f"not found: {why}", f"apt-get install {package or name}")


def _egress() -> Finding:
    if os.geteuid() != 0:
        return Finding("egress", "degraded", "not available without root", "run as root")
    if os.access("/proc/sys/net/ipv4/ip_forward", os.W_OK):
        return Finding("egress", "ok", "NAT to the host's outside")
    return Finding(
        "egress", "degraded", "/proc/sys/net is read-only", "set net.ipv4.ip_forward=1 yourself"
    )


def _proxy(home: Home) -> Finding:
    try:
        program = find_proxy()
    except RoostError as error:
        return Finding("roost-proxy", "missing", error.message, error.hint or "")
    running = [one.pid for one in processes(home) if one.pid is not None]
    if running and not any(_runs(pid, program) for pid in running):
        return Finding(
            "roost-proxy",
            "degraded",
            f"{program} is installed, but another one runs (pid {running[0]})",
            "roost proxy upgrade (open connections go on)",
        )
    return Finding("roost-proxy", "ok", str(program))


def _runs(pid: int, program: Path) -> bool:
    """Whether a process was made from this very file, which may have been replaced since."""
    try:
        return Path(f"/proc/{pid}/exe").samefile(program)
    except OSError:
        return True  # Of another user, or it has just ended.


def _open_files() -> Finding:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard >= 16_384 or hard == resource.RLIM_INFINITY:
        return Finding("open files", "ok", f"limit {hard}")
    return Finding(
        "open files",
        "degraded",
        f"limit {hard}: at most about {hard // 2} proxied connections",
        "raise LimitNOFILE / ulimit -n",
    )


def _home(home: Home) -> Finding:
    detail = f"{home.root} (SQLite {sqlite3.sqlite_version})"
    pid = lock.holder_pid(home)
    inside = holder.find(home)
    if pid is not None:
        return Finding("ROOST_HOME", "ok", f"{detail}, running (pid {pid})")
    if inside is not None:
        return Finding(
            "ROOST_HOME",
            "degraded",
            f"{detail}: Machines may run without a daemon",
            "roost up adopts them, roost down stops them",
        )
    place = home.root
    while not place.exists():
        place = place.parent
    if os.access(place, os.W_OK):
        return Finding("ROOST_HOME", "ok", f"{detail}, not running")
    return Finding("ROOST_HOME", "missing", f"{detail} cannot be written", "set ROOST_HOME")
