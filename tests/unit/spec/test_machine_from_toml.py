"""The Machine configuration that a fly.toml's process group gets."""

from __future__ import annotations

from typing import Any

import pytest

from roost.model.machine_config import MachineConfig
from roost.spec.fly_toml import parse
from roost.spec.machine import ReleaseStamp, to_machine_config

STAMP = ReleaseStamp(id="01J", version=3, roost_version="0.1.0")


def made(text: str, group: str = "app", image: str = "nginx", **more: Any) -> dict[str, Any]:
    """The API's JSON for a group of a fly.toml."""
    config = parse(text).config
    return to_machine_config(config, group, image, release=STAMP, **more).to_api()


def test_a_launched_app() -> None:
    """Everything that Fly's client sends for a web service with sleep and one check."""
    found = made(
        'app = "x"\nprimary_region = "ams"\n'
        "[env]\nA = 1\n"
        "[http_service]\ninternal_port = 80\nforce_https = true\nauto_stop_machines = true\n"
        "auto_start_machines = true\nmin_machines_running = 0\n"
        '[[http_service.checks]]\ninterval = "15s"\ntimeout = "2s"\ngrace_period = "5s"\n'
        'method = "get"\npath = "/"\n'
        '[[vm]]\nmemory = "1gb"\n'
    )
    services = found.pop("services")
    assert found == {
        "image": "nginx",
        "env": {"A": "1", "FLY_PROCESS_GROUP": "app", "PRIMARY_REGION": "ams"},
        "init": {"tty": False},
        "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 1024},
        "metadata": {
            "fly_platform_version": "v2",
            "fly_process_group": "app",
            "fly_flyctl_version": "0.1.0",
            "fly_release_id": "01J",
            "fly_release_version": "3",
        },
        "files": [],
        "mounts": [],
        "auto_destroy": False,
    }
    assert services == [
        {
            "protocol": "tcp",
            "internal_port": 80,
            "autostop": True,
            "autostart": True,
            "min_machines_running": 0,
            "ports": [
                {"port": 80, "handlers": ["http"], "force_https": True},
                {"port": 443, "handlers": ["http", "tls"], "force_https": False},
            ],
            "checks": [
                {
                    "type": "http",
                    "interval": "15s",
                    "timeout": "2s",
                    "grace_period": "5s",
                    "method": "GET",
                    "path": "/",
                }
            ],
        }
    ]


def test_unset_settings_of_a_service_are_absent() -> None:
    """Autostop, autostart, minimum and concurrency appear only when fly.toml says so."""
    (service,) = made("[[services]]\nports = [{port = 5432}]\n")["services"]
    assert service == {
        "protocol": "tcp",
        "internal_port": 8080,
        "ports": [{"port": 5432, "handlers": [], "force_https": False}],
    }


@pytest.mark.parametrize(
    ("setting", "expected"), [('"off"', False), ('"stop"', True), ('"suspend"', "suspend")]
)
def test_autostop_in_the_words_of_the_api(setting: str, expected: object) -> None:
    """Fly's clients want false, true or "suspend"."""
    (service,) = made(f"[http_service]\nauto_stop_machines = {setting}\n")["services"]
    assert service["autostop"] == expected


def test_services_are_copied() -> None:
    """Ranges, options, limits, Roost's own idle time and clamped checks."""
    (service,) = made(
        '[[services]]\nprotocol = "tcp"\ninternal_port = 53\nauto_stop_after = "90s"\n'
        'concurrency = {type = "requests", soft_limit = 2, hard_limit = 3}\n'
        'allowed_apps = ["web"]\n'
        '[[services.ports]]\nstart_port = 1\nend_port = 9\nhandlers = ["tcp"]\n'
        '[[services.ports]]\nport = 80\nhandlers = ["http"]\n'
        "http_options = {idle_timeout = 0, headers_read_timeout = 7, "
        'response = {pristine = true, headers = {A = ["1", "2"], B = false}}}\n'
        '[[services.ports]]\nport = 443\nhandlers = ["tls", "proxy_proto"]\n'
        'tls_options = {alpn = ["h2"]}\nproxy_proto_options = {version = "v2"}\n'
        "[[services.tcp_checks]]\ninterval = 100\ngrace_period = 0\n"
        '[[services.http_checks]]\ntimeout = "2m"\nheaders = {A = "b"}\n'
    )["services"]
    assert service == {
        "protocol": "tcp",
        "internal_port": 53,
        "allowed_apps": ["web"],
        "auto_stop_after": "1m30s",
        "concurrency": {"type": "requests", "soft_limit": 2, "hard_limit": 3},
        "ports": [
            {"start_port": 1, "end_port": 9, "handlers": [], "force_https": False},
            {
                "port": 80,
                "handlers": ["http"],
                "force_https": False,
                "http_options": {
                    "headers_read_timeout": 7,
                    "response": {"pristine": True, "headers": {"A": ["1", "2"], "B": False}},
                },
            },
            {
                "port": 443,
                "handlers": ["tls", "proxy_proto"],
                "force_https": False,
                "tls_options": {"alpn": ["h2"]},
                "proxy_proto_options": {"version": "v2"},
            },
        ],
        "checks": [
            {"type": "tcp", "interval": "1s", "grace_period": "0s"},
            {"type": "http", "timeout": "1m0s", "headers": [{"name": "A", "values": ["b"]}]},
        ],
    }


GROUPS = """\
primary_region = "local"
kill_signal = "TERM"
kill_timeout = 10
swap_size_mb = 64
[processes]
web = "serve --name 'a b'"
worker = ""
[http_service]
processes = ["web"]
http_options = {idle_timeout = 9}
tls_options = {versions = ["TLSv1.3"]}
[checks.up]
type = "tcp"
[checks.other]
type = "http"
port = 9
method = "head"
processes = ["worker"]
[[vm]]
size = "shared-cpu-2x"
[[vm]]
cpu_kind = "performance"
cpus = 2
processes = ["worker"]
[[restart]]
policy = "always"
[[restart]]
policy = "never"
retries = 2
processes = ["worker"]
[[files]]
guest_path = "/all"
raw_value = "YQ=="
[[files]]
guest_path = "/web"
secret_name = "S"
processes = ["web"]
[[files]]
guest_path = "/none"
[[metrics]]
port = 1
path = "/m"
[[statics]]
guest_path = "/s"
url_prefix = "/s"
[experimental]
cmd = ["from experimental"]
entrypoint = ["/init"]
"""


def test_groups_get_their_own_parts() -> None:
    """Command, services, checks, size, restart policy, files and metrics follow the group rules."""
    web, worker = made(GROUPS, "web"), made(GROUPS, "worker")
    assert web["init"] == {
        "cmd": ["serve", "--name", "a b"],
        "entrypoint": ["/init"],
        "swap_size_mb": 64,
        "tty": False,
    }
    assert worker["init"]["cmd"] == ["from experimental"]
    assert [port["port"] for port in web["services"][0]["ports"]] == [80, 443]
    assert web["services"][0]["ports"][0]["http_options"] == {"idle_timeout": 9}
    assert web["services"][0]["ports"][1]["tls_options"] == {"versions": ["TLSv1.3"]}
    assert worker["services"] == []
    assert web["checks"] == {"up": {"type": "tcp", "port": 8080}}
    assert worker["checks"] == {"other": {"type": "http", "port": 9, "method": "HEAD"}}
    assert web["guest"] == {"cpu_kind": "shared", "cpus": 2, "memory_mb": 512}
    assert worker["guest"] == {"cpu_kind": "performance", "cpus": 2, "memory_mb": 4096}
    assert web["restart"] == {"policy": "always"}
    assert worker["restart"] == {"policy": "no", "max_retries": 2}
    assert [file["guest_path"] for file in web["files"]] == ["/all", "/web"]
    assert [file["guest_path"] for file in worker["files"]] == ["/all"]
    assert web["stop_config"] == {"signal": "SIGTERM", "timeout": "10s"}
    assert web["metrics"] == {"port": 1, "path": "/m", "https": False}
    assert "metrics" not in worker
    assert web["statics"] == worker["statics"] == [{"guest_path": "/s", "url_prefix": "/s"}]


def test_the_app_folder_is_for_the_host_image_only() -> None:
    """Other images bring their own files."""
    text = '[processes]\napp = "./run"\n'
    assert made(text, image="roost/host", app_dir="/srv/x")["app_dir"] == "/srv/x"
    assert "app_dir" not in made(text, image="nginx", app_dir="/srv/x")


def test_an_update_keeps_what_fly_toml_does_not_say() -> None:
    """Size without [[vm]], schedule, auto_destroy, dns, own metadata; env is replaced."""
    existing = MachineConfig.model_validate(
        {
            "image": "old",
            "env": {"OLD": "1"},
            "guest": {"cpus": 4, "memory_mb": 999},
            "metadata": {"mine": "yes", "fly_release_version": "2"},
            "schedule": "daily",
            "auto_destroy": True,
            "dns": {"skip_registration": True},
            "standbys": ["a"],
            "rootfs": {"persist": "always"},
            "restart": {"policy": "no"},
        }
    )
    found = made('[env]\nNEW = "1"\n', existing=existing, region="local")
    assert found["guest"] == {"cpu_kind": "shared", "cpus": 4, "memory_mb": 999}
    assert found["schedule"] == "daily"
    assert found["auto_destroy"] is True
    assert found["dns"] == {"skip_registration": True}
    assert found["rootfs"] == {"persist": "always"}
    assert found["standbys"] == ["a"]
    assert found["env"] == {"NEW": "1", "FLY_PROCESS_GROUP": "app", "PRIMARY_REGION": "local"}
    assert found["metadata"]["mine"] == "yes"
    assert found["metadata"]["fly_release_version"] == "3"
    assert "restart" not in found
    assert "standbys" not in made("[http_service]\n", existing=existing)


def test_a_volume_in_the_words_of_the_api() -> None:
    """The first mount of the group, with its extension settings."""
    (mount,) = made(
        '[mount]\nsource = "data"\ndestination = "/data"\nauto_extend_size_threshold = 80\n'
        'auto_extend_size_increment = "1gb"\nauto_extend_size_limit = "5gb"\n'
    )["mounts"]
    assert mount == {
        "name": "data",
        "path": "/data",
        "extend_threshold_percent": 80,
        "add_size_gb": 1,
        "size_gb_limit": 5,
    }
