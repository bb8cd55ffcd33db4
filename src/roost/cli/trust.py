"""Whom the CLI believes over HTTPS: the usual authorities, or those of a file."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from roost.errors import InvalidError

VARIABLE = "ROOST_CACERT"


def trusted(environ: Mapping[str, str]) -> ssl.SSLContext:
    """The context for connections to the API: only the authorities in the file ROOST_CACERT, else
    those of SSL_CERT_FILE or SSL_CERT_DIR, else the usual ones. Raises InvalidError.
    """
    import httpx

    path = environ.get(VARIABLE, "").strip()
    try:
        return ssl.create_default_context(cafile=path) if path else httpx.create_ssl_context()
    except (OSError, ssl.SSLError) as error:
        name = f"{VARIABLE}={path}" if path else "SSL_CERT_FILE or SSL_CERT_DIR"
        raise InvalidError(
            f"{name} cannot be used: {error}", hint="it names a file of certificates in PEM form"
        ) from error


def untrusted(error: Exception) -> bool:
    """Whether a connection failed for the other side's certificate."""
    return "CERTIFICATE_VERIFY_FAILED" in str(error)
