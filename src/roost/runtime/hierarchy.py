"""Which cgroups this host offers, and making them usable from our own mount namespace.

| mode    | what the host has                                | limits          | freezing  |
|---------|--------------------------------------------------|-----------------|-----------|
| unified | cgroup v2 with controllers, a subtree we may own | OCI runtime     | v2        |
| hybrid  | v1 controllers and a v2 tree without any         | our v1 groups   | v2        |
| none    | nothing we may write (an ordinary user's login)  | none            | SIGSTOP   |

crun 1.8 refuses a hybrid host. It works when /sys/fs/cgroup is a v2 mount, so in our private
mount namespace we cover it with one, keeping the v1 trees reachable below ROOST_HOME/run.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from roost.runtime import linux
from roost.runtime.limits import V1_CONTROLLERS

CGROUP = Path("/sys/fs/cgroup")
_WANTED = frozenset({"cpu", "memory", "pids"})

FIRST_NAMESPACES = frozenset(f"mnt:[{number}]" for number in (4026531832, 4026531840, 4026531841))
"""Links of the mount namespace a kernel boots with: fixed in new kernels, first of all in old."""


class CgroupMode(StrEnum):
    """What limits and freezing rest on."""

    UNIFIED = "unified"
    HYBRID = "hybrid"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchy:
    """The cgroups found. `parent` is the v2 folder below which we make our own group."""

    mode: CgroupMode
    parent: Path | None = None
    v1: dict[str, Path] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupMount:
    """One line of mountinfo that concerns cgroups; `controllers` is empty for v2."""

    target: Path
    version: int
    controllers: frozenset[str]


def parse_mounts(mountinfo: str) -> list[CgroupMount]:
    """The cgroup mounts in /proc/thread-self/mountinfo (proc(5)): pure."""
    found = []
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        kind, *rest = right.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            target = left.split(" ")[4].encode().decode("unicode_escape")
            options = rest[-1].split(",") if kind == "cgroup" else []
            found.append(
                CgroupMount(
                    target=Path(target),
                    version=2 if kind == "cgroup2" else 1,
                    controllers=frozenset(options) & frozenset(V1_CONTROLLERS),
                )
            )
    return found


def own_v2_path(proc_cgroup: str) -> str:
    """The v2 path in /proc/thread-self/cgroup ("/" when there is none): pure."""
    for line in proc_cgroup.splitlines():
        if line.startswith("0::"):
            return line[3:]
    return "/"


def own_group(hierarchy: Hierarchy) -> Path | None:
    """The v2 group that this process is in, None where we may not use cgroups. Reads one file."""
    if hierarchy.mode is CgroupMode.NONE:
        return None
    return _own_folder()


def _own_folder() -> Path:
    return CGROUP / own_v2_path(Path("/proc/thread-self/cgroup").read_text()).lstrip("/")


def find(*, rootless: bool) -> Hierarchy:
    """Look, changing nothing. Reads a handful of small files."""
    mounts = parse_mounts(Path("/proc/thread-self/mountinfo").read_text())
    v1 = {
        controller: mount.target
        for mount in mounts
        if mount.version == 1 and (mount.target / "cgroup.procs").exists()
        for controller in mount.controllers
        if not linux.is_cgroup2(mount.target)
    }
    if v1:
        if rootless:
            return Hierarchy(
                mode=CgroupMode.NONE,
                problem="a hybrid cgroup host gives an ordinary user no cgroups",
            )
        return Hierarchy(mode=CgroupMode.HYBRID, parent=CGROUP, v1=v1)
    if not linux.is_cgroup2(CGROUP):
        return Hierarchy(mode=CgroupMode.NONE, problem="/sys/fs/cgroup is not mounted")
    return _unified(rootless=rootless)


def _unified(*, rootless: bool) -> Hierarchy:
    parent = _owned_ancestor() if rootless else CGROUP
    if parent is None or not os.access(parent / "cgroup.procs", os.W_OK):
        return Hierarchy(
            mode=CgroupMode.NONE,
            problem="no cgroup subtree is delegated to this user (systemd: run it in a user "
            "service, or with `systemd-run --user --scope -p Delegate=yes`)",
        )
    offered = frozenset((parent / "cgroup.controllers").read_text().split())
    missing = ", ".join(sorted(_WANTED - offered))
    return Hierarchy(
        mode=CgroupMode.UNIFIED,
        parent=parent,
        problem=f"cgroup controllers {missing} are not delegated here" if missing else "",
    )


def _owned_ancestor() -> Path | None:
    """The highest cgroup above (or at) our own that we may write without a gap."""
    own = _own_folder()
    best = None
    for folder in (own, *own.parents):
        if folder == CGROUP.parent or not os.access(folder / "cgroup.procs", os.W_OK):
            break
        best = folder
    return best


def needs_cover() -> bool:
    """Whether /sys/fs/cgroup is not v2 although the kernel has it: a hybrid or bare host."""
    return not linux.is_cgroup2(CGROUP)


def in_private_namespace() -> bool:
    """Whether what we mount stays among us: not in the mount namespace of the whole host.

    Process 1 tells it. Where it may not be asked, root goes by the numbers that kernels give to
    the first namespace; in a user namespace the kernel itself refuses mounts in a foreign one.
    """
    mine = Path("/proc/thread-self/ns/mnt").readlink().name
    try:
        return mine != Path("/proc/1/ns/mnt").readlink().name
    except OSError:
        return mine not in FIRST_NAMESPACES


def cover(v1_folder: Path, *, rootless: bool) -> None:
    """Mount a v2 tree over /sys/fs/cgroup; the v1 trees stay reachable in `v1_folder`.

    Idempotent. Raises OSError where the kernel refuses (it then changed nothing that matters).
    """
    if not needs_cover():
        return
    if not rootless:
        for mount in parse_mounts(Path("/proc/thread-self/mountinfo").read_text()):
            for controller in mount.controllers if mount.version == 1 else ():
                target = v1_folder / controller
                target.mkdir(parents=True, exist_ok=True)
                if not (target / "cgroup.procs").exists():
                    linux.mount(str(mount.target), target, "", linux.MS_BIND)
    _in_thread(lambda: _mount_v2(own_namespace=rootless))


def uncover(v1_folder: Path) -> None:
    """Take away what `cover` mounted as root. Idempotent."""
    mounts = parse_mounts(Path("/proc/thread-self/mountinfo").read_text())
    ours = [mount.target for mount in mounts if mount.target.parent == v1_folder]
    for target in ours:
        linux.unmount(target)
    if ours and linux.is_cgroup2(CGROUP):
        linux.unmount(CGROUP)


def _mount_v2(*, own_namespace: bool) -> None:
    if own_namespace:
        # A user may mount cgroup2 only from a cgroup namespace that its user namespace owns.
        linux.unshare(linux.CLONE_NEWCGROUP)
    linux.mount("cgroup2", CGROUP, "cgroup2", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)


def _in_thread(work: Callable[[], None]) -> None:
    """Run in a thread of its own that ends, so that an unshared namespace ends with it."""
    failure: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except OSError as error:
            failure.append(error)

    thread = threading.Thread(target=guarded, name="cgroup-cover")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
