"""The real drivers of this host, chosen in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from roost.canary.base import Prober
from roost.canary.netns import NetnsProber
from roost.home import Home
from roost.images.base import ImageStore
from roost.images.store import SkopeoImages
from roost.network.base import NetworkDriver
from roost.network.netns import NetnsNetwork
from roost.runtime.base import Runtime
from roost.runtime.oci import OciRuntime


@dataclass(frozen=True, slots=True, kw_only=True)
class Drivers:
    """Network, runtime, images and the canary's prober of one home."""

    network: NetworkDriver
    prober: Prober
    runtime: Runtime
    images: ImageStore


def make_drivers(home: Home, *, host_paths: Sequence[str]) -> Drivers:
    """Make them; nothing on the host changes before their `setup`."""
    network = NetnsNetwork(home)
    return Drivers(
        network=network,
        prober=NetnsProber(home, network),
        runtime=OciRuntime(home, host_paths=tuple(Path(item) for item in host_paths)),
        images=SkopeoImages(home),
    )
