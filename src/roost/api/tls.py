"""TLS for the API: a certificate and its key from files, checked before use, renewed in place.

Every handshake asks for the newest context, so a renewed certificate serves new connections
without a restart, and a broken one on disk never takes the place of a good one in memory.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from roost.clock import Clock
from roost.errors import InvalidError

log = logging.getLogger("roost.api")

LOOK_EVERY_S = 30.0
"""Between looks at the files."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of the certificate (with its chain) and of its private key, both PEM."""

    certificate: Path
    key: Path


class Certificate:
    """What the API shows to those who connect. `context` is for the listening sockets."""

    def __init__(self, files: TlsFiles, clock: Clock) -> None:
        """Raises InvalidError when the files cannot be used. Blocks on the disk."""
        self._files = files
        self._clock = clock
        self._seen = _stamp(files)
        self._newest = load(files, clock.now_ms())
        self.context = load(files, clock.now_ms())
        self.context.sni_callback = self._choose  # asked at each handshake, with a name or without

    def _choose(self, connection: ssl.SSLObject, _name: str | None, _: ssl.SSLContext) -> None:
        connection.context = self._newest

    def look(self) -> bool:
        """Take over changed files; whether that was done. What cannot be used is logged, once, and
        the old certificate stays. Blocks on the disk.
        """
        stamp = _stamp(self._files)
        if stamp == self._seen:
            return False
        self._seen = stamp
        try:
            self._newest = load(self._files, self._clock.now_ms())
        except InvalidError as error:
            log.error("the API keeps its old certificate: %s", error)
            return False
        log.info("the API has a new certificate from %s", self._files.certificate)
        return True

    async def keep_fresh(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            await asyncio.to_thread(self.look)


def load(files: TlsFiles, now_ms: int) -> ssl.SSLContext:
    """A server's context, TLS 1.2 or newer. Raises InvalidError, with what is wrong with which
    file. Blocks on the disk.
    """
    certificate = _certificate(files.certificate)
    _check_dates(files.certificate, certificate, datetime.fromtimestamp(now_ms / 1000, UTC))
    _check_key(files, certificate)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(files.certificate, files.key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidError(
            f"certificate {files.certificate} cannot be used: {error}",
            hint="a key of at least 2048 bits (RSA) or a usual curve is needed",
        ) from error
    return context


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidError(
            f"{path} cannot be read: {error.strerror}", hint="see --tls-cert and --tls-key"
        ) from error


def _certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(_read(path))[0]
    except ValueError as error:
        raise InvalidError(
            f"{path} has no certificate in PEM form", hint="--tls-cert takes fullchain.pem"
        ) from error


def _check_dates(path: Path, certificate: x509.Certificate, now: datetime) -> None:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now >= ends:
        raise InvalidError(
            f"certificate {path} expired on {ends:%Y-%m-%d %H:%M} UTC", hint="renew it"
        )
    if now < begins:
        raise InvalidError(
            f"certificate {path} is valid from {begins:%Y-%m-%d %H:%M} UTC only",
            hint="wait, or set this host's clock",
        )


def _check_key(files: TlsFiles, certificate: x509.Certificate) -> None:
    try:
        key = load_pem_private_key(_read(files.key), password=None)
    except TypeError as error:
        raise InvalidError(
            f"key {files.key} is encrypted", hint="give one without a passphrase, with mode 0600"
        ) from error
    except ValueError as error:
        raise InvalidError(
            f"{files.key} has no private key in PEM form", hint="--tls-key takes privkey.pem"
        ) from error
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
        raise InvalidError(
            f"key {files.key} does not belong to certificate {files.certificate}",
            hint="give the two files of one certificate",
        )


def _stamp(files: TlsFiles) -> tuple[object, ...]:
    """What changes when the files do, symbolic links followed; nothing for those not there."""
    found: list[object] = []
    for path in (files.certificate, files.key):
        try:
            status = path.stat()
        except OSError:
            found.append(None)
        else:
            found.append((status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(found)
