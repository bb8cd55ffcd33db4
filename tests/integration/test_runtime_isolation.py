"""What a container cannot see and cannot do."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from roost.runtime.base import Mounted
from roost.runtime.bundle import CAPABILITIES
from tests.support.namespaces import isolated
from tests.support.runtime import container, oci_runtime, run_to_end, short_home

pytestmark = pytest.mark.root

LOOK = """
import json, os
def names(path):
    try:
        return sorted(os.listdir(path))
    except OSError:
        return None
print(json.dumps({
    "top": names("/"), "root": names("/root"), "home": names("/home"), "run": names("/run"),
    "tmp": names("/tmp"), "etc": names("/etc"), "ssh": names("/etc/ssh"),
    "processes": [p for p in os.listdir("/proc") if p.isdecimal()],
    "mounts": open("/proc/mounts").read(), "environment": dict(os.environ),
    "hostname": os.uname().nodename, "links": names("/sys/class/net"),
}))
"""


@isolated
async def test_host_secrets_are_not_there() -> None:
    """ROOST_HOME, /root, other homes, /run, /tmp, and password files of the host do not show."""
    with short_home() as home:
        (home.root / "token").write_text("secret")
        async with oci_runtime(home) as runtime:
            ended, text = await run_to_end(runtime, container(home, "python3", "-c", LOOK))
    assert 0 == ended.exit_code
    seen = json.loads(text)
    assert ([], [], ["lock"], []) == (seen["root"], seen["home"], seen["run"], seen["tmp"])
    assert {"shadow", "gshadow", "sudoers", "machine-id", "ssh"}.isdisjoint(seen["etc"])
    assert {"passwd", "group"} <= set(seen["etc"])
    assert {"work", "boot", "media", "lost+found"}.isdisjoint(seen["top"])
    assert 2 >= len(seen["processes"])
    assert ("m1", ["lo"]) == (seen["hostname"], seen["links"])
    assert {"PATH", "HOME"} == set(seen["environment"]) - {"LC_CTYPE"}


def _mount_below_usr() -> Path:
    """Mount something onto a folder below /usr, with a file in it; the folder."""
    folder = next(path for path in sorted(Path("/usr/share").iterdir()) if path.is_dir())
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(folder)], check=True)
    (folder / "leaked").write_text("secret")
    return folder


@isolated
async def test_mounts_below_shown_folders_do_not_leak() -> None:
    """A file system mounted below /usr on the host is not visible inside."""
    hidden = _mount_below_usr()
    with short_home() as home:
        async with oci_runtime(home) as runtime:
            command = ("ls", str(hidden / "leaked"))
            ended, text = await run_to_end(runtime, container(home, *command))
    assert 0 != ended.exit_code
    assert "No such file" in text


@isolated
async def test_system_is_read_only_and_the_rest_is_not() -> None:
    """/usr, /sys and kernel parameters cannot be written; /etc, /tmp and /var/tmp can."""
    script = """
    for p in /usr/x /sys/x /proc/sys/kernel/hostname /sys/fs/cgroup/x; do
        (echo y > $p) 2>/dev/null && echo written $p
    done
    for p in /etc/x /tmp/x /var/tmp/x /x; do echo y > $p || echo refused $p; done
    """
    with short_home() as home:
        async with oci_runtime(home) as runtime:
            ended, text = await run_to_end(runtime, container(home, "sh", "-c", script))
        assert (0, "") == (ended.exit_code, text)
        assert not (home.images / "host").joinpath("etc", "x").exists()


@isolated
async def test_writable_layer_is_new_each_time() -> None:
    """What one life of a Machine wrote is gone in the next."""
    with short_home() as home:
        async with oci_runtime(home) as runtime:
            spec = container(home, "sh", "-c", "cat /etc/mark; echo mark > /etc/mark")
            await run_to_end(runtime, spec)
            _, text = await run_to_end(runtime, spec)
        assert 2 == text.count("No such file")


@isolated
async def test_files_and_app_folder() -> None:
    """Given files are there with their modes, the app's folder is at /app and read-only."""
    with short_home() as home, short_home() as other:
        app = other.root / "app"
        app.mkdir()
        (app / "code.py").write_text("print('from app')")
        script = "cat /etc/hosts; stat -c %a /etc/secret; python3 code.py; touch /app/x || true"
        spec = container(
            home,
            "sh",
            "-c",
            script,
            working_dir="/app",
            app_dir=app,
            files=(
                Mounted(path="/etc/hosts", content=b"fdaa::2 fly-local-6pn\n"),
                Mounted(path="/etc/secret", content=b"x", mode=0o400),
            ),
        )
        async with oci_runtime(home) as runtime:
            _, text = await run_to_end(runtime, spec)
    lines = text.splitlines()
    assert ["fdaa::2 fly-local-6pn", "400", "from app"] == lines[:3]
    assert "Read-only file system" in lines[3]


@isolated
async def test_extra_host_folder() -> None:
    """A folder that the operator names is visible at its own path, a masked one otherwise."""
    with short_home() as home, short_home() as tools:
        (tools.root / "tool").write_text("tool")
        async with oci_runtime(home, host_paths=(tools.root,)) as runtime:
            spec = container(home, "cat", str(tools.root / "tool"))
            assert "tool" == (await run_to_end(runtime, spec))[1].strip()


@isolated
async def test_home_is_never_shown() -> None:
    """ROOST_HOME as the app's folder, or named by the operator, is empty inside."""
    with short_home() as home:
        (home.root / "token").write_text("secret")
        async with oci_runtime(home, host_paths=(home.root,)) as runtime:
            command = f"ls -A /app {home.root} && ! cat {home.root}/token /app/token"
            spec = container(home, "sh", "-c", command, app_dir=home.root)
            ended, text = await run_to_end(runtime, spec)
        assert 0 == ended.exit_code, text
        assert "secret" not in text
        assert 2 == text.count("No such file")


STATUS = "grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status"


def _bits(names: tuple[str, ...]) -> int:
    """The mask of capabilities, from capsh's numbering in linux/capability.h."""
    order = (
        "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP "
        "LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER "
        "SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE "
        "SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP"
    )
    numbers = {f"CAP_{name}": number for number, name in enumerate(order.split(" "))}
    return sum(1 << numbers[name] for name in names)


@pytest.mark.parametrize("prefer", ["crun", "runc"])
def test_privileges(prefer: str) -> None:
    """Capabilities are the default set, no new ones can be had, and a filter is in force.

    Twice: the second container of crun gets the filter that was compiled for the first.
    """

    @isolated
    async def body() -> None:
        with short_home() as home:
            async with oci_runtime(home, prefer=prefer) as runtime:
                held = CAPABILITIES if runtime.detected.devices_ruled else ()
                for name in ("m1", "m2"):
                    spec = container(home, "sh", "-c", STATUS, name=name)
                    _, text = await run_to_end(runtime, spec)
                    found = dict(line.split(":\t") for line in text.splitlines())
                    assert ("1", "2") == (found["NoNewPrivs"], found["Seccomp"])
                    if held:
                        assert _bits(held) == int(found["CapEff"], 16) == int(found["CapBnd"], 16)

    body()


CALLS = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def tried(name, *arguments):
    result = getattr(libc, name)(*arguments)
    print(name, "ok" if result >= 0 else errno.errorcode[ctypes.get_errno()])
tried("unshare", 0x10000000)
tried("mount", b"none", b"/tmp", b"tmpfs", 0, None)
tried("syscall", 435, None, 0)
tried("syscall", 425, 1, None)
tried("getpid")
try:
    os.mknod("/tmp/disk", 0o60600, os.makedev(254, 0))
    os.open("/tmp/disk", os.O_RDONLY)
    print("disk ok")
except OSError as error:
    print("disk", errno.errorcode[error.errno])
"""


@isolated
async def test_refused_calls() -> None:
    """Namespaces and mounts are EPERM, clone3 ENOSYS, io_uring EPERM, the host's disk closed."""
    with short_home() as home:
        async with oci_runtime(home) as runtime:
            for name in ("m1", "m2"):
                spec = container(home, "python3", "-c", CALLS, name=name)
                _, text = await run_to_end(runtime, spec)
                assert [
                    "unshare EPERM",
                    "mount EPERM",
                    "syscall ENOSYS",
                    "syscall EPERM",
                    "getpid ok",
                    "disk EPERM",
                ] == text.splitlines()


@isolated
async def test_exec_is_confined_too() -> None:
    """A command run inside later has the same filter, capabilities, and cgroup namespace."""
    with short_home() as home:
        async with oci_runtime(home) as runtime:
            await runtime.create(container(home))
            await runtime.start("m1")
            done = await runtime.exec("m1", ("sh", "-c", STATUS), timeout=30)
            found = dict(line.split(":\t") for line in done.stdout.decode().splitlines())
            assert ("1", "2") == (found["NoNewPrivs"], found["Seccomp"])
            assert int(found["CapEff"], 16) <= _bits(CAPABILITIES)
