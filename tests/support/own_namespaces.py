"""Running a test's program as root of its own user, mount and network namespaces only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run_without_root(program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run a Python program, which may import Roost and the tests; any warning is an error.

    Blocks, at most a minute.
    """
    here = Path(__file__).parents[2]
    return subprocess.run(
        ["unshare", "-Urnm", sys.executable, "-W", "error", "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": f"{here}:{here / 'src'}"},
        capture_output=True,
        check=False,
        timeout=60,
    )
