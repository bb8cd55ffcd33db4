"""What the agent needs of images: a reference turned into unpacked layers and defaults.

Guarantees every driver gives (tests/contract/test_images.py):

- *Once:* concurrent pulls of one reference share the work; a layer is unpacked once per host and
  shared by all images that have it.
- *Whole or not at all:* a crash in the middle of a pull leaves nothing that a later one trusts.
- *Read-only:* nothing ever writes into a layer directory.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

HOST_IMAGE = "roost/host"
"""The built-in image: the host's own root file system, read-only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageConfig:
    """The defaults an image brings (OCI image-spec, config.md)."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    user: str = ""
    working_dir: str = "/"
    stop_signal: str = ""
    exposed_ports: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image ready to run: `layers` are directories, lowest first.

    `reference` is what was asked for, `digest` ("sha256:…") what it resolved to; for roost/host
    the digest is "host" and the only layer is "/".
    """

    reference: str
    digest: str
    config: ImageConfig = field(default_factory=ImageConfig)
    layers: tuple[Path, ...] = ()


class ImageStore(Protocol):
    """Resolves references: `roost/host`, `nginx`, `host:5000/x:tag`, `name@sha256:…`,
    `oci:/path[:tag]`, `oci-archive:/file`, `docker-archive:/file[:ref]`.
    """

    async def pull(self, reference: str, *, always: bool = False) -> Image:
        """Resolve and unpack; a cached digest answers without the network.

        A tag already resolved is reused unless `always` (deploys resolve anew). May block for
        as long as the download takes (bounded). Raises InvalidError (malformed reference),
        NotFoundError (no such image), UnavailableError (registry unreachable, skopeo missing).
        """
        ...

    async def get(self, digest: str) -> Image | None:
        """An unpacked image by digest, without any network."""
        ...

    async def prune(self, keep: frozenset[str]) -> None:
        """Delete images and layers that none of the `keep` digests needs."""
        ...
