"""`tls_options` of a port as the control protocol carries them. Pure.

The Machines API keeps them as they came, with keys of newer clients; `read` takes what Roost knows.
Counterpart: `TlsOptions` in crates/wire/src/certificate.rs.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic import ValidationError

from roost.errors import InvalidError
from roost.spec import tls_rules
from roost.spec.services import TlsOptions


def read(options: dict[str, Any], handlers: Collection[str]) -> TlsOptions:
    """The options that are known. Raises InvalidError for a value that cannot work."""
    known = {key: value for key, value in options.items() if key in TlsOptions.model_fields}
    try:
        checked = TlsOptions.model_validate(known)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if isinstance(part, str))
        raise InvalidError(f"tls_options.{where}: {first['msg']}") from None
    problem = tls_rules.problem(checked, handlers)
    if problem is not None:
        raise InvalidError(problem.message, hint=problem.hint)
    return checked


def to_wire(options: dict[str, Any], handlers: Collection[str]) -> dict[str, Any]:
    """JSON-ready; what is unset is left out. Raises what `read` raises."""
    known = read(options, handlers)
    said = {
        "alpn": list(known.alpn) or None,
        "versions": list(known.versions) or None,
        "default_self_signed": known.default_self_signed or None,
    }
    return {key: value for key, value in said.items() if value is not None}
