"""The image store: skopeo fetches and unpacks, an index remembers (counterpart: `fake`).

Below ROOST_HOME/images: `storage/` (skopeo's layers), `index/` (what is resolved), `tmp/`, `run/`.
Layers are shared by all images that have them on the same base, as in every overlay store.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from roost.errors import InvalidError, UnavailableError
from roost.home import Home
from roost.images import storage
from roost.images.base import HOST_IMAGE, Image
from roost.images.host import HOST_DIGEST, host_image
from roost.images.index import Index, Known
from roost.images.reference import Reference, parse
from roost.images.skopeo import Skopeo

MAX_IMAGE = 8 << 30
"""Bytes an unpacked image may have: Fly's limit for a root file system."""

AT_ONCE = 3
GRACE_SECONDS = 600.0
"""How long an image that was just asked for is safe from prune, in use or not yet."""

_ALL_IDS = ["0", "0", "4294967295"]


@dataclass(slots=True)
class _Turn:
    """The pulls of one reference: one works, the others wait and take over its result."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0
    finished: int = 0
    image: Image | None = None


class SkopeoImages:
    """Images of one ROOST_HOME. Needs no set-up; folders are made by the first pull."""

    def __init__(self, home: Home, *, grace: float = GRACE_SECONDS) -> None:
        self._folder = home.images
        self._auth = home.root / "auth.json"
        self._grace = grace
        self._index = Index(home.images / "index")
        self._turns: dict[str, _Turn] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def pull(self, reference: str, *, always: bool = False) -> Image:
        """See base.ImageStore."""
        if reference == HOST_IMAGE:
            return host_image()
        wanted = parse(reference)
        if (found := self._cached(wanted, reference, always=always)) is not None:
            return found
        async with self._turn(wanted.source) as turn:
            if turn.image is not None:
                return turn.image
            async with self._slots:
                turn.image = await self._fetch(wanted, reference)
            turn.finished += 1
            return turn.image

    def _cached(self, wanted: Reference, reference: str, *, always: bool) -> Image | None:
        # A pinned digest may be that of a list for several machines; what it led to stays true.
        known = self._index.digest(wanted.source) if wanted.digest or not always else ""
        digest = known or wanted.digest
        return self._index.get(digest, reference=reference) if digest else None

    @contextlib.asynccontextmanager
    async def _turn(self, source: str) -> AsyncIterator[_Turn]:
        """Wait for one's turn. `image` is set when another finished while we waited."""
        turn = self._turns.setdefault(source, _Turn())
        turn.waiting += 1
        finished = turn.finished
        try:
            async with turn.lock:
                if turn.finished == finished:
                    turn.image = None
                yield turn
        finally:
            turn.waiting -= 1
            if turn.waiting == 0:
                del self._turns[source]

    async def _fetch(self, wanted: Reference, reference: str) -> Image:
        skopeo = self._skopeo()
        for folder in (self._folder, self._folder / "tmp", self._folder / "run"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o711)
        (self._folder / "storage.conf").write_text('[storage]\ndriver = "overlay"\n')
        name = f"localhost/roost:{hashlib.sha256(wanted.source.encode()).hexdigest()[:32]}"
        auth = self._auth if self._auth.exists() else None
        digest = await skopeo.copy(wanted, name, auth)
        stored = await asyncio.to_thread(storage.find, skopeo.storage, name)
        if stored.size > MAX_IMAGE:
            await skopeo.delete(stored.id)
            raise InvalidError(
                f"image {reference} has {stored.size >> 20} MiB unpacked, more than the "
                f"{MAX_IMAGE >> 20} MiB allowed",
                hint="make it smaller",
            )
        image = Image(
            reference=reference, digest=digest, config=stored.config, layers=stored.layers
        )
        known = Known(id=stored.id, image=image)
        await asyncio.to_thread(self._index.put, wanted.source, known, synced=skopeo.storage)
        return image

    def _skopeo(self) -> Skopeo:
        program = shutil.which("skopeo") or shutil.which("skopeo", path="/usr/local/bin:/usr/bin")
        if program is None:
            raise UnavailableError(
                "skopeo is not installed, so no image can be fetched",
                hint="install the package skopeo, or use the image roost/host",
            )
        return Skopeo(program=program, folder=self._folder, rootless=_in_user_namespace())

    async def get(self, digest: str) -> Image | None:
        """See base.ImageStore."""
        return host_image() if digest == HOST_DIGEST else self._index.get(digest)

    async def prune(self, keep: frozenset[str]) -> None:
        """See base.ImageStore. Images asked for within the grace time stay, too."""
        before = time.time() - self._grace
        kept: set[str] = set()
        for known, used in list(self._index.all()):
            if known.image.digest in keep or used > before or self._turns:
                kept.add(known.id)
            else:
                self._index.drop(known.image.digest)
        if self._turns:
            return
        for image in set(storage.ids(self._folder / "storage")) - kept:
            await self._skopeo().delete(image)


def _in_user_namespace() -> bool:
    uid_map = Path("/proc/thread-self/uid_map").read_text().split()
    return os.geteuid() != 0 or uid_map != _ALL_IDS
