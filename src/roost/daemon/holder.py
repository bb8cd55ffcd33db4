"""The holder: a tiny process that owns the namespaces in which everything else of Roost runs.

As root it owns a private mount namespace: namespace files and overlay mounts made there never show
up on the host, survive a kill -9 of the daemon, and vanish when the last process in it ends.
Without root it owns a user and a network namespace too, in which Roost is root.

`ensure` finds the living holder of a ROOST_HOME or makes one; `enter_command` is the prefix with
which a program is run inside.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from roost.errors import UnavailableError
from roost.home import Home
from roost.pidfile import PidFile


@dataclass(frozen=True, slots=True)
class Holder:
    """A living holder."""

    pid: int
    rootless: bool

    def enter_command(self) -> list[str]:
        """Arguments to put before a command so that it runs in the holder's namespaces."""
        nsenter = _program("nsenter")
        spaces = ["--mount"]
        if self.rootless:
            spaces = ["--user", "--preserve-credentials", "--net", "--mount"]
        return [nsenter, f"--target={self.pid}", *spaces, "--"]


def pid_file(home: Home) -> PidFile:
    """Where the holder's pid is kept."""
    return PidFile(home.run / "holder.pid")


def find(home: Home) -> Holder | None:
    """The living holder of this home, or None."""
    pid = pid_file(home).alive()
    return Holder(pid, rootless=os.geteuid() != 0) if pid else None


def ensure(home: Home) -> Holder:
    """Find the holder or start it. Raises UnavailableError when namespaces cannot be made."""
    return find(home) or _start(home)


def end(home: Home) -> None:
    """End the holder; its namespaces go with the last process in them."""
    pid_file(home).end(signal.SIGKILL)


def _start(home: Home) -> Holder:
    rootless = os.geteuid() != 0
    unshare = [_program("unshare"), "--mount", "--propagation=private"]
    if rootless:
        unshare += ["--user", "--net", "--keep-caps", *_id_mapping()]
    # The child says "ready" from inside, so that nobody enters before the mappings are written.
    inside = ["/bin/sh", "-c", _HOLD]
    process = subprocess.Popen(
        [*unshare, *inside],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        cwd="/",
    )
    assert process.stdout is not None
    assert process.stderr is not None
    if process.stdout.readline() != b"ready\n":
        reason = process.stderr.read().decode(errors="replace").strip().splitlines()
        raise UnavailableError(
            f"cannot make Roost's namespaces: {reason[-1] if reason else 'unshare failed'}",
            hint="run `roost doctor`; without root, user namespaces must be allowed",
        )
    process.stdout.close()
    process.stderr.close()
    pid_file(home).write(process.pid)
    return Holder(process.pid, rootless)


_HOLD = "echo ready && exec sleep infinity >/dev/null 2>&1"


def _id_mapping() -> list[str]:
    """All ids of /etc/subuid when newuidmap can set them, else only ourselves as root."""
    user = _user_name()
    listed = Path("/etc/subuid")
    has_range = listed.is_file() and any(
        line.startswith(f"{user}:") for line in listed.read_text().splitlines()
    )
    if has_range and shutil.which("newuidmap"):
        return ["--map-auto", "--map-root-user"]
    return ["--map-root-user"]


def _user_name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        raise UnavailableError(
            f"the program {name} is missing", hint="install the package util-linux"
        )
    return found
