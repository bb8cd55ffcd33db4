"""What has been resolved: reference → digest, and digest → image, as small files.

A file appears only once everything it names is on the disk, so it may be trusted after a crash.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from roost.images.base import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One resolved image; `id` is its name in the store below."""

    id: str
    image: Image


_KNOWN = TypeAdapter(Known)


class Index:
    """Files below `folder`: `refs/<hash of the reference>` and `images/<digest>.json`."""

    def __init__(self, folder: Path) -> None:
        self._refs = folder / "refs"
        self._images = folder / "images"

    def setup(self) -> None:
        """Make the folders."""
        for folder in (self._refs, self._images):
            folder.mkdir(parents=True, exist_ok=True)

    def put(self, source: str, known: Known, *, synced: Path | None = None) -> None:
        """Remember both, durably, after the file system of `synced` is. Blocks for the disk."""
        self.setup()
        if synced is not None:
            _sync_file_system(synced)
        _write(self._image(known.image.digest), _KNOWN.dump_json(known))
        _write(self._ref(source), known.image.digest.encode())

    def digest(self, source: str) -> str:
        """What a reference resolved to last, or ""."""
        try:
            return self._ref(source).read_text()
        except OSError:
            return ""

    def get(self, digest: str, *, reference: str = "") -> Image | None:
        """The image, if all its layers are there; its file's time says that it is in use."""
        known = self._read(self._image(digest)) if digest.startswith("sha256:") else None
        if known is None or not all(layer.is_dir() for layer in known.image.layers):
            return None
        os.utime(self._image(digest))
        return replace(known.image, reference=reference or known.image.reference)

    def all(self) -> Iterator[tuple[Known, float]]:
        """Every image with the time (seconds since the epoch) of its last use."""
        for path in sorted(self._images.glob("*.json")) if self._images.is_dir() else ():
            known = self._read(path)
            if known is not None:
                yield known, path.stat().st_mtime

    def drop(self, digest: str) -> None:
        """Forget an image and every reference to it."""
        self._image(digest).unlink(missing_ok=True)
        for ref in self._refs.iterdir() if self._refs.is_dir() else ():
            if not ref.name.endswith(".new") and ref.read_text() == digest:
                ref.unlink(missing_ok=True)

    def _image(self, digest: str) -> Path:
        return self._images / f"{digest.partition(':')[2]}.json"

    def _ref(self, source: str) -> Path:
        return self._refs / hashlib.sha256(source.encode()).hexdigest()

    def _read(self, path: Path) -> Known | None:
        try:
            return _KNOWN.validate_json(path.read_bytes())
        except (OSError, ValidationError):
            return None


def _sync_file_system(folder: Path) -> None:
    """syncfs(2): skopeo leaves unpacked layers to the page cache."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
    finally:
        os.close(descriptor)


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, also after a power cut."""
    partial = path.with_name(path.name + ".new")
    with partial.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    partial.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
