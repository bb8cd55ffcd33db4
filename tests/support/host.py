"""Whether this host can run the tests that need root, and why not."""

from __future__ import annotations

import os
import shutil

PROGRAMS = ("conmon", "nft", "nsenter", "unshare", "ip")


def why_not_root() -> str:
    """ "" when tests with real namespaces and containers can run here, else the reason."""
    if os.geteuid() != 0:
        return "needs root"
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [name for name in PROGRAMS if not shutil.which(name, path=path)]
    if not (shutil.which("crun", path=path) or shutil.which("runc", path=path)):
        missing.append("crun or runc")
    return f"needs {', '.join(missing)}" if missing else ""
