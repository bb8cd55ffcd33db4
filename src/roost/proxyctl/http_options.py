"""`http_options` of a port as the control protocol carries them. Pure.

The Machines API keeps them as they came, with keys of newer clients; `read` takes what Roost knows.
Counterpart: `HttpOptions` in crates/wire/src/entity.rs.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from roost.errors import InvalidError
from roost.spec.services import HttpOptions, ReplayRule, ResponseOptions


def read(options: dict[str, Any]) -> HttpOptions:
    """The options that are known. Raises InvalidError for a value that has no meaning."""
    known = {key: value for key, value in options.items() if key in HttpOptions.model_fields}
    response = known.get("response")
    if isinstance(response, dict):
        fields = ResponseOptions.model_fields
        known["response"] = {key: value for key, value in response.items() if key in fields}
    rules = known.get("replay_cache")
    if isinstance(rules, list):
        known["replay_cache"] = [_known_rule(rule) for rule in rules]
    try:
        return HttpOptions.model_validate(known)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if isinstance(part, str))
        raise InvalidError(f"http_options.{where}: {first['msg']}") from None


def _known_rule(rule: Any) -> Any:
    if not isinstance(rule, dict):
        return rule
    return {key: value for key, value in rule.items() if key in ReplayRule.model_fields}


def to_wire(options: dict[str, Any]) -> dict[str, Any]:
    """JSON-ready; what is unset is left out. Raises what `read` raises."""
    known = read(options)
    response: dict[str, Any] = {}
    if known.response is not None:
        if known.response.pristine:
            response["pristine"] = True
        if known.response.headers:
            response["headers"] = {
                name: _values(value) for name, value in known.response.headers.items()
            }
    said = {
        "compress": known.compress,
        "h2_backend": known.h2_backend,
        "idle_timeout": known.idle_timeout or None,
        "headers_read_timeout": known.headers_read_timeout or None,
        "response": response or None,
        "replay_cache": [_rule(rule) for rule in known.replay_cache] or None,
    }
    return {key: value for key, value in said.items() if value is not None}


def _rule(rule: ReplayRule) -> dict[str, Any]:
    """One rule; that nobody may go past it is left out."""
    said = rule.model_dump()
    return said if rule.allow_bypass else {key: said[key] for key in said if key != "allow_bypass"}


def _values(value: bool | str | tuple[str, ...]) -> list[str]:
    """The values of a response header; none removes it."""
    match value:
        case bool():
            return []
        case str():
            return [value]
        case _:
            return list(value)
