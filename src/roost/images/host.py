"""The built-in image roost/host; what it shows is the runtime's business."""

from __future__ import annotations

from pathlib import Path

from roost.images.base import HOST_IMAGE, Image

HOST_DIGEST = "host"


def host_image() -> Image:
    """The one value of it: no defaults, and "/" as its only layer. Pure."""
    return Image(reference=HOST_IMAGE, digest=HOST_DIGEST, layers=(Path("/"),))
