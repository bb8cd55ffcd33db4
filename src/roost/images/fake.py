"""An image store without images: references resolve to made-up digests, for tests of others."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from roost.errors import NotFoundError
from roost.images.base import HOST_IMAGE, Image, ImageConfig
from roost.images.host import HOST_DIGEST, host_image
from roost.images.reference import parse


class FakeImages:
    """`known` maps references to configurations; None knows every valid reference.

    `revise(reference)` makes a tag point to another digest, as a push does. `pulls` lists what
    was resolved anew.
    """

    def __init__(self, known: dict[str, ImageConfig] | None = None) -> None:
        self.known = known
        self.pulls: list[str] = []
        self._revisions: dict[str, int] = {}
        self._resolved: dict[str, str] = {}
        self._images: dict[str, Image] = {}

    def revise(self, reference: str) -> None:
        """The next `always` pull of the reference finds another image."""
        self._revisions[reference] = self._revisions.get(reference, 0) + 1

    async def pull(self, reference: str, *, always: bool = False) -> Image:
        """See base.ImageStore."""
        if reference == HOST_IMAGE:
            return host_image()
        wanted = parse(reference)
        cached = self._images.get(wanted.digest or self._resolved.get(wanted.source, ""))
        if cached is not None and (wanted.digest or not always):
            return replace(cached, reference=reference)
        config = ImageConfig() if self.known is None else self.known.get(reference)
        if config is None:
            raise NotFoundError(f"image {reference} does not exist", hint="check its name and tag")
        self.pulls.append(reference)
        text = f"{wanted.source} {self._revisions.get(reference, 0)}"
        digest = wanted.digest or f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
        layer = Path("/fake/layers") / digest.partition(":")[2]
        image = Image(reference=reference, digest=digest, config=config, layers=(layer,))
        self._resolved[wanted.source] = digest
        self._images[digest] = image
        return image

    async def get(self, digest: str) -> Image | None:
        """See base.ImageStore."""
        return host_image() if digest == HOST_DIGEST else self._images.get(digest)

    async def prune(self, keep: frozenset[str]) -> None:
        """See base.ImageStore."""
        self._images = {d: image for d, image in self._images.items() if d in keep}
