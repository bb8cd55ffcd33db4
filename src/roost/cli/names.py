"""Made-up app names."""

from __future__ import annotations

import re
import secrets

_FIRST = "amber brisk calm dusky early frosty gentle hidden ivory jolly keen lucky misty quiet warm"
_SECOND = "barn brook cedar dune fern glade heron lark maple nest otter perch ridge wren willow"


def generated_name() -> str:
    """Two words and a number, such as `quiet-heron-417`."""
    first, second = secrets.choice(_FIRST.split()), secrets.choice(_SECOND.split())
    return f"{first}-{second}-{100 + secrets.randbelow(900)}"


def name_from_folder(folder: str) -> str | None:
    """A valid app name made of a folder's name, or None when nothing is left of it."""
    plain = re.sub(r"[^a-z0-9]+", "-", folder.lower()).strip("-")[:63].strip("-")
    return plain or None
