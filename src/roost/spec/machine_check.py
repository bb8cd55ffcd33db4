"""Machine checks: a command in a Machine of its own that tests one that a deploy has just made.

Follows what Fly's client makes of `[[services.machine_checks]]` (docs/reference/configuration).
"""

from __future__ import annotations

from typing import Any

from roost.model.machine_config import MachineConfig
from roost.spec import durations, groups
from roost.spec.app_config import HOST_IMAGE, AppConfig
from roost.spec.machine import PLATFORM_VERSION
from roost.spec.services import MachineCheck

CHECK_GROUP = "fly_app_test_machine_command"
"""Process group of the Machines that run checks; no deploy or scaling acts on it."""
_STAMPS = ("fly_flyctl_version", "fly_release_id", "fly_release_version")


def machine_checks(config: AppConfig, group: str) -> tuple[MachineCheck, ...]:
    """The checks of a group's services, and those of the whole app."""
    services = groups.services(config, group)
    return (
        *(one for service in services for one in service.machine_checks),
        *config.machine_checks,
    )


def images(config: AppConfig) -> tuple[str, ...]:
    """The images that checks name for themselves, each once."""
    every = (one for group in groups.names(config) for one in machine_checks(config, group))
    return tuple(dict.fromkeys(one.image for one in every if one.image))


def to_check_config(
    config: AppConfig, check: MachineCheck, tested: MachineConfig, address: str
) -> MachineConfig:
    """The configuration of the Machine that runs `check` against `tested`, at 6PN `address`.

    Image, entrypoint and size are those of `tested` where the check says nothing. It has no
    service and no name, is not restarted, and is destroyed when its command ends.
    """
    image = check.image or tested.image
    return MachineConfig.model_validate(
        {
            "image": image,
            "env": {
                **config.env,
                **tested.env,
                "FLY_PROCESS_GROUP": CHECK_GROUP,
                "FLY_TEST_COMMAND": "1",
                "FLY_TEST_MACHINE_IP": address,
            },
            "init": {
                "cmd": check.command,
                "entrypoint": check.entrypoint or tested.init.entrypoint,
            },
            "guest": tested.guest,
            "metadata": {
                **{name: tested.metadata[name] for name in _STAMPS if name in tested.metadata},
                "fly_platform_version": PLATFORM_VERSION,
                "fly_process_group": CHECK_GROUP,
            },
            "restart": {"policy": "no"},
            "stop_config": _stop(config, check),
            "dns": {"skip_registration": True},
            "auto_destroy": True,
            "app_dir": tested.app_dir if image == HOST_IMAGE else None,
        }
    )


def _stop(config: AppConfig, check: MachineCheck) -> dict[str, Any] | None:
    """An image of its own is not stopped in the app's manner."""
    signal, timeout = check.kill_signal, check.kill_timeout
    if check.image is None:
        signal = signal or config.kill_signal
        timeout = timeout if timeout is not None else config.kill_timeout
    if signal is None and timeout is None:
        return None
    return {
        "signal": signal,
        "timeout": None if timeout is None else durations.write(timeout),
    }
