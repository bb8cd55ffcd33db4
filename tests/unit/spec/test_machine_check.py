"""Which machine checks a group has, and what Machine runs one."""

from __future__ import annotations

from typing import Any

from roost.model.machine_config import Guest, Init, MachineConfig
from roost.spec.fly_toml import parse
from roost.spec.machine_check import images, machine_checks, to_check_config

TWO = """
kill_signal = "SIGTERM"
kill_timeout = "9s"
[env]
A = "app"
[processes]
web = "w"
worker = "k"
[[services]]
processes = ["web"]
internal_port = 80
  [[services.machine_checks]]
  command = ["ask", "web"]
[[services]]
processes = ["worker"]
internal_port = 81
  [[services.machine_checks]]
  image = "curl"
  command = ["ask", "worker"]
[[machine_checks]]
image = "curl"
entrypoint = ["sh", "-c"]
command = ["ask all"]
kill_signal = "SIGKILL"
kill_timeout = "2s"
"""
TESTED = MachineConfig(
    image="roost/host",
    env={"A": "machine", "PRIMARY_REGION": "local", "FLY_PROCESS_GROUP": "web"},
    init=Init(entrypoint=("run",), cmd=("w",)),
    guest=Guest(cpus=2, memory_mb=512),
    metadata={"fly_release_version": "3", "fly_process_group": "web", "mine": "1"},
    app_dir="/srv/shop",
)


def made(group: str, number: int) -> dict[str, Any]:
    """The API's JSON of the Machine for a group's check."""
    config = parse(TWO).config
    check = machine_checks(config, group)[number]
    return to_check_config(config, check, TESTED, "fdaa::7").to_api()


def test_a_group_has_its_services_checks_and_the_apps() -> None:
    """Those of another group's services are not among them; each image is named once."""
    config = parse(TWO).config
    commands = {
        group: [check.command for check in machine_checks(config, group)]
        for group in ("web", "worker")
    }
    assert commands == {
        "web": [("ask", "web"), ("ask all",)],
        "worker": [("ask", "worker"), ("ask all",)],
    }
    assert images(config) == ("curl",)


def test_without_an_image_it_is_like_the_machine_it_tests() -> None:
    """Image, entrypoint, size, folder, environment and manner of stopping are the Machine's; the
    command is the check's. It has no name in the network and goes when it ends.
    """
    assert made("web", 0) == {
        "image": "roost/host",
        "app_dir": "/srv/shop",
        "env": {
            "A": "machine",
            "PRIMARY_REGION": "local",
            "FLY_PROCESS_GROUP": "fly_app_test_machine_command",
            "FLY_TEST_COMMAND": "1",
            "FLY_TEST_MACHINE_IP": "fdaa::7",
        },
        "init": {"tty": False, "entrypoint": ["run"], "cmd": ["ask", "web"]},
        "guest": {"cpu_kind": "shared", "cpus": 2, "memory_mb": 512},
        "metadata": {
            "fly_release_version": "3",
            "fly_platform_version": "v2",
            "fly_process_group": "fly_app_test_machine_command",
        },
        "services": [],
        "restart": {"policy": "no"},
        "stop_config": {"signal": "SIGTERM", "timeout": "9s"},
        "files": [],
        "mounts": [],
        "auto_destroy": True,
        "dns": {"skip_registration": True},
    }


def test_an_image_of_its_own_is_stopped_in_its_own_manner() -> None:
    """What the app says about stopping is not for it, what the check says is."""
    own, bare = made("web", 1), made("worker", 0)
    assert (own["image"], own["init"]["entrypoint"]) == ("curl", ["sh", "-c"])
    assert own["stop_config"] == {"signal": "SIGKILL", "timeout": "2s"}
    assert "stop_config" not in bare
    assert "app_dir" not in bare
