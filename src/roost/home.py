"""The layout of ROOST_HOME: one folder holds everything a Roost keeps.

Paths only; nothing here makes or reads files. Unix socket paths are limited to 107 bytes, so a
home's path may be at most 80 characters long.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from roost.errors import InvalidError

MAX_HOME = 80


@dataclass(frozen=True, slots=True)
class Home:
    """Where things are under one ROOST_HOME."""

    root: Path

    @classmethod
    def from_env(cls, environ: dict[str, str] | None = None, *, uid: int | None = None) -> Home:
        """`$ROOST_HOME`, else /var/lib/roost as root, else ~/.local/share/roost.

        Raises InvalidError when the path is relative or too long for Unix sockets below it.
        """
        env = dict(os.environ) if environ is None else environ
        who = os.geteuid() if uid is None else uid
        if text := env.get("ROOST_HOME", ""):
            root = Path(text)
        elif who == 0:
            root = Path("/var/lib/roost")
        else:
            data = env.get("XDG_DATA_HOME") or str(Path(env.get("HOME", "/")) / ".local/share")
            root = Path(data) / "roost"
        if not root.is_absolute():
            raise InvalidError(f"ROOST_HOME {str(root)!r} is not an absolute path")
        if len(str(root)) > MAX_HOME:
            raise InvalidError(
                f"ROOST_HOME {str(root)!r} is longer than {MAX_HOME} characters",
                hint="Unix sockets below it would not fit; choose a shorter path",
            )
        return cls(root)

    @property
    def run(self) -> Path:
        """Sockets, pid files, namespace files: worthless after a reboot."""
        return self.root / "run"

    @property
    def api_socket(self) -> Path:
        """Where the API listens."""
        return self.run / "api.sock"

    @property
    def proxy_socket(self) -> Path:
        """Where the first roost-proxy's control socket is."""
        return self.proxy_sockets[0]

    @property
    def proxy_sockets(self) -> tuple[Path, ...]:
        """Control sockets of all the roost-proxy processes there may be at once (hot restart)."""
        return tuple(self.run / f"proxy{which}.sock" for which in ("", "-2", "-3", "-4"))

    @property
    def proxy_pid(self) -> Path:
        """Names the roost-proxy that serves; each process has a file of its own too."""
        return self.run / "proxy.pid"

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.root / "roost.db"

    @property
    def token(self) -> Path:
        """The admin token made at the first start (0600)."""
        return self.root / "token"

    @property
    def secret_key(self) -> Path:
        """The key that seals secrets (32 random bytes, 0600)."""
        return self.root / "secret.key"

    @property
    def source_key(self) -> Path:
        """The Ed25519 seed that signs `Fly-Src` (32 random bytes, 0600)."""
        return self.root / "fly-src.key"

    @property
    def netns(self) -> Path:
        """Namespace files: `n<network id>` for routers, `m<machine id>` for Machines."""
        return self.run / "netns"

    @property
    def containers(self) -> Path:
        """The runtime's own state and bundles."""
        return self.run / "containers"

    @property
    def images(self) -> Path:
        """Unpacked layers and resolved references."""
        return self.root / "images"

    @property
    def logs(self) -> Path:
        """`<app>/<machine id>.log` from containers, `<app>/platform.jsonl` from Roost."""
        return self.root / "logs"

    def machine_log(self, app: str, machine: str) -> Path:
        """Output of one Machine in conmon's k8s-file format."""
        return self.logs / app / f"{machine}.log"

    def platform_log(self, app: str) -> Path:
        """What Roost (runner, proxy) says about an app: JSON lines."""
        return self.logs / app / "platform.jsonl"
