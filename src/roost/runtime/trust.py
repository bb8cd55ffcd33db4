"""What a Machine's programs trust: the image's public roots and those of its organization.

A file system layer of its own lies over the image's: the image's bundles of roots with the
organization's added, and the organization's alone at ROOTS. It is made once for each image and set
of roots and shared by all Machines that have both, so a start costs nothing more. An image
without a bundle gets the host's: the environment (`environment`) names one, and a program that
reads it instead of its own must find the public roots there too.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from roost.errors import InvalidError
from roost.runtime import rootfs
from roost.runtime.base import Mounted

log = logging.getLogger("roost.runtime")

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
"""Where Debian, Alpine and most images have their public roots; here it always is."""
ELSEWHERE = (
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
)
"""Other places (Fedora, Alpine, openSUSE), where the image has them."""
ROOTS = "/.roost/ca.crt"
ADDED = "/usr/local/share/ca-certificates"
"""What `update-ca-certificates` takes along, should the Machine run it."""
BUNDLE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
"""By these an image may name bundles of its own: they get the organization's roots too."""
KEPT = 64
"""Layers beyond which those that no container uses are removed."""


def environment(roots: Sequence[str]) -> dict[str, str]:
    """What makes programs read the bundle that bring roots of their own; below the image's own."""
    if not roots:
        return {}
    return {
        "SSL_CERT_FILE": BUNDLE,
        "REQUESTS_CA_BUNDLE": BUNDLE,
        "NODE_EXTRA_CA_CERTS": ROOTS,
    }


class TrustLayers:
    """Keeps the layers below `folder`; `used` tells which ones containers have. Thread-safe."""

    def __init__(
        self, folder: Path, used: Callable[[], frozenset[Path]], *, host: Path = Path("/")
    ) -> None:
        self._folder = folder
        self._used = used
        self._host = host
        self._lock = threading.Lock()
        self._held: Counter[Path] = Counter()

    @contextlib.contextmanager
    def over(
        self,
        layers: Sequence[Path],
        roots: Sequence[str],
        *,
        image: str,
        env: Mapping[str, str],
        rootless: bool,
    ) -> Iterator[Path]:
        """The layer for an image (`image` says which one it is) with these roots.

        It is not removed while inside, and later as long as `used` has it. Blocks for some
        milliseconds when it has to be made. Raises as `rootfs.mounted`.
        """
        layer = self._folder / self._name(image, roots, env)
        with self._lock:
            if not layer.is_dir():
                self._make_room()
                self._build(layer, layers, roots, env, rootless=rootless)
            self._held[layer] += 1
        try:
            yield layer
        finally:
            with self._lock:
                self._held[layer] -= 1

    def prune(self) -> None:
        """Remove the layers that nobody uses. Blocks."""
        with self._lock:
            self._prune()

    def _prune(self) -> None:
        if self._folder.is_dir():
            keep = self._used() | {layer for layer, times in self._held.items() if times}
            for entry in self._folder.iterdir():
                if entry not in keep:
                    rootfs.clear(entry)

    def _make_room(self) -> None:
        if self._folder.is_dir() and sum(1 for _ in self._folder.iterdir()) >= KEPT:
            self._prune()

    def _name(self, image: str, roots: Sequence[str], env: Mapping[str, str]) -> str:
        _, stamp = self._host_bundle()
        parts = (image, stamp, *_named(env), *roots)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]

    def _host_bundle(self) -> tuple[Path | None, str]:
        for place in (BUNDLE, *ELSEWHERE):
            path = self._host / place.lstrip("/")
            with contextlib.suppress(OSError):
                info = path.stat()
                return path, f"{place} {info.st_mtime_ns} {info.st_size}"
        return None, ""

    def _build(
        self,
        layer: Path,
        layers: Sequence[Path],
        roots: Sequence[str],
        env: Mapping[str, str],
        *,
        rootless: bool,
    ) -> None:
        """Written over the image as a Machine would, so that links and modes are the image's."""
        partial = layer.with_name(f"{layer.name}.new")
        with rootfs.mounted(layers, partial, rootless=rootless) as root:
            files = [*self._bundles(root, roots, env)]
            files += _one_by_one(roots) if rootfs.is_folder(root, ADDED) else []
            for file in files:
                _write(root, file)
        for path in filter(Path.is_file, (partial / "up").rglob("*")):
            _flush(path)
        (partial / "up").rename(layer)
        shutil.rmtree(partial, ignore_errors=True)

    def _bundles(
        self, root: Path, roots: Sequence[str], env: Mapping[str, str]
    ) -> Iterator[Mounted]:
        own = "".join(roots)
        yield _file(ROOTS, own)
        places = dict.fromkeys((BUNDLE, *ELSEWHERE, *_named(env)))
        found = {place: rootfs.read_file(root, place) for place in places}
        public = next(filter(None, found.values()), "") or self._host_roots()
        yield _file(BUNDLE, _joined(found.pop(BUNDLE) or public, own))
        for place, text in found.items():
            if text:
                yield _file(place, _joined(text, own))

    def _host_roots(self) -> str:
        path, _ = self._host_bundle()
        return path.read_text(errors="replace") if path is not None else ""


def _named(env: Mapping[str, str]) -> list[str]:
    """Bundles that an image names in its environment."""
    named = (env.get(name, "") for name in BUNDLE_VARIABLES)
    return [place for place in named if place.startswith("/") and place != ROOTS]


def _one_by_one(roots: Sequence[str]) -> list[Mounted]:
    return [_file(f"{ADDED}/roost-{at}.crt", root) for at, root in enumerate(roots)]


def _write(root: Path, file: Mounted) -> None:
    """A place that an image made impossible (a link to nowhere) is left: it can start without."""
    try:
        rootfs.write_files(root, [file])
    except InvalidError as error:
        log.warning("the private CA's roots: %s", error)


def _file(place: str, text: str) -> Mounted:
    return Mounted(path=place, content=text.encode())


def _joined(public: str, own: str) -> str:
    return public.rstrip() + "\n" + own if public else own


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
