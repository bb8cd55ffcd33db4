"""Whether a Machine's configuration can work on this host. Pure.

What the types of `MachineConfig` cannot say is said here, one function per part.
"""

from __future__ import annotations

import base64
import binascii
import json

from roost.control.health_checks import check_health_checks
from roost.control.host import HostIdentity
from roost.control.service_check import check_services
from roost.errors import InvalidError
from roost.model.machine_config import File, Guest, MachineConfig
from roost.proxyctl import view
from roost.spec import durations, signals

MAX_KILL_TIMEOUT_S = 300
SHARED_PER_CORE = 16
"""A shared CPU is a sixteenth of a core."""
CLIENT_SETS = frozenset(
    {"FLY_PROCESS_GROUP", "FLY_STANDBY_FOR", "FLY_TEST_COMMAND", "FLY_TEST_MACHINE_IP"}
)
"""FLY_ names that Fly's own clients put into `env`."""
MAX_METADATA = 64 * 1024
MAX_SERVICES_SIZE = 128 * 1024
"""Bytes of JSON. With the metadata they are one line to the proxy, of at most 1 MiB."""


def check_config(config: MachineConfig, host: HostIdentity) -> None:
    """Raises InvalidError with one sentence about the first thing that cannot work."""
    if not config.image.strip():
        raise InvalidError(
            "config.image is missing", hint='name an image, such as "nginx" or "roost/host"'
        )
    if config.mounts:
        raise InvalidError("volumes are not there yet, so config.mounts must be empty")
    _check_env(config.env)
    check_guest(config.guest, host)
    _check_stop(config)
    for file in config.files:
        _check_file(file)
    check_metadata(config.metadata)
    check_services(config.services)
    check_health_checks(config)
    if len(json.dumps(view.offers(config))) > MAX_SERVICES_SIZE:
        raise InvalidError(
            f"the services and checks are larger than {MAX_SERVICES_SIZE} bytes",
            hint="shorten the lists of allowed_apps, response headers and checks",
        )


def check_metadata(metadata: dict[str, str]) -> None:
    """Keys must not be empty, and all of it must stay small. Raises InvalidError."""
    if "" in metadata:
        raise InvalidError("a metadata key is empty")
    if sum(len(key) + len(value) for key, value in metadata.items()) > MAX_METADATA:
        raise InvalidError(f"the metadata is larger than {MAX_METADATA} characters")


def check_region(region: str, host: HostIdentity) -> None:
    """Only this host's region, or none. Raises InvalidError."""
    if region not in ("", host.region):
        raise InvalidError(
            f"region {region!r} does not exist here", hint=f"use {host.region!r}, or leave it out"
        )


def _check_env(env: dict[str, str]) -> None:
    for name, value in env.items():
        if not name or "=" in name or "\0" in name + value:
            raise InvalidError(f"environment variable {name!r} is not possible")
        if name.startswith("FLY_") and name not in CLIENT_SETS:
            raise InvalidError(
                f"environment variable {name} is reserved", hint="FLY_ names are set by Roost"
            )


def check_guest(guest: Guest, host: HostIdentity) -> None:
    """Whether the host is large enough. Raises InvalidError (code `insufficient_capacity`)."""
    limit = host.cpus * (SHARED_PER_CORE if guest.cpu_kind == "shared" else 1)
    if guest.cpus > limit:
        raise InvalidError(
            f"{guest.cpus} {guest.cpu_kind} CPUs are more than this host's {host.cpus} cores give",
            hint=f"ask for at most {limit}",
            code="insufficient_capacity",
        )
    if guest.memory_mb > host.memory_mb:
        raise InvalidError(
            f"{guest.memory_mb} MB of memory are more than this host has ({host.memory_mb} MB)",
            code="insufficient_capacity",
        )


def _check_stop(config: MachineConfig) -> None:
    stop = config.stop_config
    if stop is None:
        return
    if stop.signal is not None:
        signals.name(stop.signal)
    if stop.timeout is not None:
        stop_timeout_ms(stop.timeout)


def stop_timeout_ms(timeout: str | int) -> int:
    """Milliseconds of a stop's patience, from 0 to 300 s. Raises InvalidError."""
    seconds = durations.seconds(timeout)
    if not 0 <= seconds <= MAX_KILL_TIMEOUT_S:
        raise InvalidError(
            f"a stop timeout of {timeout!r} is not possible",
            hint=f"use 0s to {MAX_KILL_TIMEOUT_S}s",
        )
    return int(seconds * 1000)


def _check_file(file: File) -> None:
    path = file.guest_path
    if not path.startswith("/") or path.endswith("/") or ".." in path.split("/") or "\0" in path:
        raise InvalidError(f"file path {path!r} is not an absolute path of a file")
    if (file.raw_value is None) == (file.secret_name is None):
        raise InvalidError(f"file {path} needs either raw_value or secret_name")
    if file.raw_value is not None:
        try:
            base64.b64decode(file.raw_value, validate=True)
        except binascii.Error:
            raise InvalidError(f"the raw_value of file {path} is not base64") from None
