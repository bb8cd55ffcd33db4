"""Logging set-up: one line per event on standard error, `key=value` pairs after the message."""

from __future__ import annotations

import logging
import sys


def configure(*, verbose: bool = False) -> None:
    """Send the `roost` loggers to standard error (level INFO, or DEBUG when verbose)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s")
    )
    handler.formatter.default_msec_format = None  # type: ignore[union-attr]
    root = logging.getLogger("roost")
    root.handlers[:] = [handler]
    root.propagate = False
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
