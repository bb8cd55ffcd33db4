"""Write an AppConfig as a fly.toml that reads back to the same value."""

from __future__ import annotations

import json
import re

from pydantic import JsonValue

from roost.spec.app_config import AppConfig, Build, Vm
from roost.spec.services import HttpService

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def launch_config(
    *,
    app: str,
    region: str,
    image: str | None,
    internal_port: int = 8080,
    auto_stop: str = "stop",
    force_https: bool = True,
    command: str | None = None,
    memory_mb: int = 1024,
) -> AppConfig:
    """The configuration that `launch` writes for a new app (the values are Fly's).

    `command` becomes the `app` process group's. Raises pydantic's ValidationError, a ValueError,
    for values that fly.toml could not hold either.
    """
    entries: dict[str, object] = {
        "app": app,
        "primary_region": region,
        "http_service": HttpService(
            internal_port=internal_port,
            force_https=force_https,
            auto_stop_machines=auto_stop,
            auto_start_machines=True,
            min_machines_running=0,
            processes=("app",),
        ),
        "vm": (Vm(cpu_kind="shared", cpus=1, memory=memory_mb),),
    }
    if image:
        entries["build"] = Build(image=image)
    if command:
        entries["processes"] = {"app": command}
    return AppConfig.model_validate(entries)


def render(config: AppConfig) -> str:
    """A fly.toml with the keys that are set, in the order of the documentation."""
    lines: list[str] = []
    data = config.show()
    order = [info.alias or name for name, info in AppConfig.model_fields.items()]
    _table(lines, {key: data[key] for key in order if key in data}, ())
    return "\n".join(lines).strip("\n") + "\n"


def _table(lines: list[str], table: dict[str, JsonValue], path: tuple[str, ...]) -> None:
    later: list[tuple[str, JsonValue]] = []
    for key, value in table.items():
        if _has_header(value):
            later.append((key, value))
        else:
            lines.append(f"{'  ' * len(path)}{_key(key)} = {_value(value)}")
    for key, value in later:
        name = ".".join(map(_key, (*path, key)))
        if isinstance(value, dict):
            lines.extend(("", f"{'  ' * len(path)}[{name}]"))
            _table(lines, value, (*path, key))
            continue
        for one in value if isinstance(value, list) else ():
            lines.extend(("", f"{'  ' * len(path)}[[{name}]]"))
            if isinstance(one, dict):
                _table(lines, one, (*path, key))


def _has_header(value: JsonValue) -> bool:
    if isinstance(value, dict):
        return True
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _string(key)


def _value(value: JsonValue) -> str:
    match value:
        case None:
            return '""'
        case bool():
            return str(value).lower()
        case str():
            return _string(value)
        case list():
            return f"[{', '.join(map(_value, value))}]"
        case dict():
            pairs = (f"{_key(key)} = {_value(one)}" for key, one in value.items())
            return f"{{ {', '.join(pairs)} }}"
        case _:
            return repr(value)


def _string(text: str) -> str:
    # JSON's escapes are also TOML's; only DEL is allowed in JSON and not in TOML.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
