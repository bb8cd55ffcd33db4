"""roost/host: what of this host a Machine sees, and what it never does.

A list of what is shown, not of what is hidden, so that nothing becomes visible by being new:

- `/usr`, and `/bin`, `/sbin`, `/lib*` (links into /usr, or folders of their own), `/nix/store`,
  `/gnu/store`: read-only binds, without what is mounted below them; programs and libraries only.
- `/etc`: a copy (taken again when it changes) of what every user of the host may read, without
  known identities and secrets, and without anything that holds a private key.
- folders an operator names (`extra`): read-only binds.
- fresh and empty: everything else a program expects (/tmp, /run, /root, /var/...).

So ROOST_HOME, /root, /home, /run, /tmp, /var, /srv, /opt, /mnt, /media and /boot do not exist
inside. /opt is left out because applications keep their settings, passwords included, there.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from roost.runtime.bundle import Bind

SHOWN = (
    "usr",
    "bin",
    "sbin",
    "lib",
    "lib32",
    "lib64",
    "libx32",
    "libexec",
    "nix/store",
    "gnu/store",
)

FRESH = {
    "app": 0o755,
    "dev": 0o755,
    "home": 0o755,
    "mnt": 0o755,
    "opt": 0o755,
    "proc": 0o555,
    "root": 0o700,
    "run": 0o755,
    "run/lock": 0o1777,
    "srv": 0o755,
    "sys": 0o555,
    "tmp": 0o1777,
    "var": 0o755,
    "var/cache": 0o755,
    "var/lib": 0o755,
    "var/local": 0o755,
    "var/log": 0o755,
    "var/opt": 0o755,
    "var/spool": 0o755,
    "var/tmp": 0o1777,
}
LINKS = {"var/run": "/run", "var/lock": "/run/lock"}

_NEVER = """
    machine-id hostname hosts resolv.conf fstab crypttab shadow shadow- gshadow gshadow- sudoers
    sudoers.d ssh ssl/private letsencrypt wireguard openvpn ipsec.d ipsec.secrets swanctl ppp
    NetworkManager netplan wpa_supplicant krb5.keytab docker containers kubernetes rancher cni
    apt/auth.conf apt/auth.conf.d mysql/debian.cnf cups cloud security/opasswd roost
"""
NEVER = frozenset(_NEVER.split())
"""Of /etc: identities of this host and places of secrets, whatever their mode says."""

STAMPED = (".", "ld.so.cache", "passwd", "group", "alternatives", "ssl/certs", "localtime")
"""Of /etc: installing a package, or adding a user, changes the time of one of these."""

_MAX_FILE = 8 << 20
_MAX_TOTAL = 256 << 20
_KEY_MARK = b"PRIVATE KEY-----"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRoot:
    """The lowest layer of a host-image container and what is bound over it."""

    layer: Path
    binds: tuple[Bind, ...]


class HostView:
    """Keeps copies of the host's outside below `folder`. One thread at a time per call."""

    def __init__(
        self, folder: Path, *, root: Path = Path("/"), extra: tuple[Path, ...] = ()
    ) -> None:
        self._folder = folder
        self._root = root
        self._extra = extra

    def current(self) -> HostRoot:
        """The layer for now; copies /etc again when it changed (tens of milliseconds, rarely)."""
        layer = self._folder / self._stamp()
        if not layer.is_dir():
            self._build(layer)
        return HostRoot(layer=layer, binds=tuple(self._binds()))

    def prune(self, keep: frozenset[Path]) -> None:
        """Remove copies that no container uses and that are not the current one."""
        if self._folder.is_dir():
            current = self._stamp()
            for entry in self._folder.iterdir():
                if entry.name != current and entry not in keep:
                    shutil.rmtree(entry, ignore_errors=True)

    def _stamp(self) -> str:
        times = []
        for name in STAMPED:
            try:
                times.append((self._root / "etc" / name).stat().st_mtime_ns)
            except OSError:
                times.append(0)
        return f"{hash(tuple(times)) & (1 << 64) - 1:016x}"

    def _binds(self) -> Iterator[Bind]:
        for name in SHOWN:
            path = self._root / name
            if path.is_dir() and not path.is_symlink():
                yield Bind(source=str(path), target=f"/{name}")
        for path in self._extra:
            if path.is_dir():
                yield Bind(source=str(path), target=str(path))

    def _build(self, layer: Path) -> None:
        partial = layer.with_name(f".{layer.name}.{os.getpid()}")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        partial.chmod(0o755)
        for name, mode in FRESH.items():
            (partial / name).mkdir(exist_ok=True)
            (partial / name).chmod(mode)
        for name, target in LINKS.items():
            (partial / name).symlink_to(target)
        for name in SHOWN:
            source = self._root / name
            if source.is_symlink():
                (partial / name).symlink_to(source.readlink())
            elif source.is_dir():
                (partial / name).mkdir(parents=True)
        copy_public(self._root / "etc", partial / "etc")
        partial.rename(layer)


def copy_public(source: Path, target: Path) -> None:
    """Copy a tree's folders, links and files that everybody may read and that are no secrets.

    Unreadable, vanished and oversized files are left out.
    """
    left = _MAX_TOTAL
    target.mkdir()
    target.chmod(0o755)
    for folder, folders, files in os.walk(source):
        here = Path(folder)
        base = here.relative_to(source)
        folders[:] = [
            name for name in folders if _copy_folder(here / name, target / base / name, base / name)
        ]
        for name in files:
            if str(base / name) not in NEVER:
                left -= _copy_file(here / name, target / base / name, left)


def _copy_folder(source: Path, target: Path, name: Path) -> bool:
    """Make the folder (or link); whether to go into it."""
    if str(name) in NEVER:
        return False
    if source.is_symlink():
        target.symlink_to(source.readlink())
        return False
    mode = source.stat().st_mode
    if mode & 0o005 != 0o005:
        return False
    target.mkdir()
    target.chmod(stat.S_IMODE(mode) & 0o1755)
    return True


def _copy_file(source: Path, target: Path, left: int) -> int:
    try:
        if source.is_symlink():
            target.symlink_to(source.readlink())
            return 0
        info = source.stat()
        public = stat.S_ISREG(info.st_mode) and info.st_mode & 0o004
        if not public or info.st_size > min(_MAX_FILE, left):
            return 0
        content = source.read_bytes()
    except OSError:
        return 0
    if _KEY_MARK in content:
        return 0
    target.write_bytes(content)
    target.chmod(stat.S_IMODE(info.st_mode) & 0o755)
    return len(content)
