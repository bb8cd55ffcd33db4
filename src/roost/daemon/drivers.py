"""The real drivers of this host, chosen in one place."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from roost.clock import Clock
from roost.daemon.up import ROOTLESS
from roost.home import Home
from roost.images.base import ImageStore
from roost.images.store import SkopeoImages
from roost.network.base import NetworkDriver
from roost.network.netns import NetnsDriver
from roost.runtime.base import Runtime
from roost.runtime.oci import OciRuntime


@dataclass(frozen=True, slots=True, kw_only=True)
class Drivers:
    """Network, runtime and images of one home."""

    network: NetworkDriver
    runtime: Runtime
    images: ImageStore


def make_drivers(home: Home, clock: Clock, *, host_paths: Sequence[str]) -> Drivers:
    """Make them; nothing on the host changes before their `setup`."""
    rootless = os.environ.get(ROOTLESS) == "1"
    return Drivers(
        network=NetnsDriver(home, rootless=rootless),
        runtime=OciRuntime(home, clock, host_paths=tuple(Path(item) for item in host_paths)),
        images=SkopeoImages(home),
    )
