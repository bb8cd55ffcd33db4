"""Where the roost-proxy program is, in a fixed order."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from roost.errors import UnavailableError

PROGRAM = "roost-proxy"


def find_proxy() -> Path:
    """`$ROOST_PROXY`, beside this Python, the source tree's target/release, then PATH.

    Raises UnavailableError when none of them is there.
    """
    places = [Path(sys.executable).parent / PROGRAM]
    source = Path(__file__).parents[3] / "target" / "release" / PROGRAM
    places.append(source)
    if named := os.environ.get("ROOST_PROXY"):
        places.insert(0, Path(named))
    if found := shutil.which(PROGRAM):
        places.append(Path(found))
    for place in places:
        if place.is_file() and os.access(place, os.X_OK):
            return place
    raise UnavailableError(
        "the roost-proxy program was not found",
        hint="install the package (`make setup`), or name it in ROOST_PROXY",
    )
