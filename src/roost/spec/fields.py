"""Kinds of values that several sections of fly.toml use, each with its check.

Errors raised here are pydantic custom errors whose context holds the sentence and the hint;
`roost.spec.validation` turns them into problems with a place.
"""

from __future__ import annotations

import base64
import binascii
import re
import shlex
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer
from pydantic import WithJsonSchema as Schema
from pydantic_core import PydanticCustomError

from roost.errors import InvalidError
from roost.model import ids
from roost.spec import check_limits, durations, signals, sizes
from roost.spec.durations import Unit


class Part(BaseModel):
    """Root of every section: frozen, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def refuse(sentence: str, hint: str | None = None) -> NoReturn:
    """Raise the error of a validator; `sentence` goes on after the key's name."""
    raise PydanticCustomError("rule", "{sentence}", {"sentence": sentence, "hint": hint})


def _reader(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def validate(value: Any) -> Any:
        if value is None:
            return None
        try:
            return read(value)
        except InvalidError as error:
            refuse(f"is wrong: {error.message}", error.hint)

    return validate


def _duration(unit: Unit, low: int = 0, high: int = durations.MAX) -> BeforeValidator:
    def read(value: Any) -> int | None:
        if value == "":
            return None
        if not isinstance(value, (str, int, float)):
            refuse("must be a duration", 'write it like "5s", "500ms" or "1m30s"')
        found = durations.read(value, unit)
        if found < low:
            refuse(f"is {value!r}", f"use at least {durations.write(low)}")
        if found > high:
            refuse(f"is {value!r}", f"use at most {durations.write(high)}")
        return found

    return BeforeValidator(_reader(read))


def _write_duration(value: int | None) -> str | None:
    return None if value is None else durations.write(value)


_WRITTEN = PlainSerializer(_write_duration, return_type=str | None, when_used="json")
_AS_TEXT = Schema({"type": "string", "examples": ["1m30s"]})

Duration = Annotated[int | None, _duration(Unit.SECONDS), _WRITTEN, _AS_TEXT]
"""A duration; bare numbers are seconds. Nanoseconds, or None when unset."""

PositiveDuration = Annotated[
    int | None, _duration(Unit.SECONDS, low=durations.MILLISECOND), _WRITTEN, _AS_TEXT
]
StopTimeout = Annotated[
    int | None, _duration(Unit.SECONDS, high=300 * durations.SECOND), _WRITTEN, _AS_TEXT
]
CheckDuration = Annotated[int | None, _duration(Unit.MILLISECONDS), _WRITTEN, _AS_TEXT]
"""Bare numbers of every health check are milliseconds."""

CheckInterval = Annotated[
    int | None,
    _duration(Unit.MILLISECONDS, low=2 * durations.SECOND, high=check_limits.LONGEST_INTERVAL),
    _WRITTEN,
    _AS_TEXT,
]
CheckTimeout = Annotated[
    int | None, _duration(Unit.MILLISECONDS, high=60 * durations.SECOND), _WRITTEN, _AS_TEXT
]


def _memory(value: Any) -> int:
    found = sizes.memory_mb(value)
    if found < 16:
        refuse(f"is {value!r}", 'use at least "16mb"')
    return found


def _volume(low: int, high: int) -> BeforeValidator:
    def read(value: Any) -> int:
        found = sizes.volume_gb(value)
        if not low <= found <= high:
            refuse(f"is {value!r}", f"use {low}gb to {high}gb")
        return found

    return BeforeValidator(_reader(read))


def _written_in(unit: str) -> PlainSerializer:
    return PlainSerializer(
        lambda value: None if value is None else f"{value}{unit}",
        return_type=str | None,
        when_used="json",
    )


_SIZE_TEXT = Schema({"type": "string", "examples": ["512mb", "1gb"]})

Memory = Annotated[int | None, BeforeValidator(_reader(_memory)), _written_in("mb"), _SIZE_TEXT]
"""MiB."""

VolumeSize = Annotated[int | None, _volume(1, 1 << 20), _written_in("gb"), _SIZE_TEXT]
ExtendIncrement = Annotated[int | None, _volume(1, 100), _written_in("gb"), _SIZE_TEXT]
ExtendLimit = Annotated[int | None, _volume(1, 500), _written_in("gb"), _SIZE_TEXT]


def _splittable(value: str) -> str:
    try:
        shlex.split(value)
    except ValueError as error:
        refuse(f"cannot be split into words: {str(error).lower()}", "close the quotes")
    return value


Command = Annotated[str, AfterValidator(_splittable)]
"""A command line as a shell would split it (nothing is expanded)."""


def _switch(value: Any) -> Any:
    match value:
        case True:
            return "stop"
        case False:
            return "off"
        case "off" | "stop" | "suspend":
            return value
        case _:
            refuse(f"is {value!r}", 'use "off", "stop" or "suspend"')


AutoStop = Annotated[
    str, BeforeValidator(_switch), Schema({"type": "string", "enum": ["off", "stop", "suspend"]})
]
"""`off`, `stop` or `suspend`; true is stop and false is off."""

Signal = Annotated[str, AfterValidator(_reader(signals.name))]
"""A signal with its full name."""

AppNameText = Annotated[str, AfterValidator(_reader(ids.app_name))]
PortNumber = Annotated[int, Field(ge=1, le=65535)]

_REGION = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
_REPLAY_PREFIX = re.compile(r"[A-Za-z0-9._-]*/[!\"$-)+->@-~]*(?:/\*)?")
MAX_REPLAY_PREFIX = 512
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def _region(value: str) -> str:
    if not _REGION.fullmatch(value):
        refuse(f"is {value!r}, which is not a region code", 'write it like "ams" or "local"')
    return value


Region = Annotated[str, AfterValidator(_region)]


def _absolute(value: str) -> str:
    if not value.startswith("/") or "\x00" in value:
        refuse(f"is {value!r}, which is not an absolute path", "begin it with /")
    if ".." in value.split("/"):
        refuse(f"is {value!r}, which goes up with ..", "write the path without ..")
    return value


AbsolutePath = Annotated[str, AfterValidator(_absolute)]


def _header_name(value: str) -> str:
    if not _HEADER.fullmatch(value):
        refuse("is not a header name", "use letters, digits and dashes")
    return value


def _header_text(value: str) -> str:
    if _CONTROL.search(value):
        refuse("holds a control character", "a header value is one line of text")
    return value


def _response_header(value: Any) -> Any:
    match value:
        case False:
            return False
        case str():
            return _header_text(value)
        case list() | tuple() if all(isinstance(line, str) for line in value):
            return tuple(_header_text(line) for line in value)
        case _:
            refuse("must be false, a string or a list of strings", "false removes the header")


def _replay_prefix(value: str) -> str:
    if not _REPLAY_PREFIX.fullmatch(value) or len(value) > MAX_REPLAY_PREFIX:
        refuse(
            "is not a path, with a host name without a port before it or not",
            'write it like "/api" or "example.com/api": no query, and "*" only at the end',
        )
    return value


ReplayPrefix = Annotated[str, AfterValidator(_replay_prefix)]
"""The requests of a `replay_cache` rule: `[host]/path`, and what is below it."""

HeaderName = Annotated[str, AfterValidator(_header_name)]
HeaderText = Annotated[str, AfterValidator(_header_text)]
CheckMethod = Annotated[str, AfterValidator(_reader(check_limits.method))]
CheckPath = Annotated[str, AfterValidator(_reader(check_limits.path))]
CheckServerName = Annotated[str, AfterValidator(_reader(check_limits.server_name))]
CheckName = Annotated[str, AfterValidator(_reader(check_limits.name))]
ResponseHeader = Annotated[
    bool | str | tuple[str, ...],
    BeforeValidator(_response_header),
]
"""False removes the header, a string sets it, a list adds several."""


def _mount_point(value: str) -> str:
    if not value.strip("/"):
        refuse(f"is {value!r}: a volume cannot be mounted on /", 'choose a folder such as "/data"')
    return value


MountPoint = Annotated[AbsolutePath, AfterValidator(_mount_point)]

_GROUP = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")


def _group(value: str) -> str:
    if not _GROUP.fullmatch(value):
        refuse(
            "is not a name for a process group",
            "use 1 to 63 letters, digits, dashes and underscores",
        )
    return value


GroupName = Annotated[str, AfterValidator(_group)]


def _caller(value: str) -> str:
    try:
        return ids.caller_name(value)
    except InvalidError as error:
        refuse(f"names {value!r}, which is not an app's name", error.hint)


def _callers(value: tuple[str, ...]) -> tuple[str, ...]:
    if len(value) > ids.MAX_CALLERS:
        refuse(f"has {len(value)} entries, more than {ids.MAX_CALLERS}")
    return value


CallerNames = Annotated[
    tuple[Annotated[str, AfterValidator(_caller)], ...], AfterValidator(_callers)
]
"""The names of the apps that may call: `app`, or `org/app` for one of another organization."""


def _base64(value: str) -> str:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        refuse("is not base64", "encode the file with `base64 -w0 FILE`")
    return value


Base64Text = Annotated[str, AfterValidator(_base64)]


def _preset(value: str) -> str:
    if value not in sizes.PRESETS:
        refuse(f"is {value!r}, which is not a known size", "use one of " + ", ".join(sizes.PRESETS))
    return value


Preset = Annotated[str, AfterValidator(_preset)]

_ENV_NAME = re.compile(r"[^=\x00]+")


def _env_name(value: str) -> str:
    if not _ENV_NAME.fullmatch(value):
        refuse("is not a name for an environment variable", "leave out = and empty names")
    if value.startswith("FLY_"):
        refuse("is kept for the platform: names must not start with FLY_", "choose another name")
    return value


def _env_value(value: Any) -> Any:
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case str() if "\x00" in value:
            refuse("holds a NUL character")
        case str():
            return value
        case _:
            refuse("must be a string", "quote the value")


EnvName = Annotated[str, AfterValidator(_env_name)]
EnvValue = Annotated[str, BeforeValidator(_env_value)]
"""Anything that is one value is written out as text."""
