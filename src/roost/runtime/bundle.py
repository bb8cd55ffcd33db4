"""config.json of one container (OCI runtime-spec), from values only. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from roost.runtime.base import ContainerSpec
from roost.runtime.seccomp import profile
from roost.runtime.users import User

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INIT = "/.roost/init"
"""Where the init program is inside (a bind of the host's catatonit)."""

APP_DIR = "/app"

_CAPABILITIES = """
CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE
SYS_CHROOT KILL AUDIT_WRITE
"""
CAPABILITIES = tuple(f"CAP_{name}" for name in _CAPABILITIES.split())
"""Docker's default fourteen."""

MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind:
    """A host path shown inside, read-only."""

    source: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the host decides about a bundle.

    `hidden`: host paths that no bind may show. `devices_ruled`: device access is limited by a
    cgroup, so that making nodes is harmless. `filter_program`: the seccomp profile as crun compiled
    it before (base64), which saves it tens of milliseconds.
    `cgroups_path` None: no cgroup. `resources` None: limits are not the OCI runtime's job.
    """

    machine: str
    rootfs: Path
    init: Path | None
    rootless: bool
    devices_ruled: bool
    cgroups_path: str | None
    resources: Mapping[str, object] | None
    oom_score_adj: int
    binds: tuple[Bind, ...] = ()
    hidden: tuple[str, ...] = ()
    filter_program: str = ""
    set_groups: bool = True


def environment(spec: ContainerSpec, home: str) -> list[str]:
    """KEY=value lines: the spec's, with PATH, HOME (and TERM for a terminal) when absent."""
    env = {"PATH": DEFAULT_PATH, "HOME": home}
    if spec.tty:
        env["TERM"] = "xterm"
    return [f"{key}={value}" for key, value in (env | dict(spec.env)).items()]


def process(spec: ContainerSpec, user: User, facts: Facts) -> dict[str, object]:
    """`process` of config.json; `crun exec --process` takes the same shape."""
    capabilities = [name for name in CAPABILITIES if name != "CAP_MKNOD" or facts.devices_ruled]
    # As Docker: an ordinary user gets the bounding set only, root all of it.
    held = capabilities if user.uid == 0 else []
    ids: dict[str, object] = {"uid": user.uid, "gid": user.gid, "umask": 0o022}
    if user.groups and facts.set_groups:
        ids["additionalGids"] = list(user.groups)
    return {
        "terminal": spec.tty,
        "user": ids,
        "args": list(spec.args) if facts.init is None else [INIT, "--", *spec.args],
        "env": environment(spec, user.home),
        "cwd": spec.working_dir or "/",
        "capabilities": {
            "bounding": capabilities,
            "effective": held,
            "permitted": held,
            "inheritable": [],
            "ambient": [],
        },
        "noNewPrivileges": True,
        "oomScoreAdj": facts.oom_score_adj,
    }


def config(spec: ContainerSpec, user: User, facts: Facts) -> dict[str, object]:
    """The whole document."""
    linux: dict[str, object] = {
        "namespaces": [
            *({"type": name} for name in ("pid", "mount", "ipc", "uts", "cgroup")),
            {"type": "network", "path": str(spec.netns)},
        ],
        "maskedPaths": [*MASKED, *_hidden(spec, facts)],
        "readonlyPaths": list(READ_ONLY),
        "seccomp": profile(facts.machine),
    }
    if facts.cgroups_path is not None:
        linux["cgroupsPath"] = facts.cgroups_path
    if facts.resources is not None:
        linux["resources"] = dict(facts.resources)
    if not facts.rootless:
        linux["sysctl"] = {
            "net.ipv4.ip_unprivileged_port_start": "0",
            "net.ipv4.ping_group_range": "0 2147483647",
        }
    document: dict[str, object] = {
        "ociVersion": "1.0.2",
        "hostname": spec.hostname,
        "root": {"path": str(facts.rootfs), "readonly": False},
        "process": process(spec, user, facts),
        "mounts": _mounts(spec, facts),
        "linux": linux,
    }
    if facts.filter_program:
        document["annotations"] = {"run.oci.seccomp_bpf_data": facts.filter_program}
    return document


def _hidden(spec: ContainerSpec, facts: Facts) -> list[str]:
    """Hidden host paths as seen through the binds that would show them, or a part of them."""
    binds = [*facts.binds, *_app_folder(spec)]
    shown = [_shown(bind, path) for bind in binds for path in facts.hidden]
    return [target for target in shown if target]


def _app_folder(spec: ContainerSpec) -> list[Bind]:
    return [] if spec.app_dir is None else [Bind(source=str(spec.app_dir), target=APP_DIR)]


def _shown(bind: Bind, path: str) -> str:
    """Where a bind shows a host path: below its target, or, bound from within, all of it; "" if
    nowhere.
    """
    source = bind.source.rstrip("/") + "/"
    if path.startswith(source):
        return bind.target.rstrip("/") + "/" + path[len(source) :]
    return bind.target if source.startswith(path.rstrip("/") + "/") else ""


def _mounts(spec: ContainerSpec, facts: Facts) -> list[dict[str, object]]:
    # A user namespace with one mapped id has no group 5 (tty).
    terminals = ["newinstance", "ptmxmode=0666", "mode=0620"]
    mounts = [
        _mount("/proc", "proc", "nosuid", "noexec", "nodev"),
        _mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount(
            "/dev/pts",
            "devpts",
            "nosuid",
            "noexec",
            *terminals,
            *(() if facts.rootless else ("gid=5",)),
        ),
        _mount("/dev/shm", "tmpfs", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),  # noqa: S108
        _mount("/dev/mqueue", "mqueue", "nosuid", "noexec", "nodev"),
        _mount("/sys", "sysfs", "nosuid", "noexec", "nodev", "ro"),
        _mount("/sys/fs/cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro"),
    ]
    binds = list(facts.binds)
    if facts.init is not None:
        binds.append(Bind(source=str(facts.init), target=INIT))
    binds += _app_folder(spec)
    return mounts + [_bind(bind, recursive=facts.rootless) for bind in binds]


def _mount(target: str, kind: str, *options: str) -> dict[str, object]:
    return {"destination": target, "type": kind, "source": kind, "options": list(options)}


def _bind(bind: Bind, *, recursive: bool) -> dict[str, object]:
    """Not recursive, so that file systems mounted below do not appear inside.

    A user namespace must not tear mounts apart that it was given together: there it is recursive.
    """
    how = "rbind" if recursive else "bind"
    return {
        "destination": bind.target,
        "type": "bind",
        "source": bind.source,
        # Not "rprivate": crun 1.8 makes any bind recursive by it.
        "options": [how, "ro", "nosuid", "nodev", "private"],
    }
