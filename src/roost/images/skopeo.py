"""Running skopeo, and saying in one sentence why it failed.

skopeo downloads, verifies every digest, decompresses (gzip, zstd), and unpacks layers into a
containers-storage directory: in a chroot, with overlay whiteouts, each layer once, half-done ones
dropped at the next start. That store is our own, below ROOST_HOME, not the system's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from roost.errors import (
    DeadlineError,
    InvalidError,
    NotFoundError,
    RoostError,
    UnavailableError,
)
from roost.images.reference import Reference

PULL_SECONDS = 1800.0
LEAST_FREE = 256 << 20
"""Bytes that a pull leaves free on the disk; it is ended below."""

_WATCH_SECONDS = 0.5
_MESSAGE = re.compile(r'level=(?:fatal|error) msg="((?:[^"\\]|\\.)*)"')
_POLICY = Path("/etc/containers/policy.json")

_CREDENTIALS = "auth.json"
_MEANINGS: tuple[tuple[str, str], ...] = (
    (
        "unauthorized",
        r"unauthorized|authentication required|(?<!permission )denied|403 \(?Forbidden",
    ),
    (
        "missing",
        r"manifest unknown|name unknown|no descriptor found|no such file or directory"
        r"|not found|repository does not exist|no image found|reading manifest .* 404",
    ),
    (
        "unreachable",
        r"connection refused|no such host|i/o timeout|network is unreachable|no route to host"
        r"|TLS handshake|x509|server gave HTTP response|connection reset|deadline exceeded"
        r"|server misbehaving",
    ),
    (
        "broken",
        r"archive/tar|invalid tar|unexpected EOF|invalid character|breakout|unsupported"
        r"|digest did not match|does not match|invalid checksum|gzip: |corrupt|malformed|untar"
        r"|processing tar|mkdir |invalid symlink|invalid hardlink|error parsing|no image "
        r"|not a directory|unmarshal",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Skopeo:
    """The program with our store; `rootless`: run in a user namespace."""

    program: str
    folder: Path
    rootless: bool

    @property
    def storage(self) -> Path:
        """Root of the containers-storage directory."""
        return self.folder / "storage"

    def destination(self, name: str) -> str:
        """containers-storage transport name of an image in our store."""
        options = "overlay.skip_mount_home=true"
        if self.rootless:
            options += ",overlay.ignore_chown_errors=true"
        return f"containers-storage:[overlay@{self.storage}+{self.folder / 'run'}:{options}]{name}"

    def environment(self) -> dict[str, str]:
        """Own temporary folder and configuration; in a user namespace, say so."""
        env = {
            **os.environ,
            "TMPDIR": str(self.folder / "tmp"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
        }
        if self.rootless:
            env |= {
                "_CONTAINERS_USERNS_CONFIGURED": "done",
                "_CONTAINERS_ROOTLESS_UID": str(os.getuid() or 1),
                "_CONTAINERS_ROOTLESS_GID": str(os.getgid() or 1),
            }
        return env

    async def copy(self, reference: Reference, name: str, auth: Path | None) -> str:
        """Fetch and unpack `reference` as image `name`; returns its manifest's digest.

        Raises NotFoundError, UnavailableError, InvalidError (malformed), DeadlineError.
        """
        digest_file = self.folder / "tmp" / f"digest-{name.rpartition(':')[2]}"
        line = ["copy", "--quiet", "--digestfile", str(digest_file)]
        if reference.plain_http:
            line.append("--src-tls-verify=false")
        if auth is not None:
            line += ["--src-authfile", str(auth)]
        try:
            complaint = await self._run([*line, reference.source, self.destination(name)])
            if complaint is not None:
                raise explain(reference.source, complaint)
            return digest_file.read_text().strip()
        finally:
            digest_file.unlink(missing_ok=True)

    async def delete(self, image: str) -> None:
        """Remove an image by id, with the layers that no other one has. Gone is fine."""
        await self._run(["delete", self.destination(f"@{image}")])

    async def _run(self, arguments: list[str]) -> str | None:
        """What skopeo complained, None when it succeeded."""
        line = [self.program, *_policy(), *arguments]
        try:
            process = await asyncio.create_subprocess_exec(
                *line,
                env=self.environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise UnavailableError(
                f"skopeo cannot be started: {error.strerror}", hint="install the package skopeo"
            ) from error
        try:
            async with asyncio.timeout(PULL_SECONDS):
                complaint = await self._watched(process)
        except TimeoutError:
            raise DeadlineError(f"the image did not arrive within {PULL_SECONDS:g} s") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        return None if process.returncode == 0 else complaint

    async def _watched(self, process: asyncio.subprocess.Process) -> str:
        """Its standard error (the last 64 KiB), ending it before the disk is full."""
        assert process.stderr is not None
        kept = b""
        while True:
            try:
                async with asyncio.timeout(_WATCH_SECONDS):
                    chunk = await process.stderr.read(4096)
            except TimeoutError:
                if shutil.disk_usage(self.folder).free < LEAST_FREE:
                    raise UnavailableError(
                        f"the disk with {self.folder} is nearly full",
                        hint="free space, or choose another ROOST_HOME",
                    ) from None
                continue
            if not chunk:
                await process.wait()
                return kept.decode(errors="replace")
            kept = (kept + chunk)[-65536:]


def _policy() -> list[str]:
    """The host's signature policy holds where it has one."""
    return [] if _POLICY.exists() else ["--insecure-policy"]


def explain(source: str, complaint: str) -> RoostError:
    """The error that skopeo's standard error stands for: pure."""
    found = _MESSAGE.findall(complaint)
    text = (found[-1] if found else complaint.strip() or "it gave no reason").replace('\\"', '"')
    shown = source.removeprefix("docker://")
    reason = text.rpartition(": ")[2] if len(text) > 200 else text
    meaning = next(
        (word for word, pattern in _MEANINGS if re.search(pattern, text, re.IGNORECASE)), ""
    )
    if _CREDENTIALS in text:
        return UnavailableError(
            f"the credentials in ROOST_HOME/{_CREDENTIALS} cannot be used: {reason}",
            hint="write it with: skopeo login --authfile ROOST_HOME/auth.json REGISTRY",
        )
    match meaning:
        case "missing":
            return NotFoundError(
                f"image {shown} does not exist: {reason}", hint="check its name and tag"
            )
        case "unauthorized":
            return UnavailableError(
                f"the registry does not let us have image {shown}: {reason}",
                hint="it may not exist; else put credentials into ROOST_HOME/auth.json "
                "(docker login's config.json has the same form)",
                code="registry_unauthorized",
            )
        case "unreachable":
            return UnavailableError(
                f"the registry of image {shown} cannot be reached: {reason}",
                hint="check the registry's name and this host's network",
                code="registry_unreachable",
            )
        case "broken":
            return InvalidError(
                f"image {shown} is malformed: {reason}", hint="build or save it again"
            )
        case _:
            return UnavailableError(
                f"image {shown} cannot be fetched: {reason}",
                hint=f"try: skopeo inspect {source}",
            )
