"""The lease nonce that a caller sends along."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header

Nonce = Annotated[str | None, Header(alias="fly-machine-lease-nonce")]
"""A route's parameter: the nonce of a lease that the caller holds."""
