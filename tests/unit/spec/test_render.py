"""fly.toml as it is written: by launch, and back from any configuration."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roost.spec.app_config import AppConfig
from roost.spec.fly_toml import parse
from roost.spec.render import launch_config, render

LAUNCHED = """\
app = "shop"
primary_region = "local"

[build]
  image = "nginx"

[http_service]
  internal_port = 80
  auto_stop_machines = "stop"
  auto_start_machines = true
  min_machines_running = 0
  processes = ["app"]
  force_https = true

[[vm]]
  memory = "1024mb"
  cpus = 1
  cpu_kind = "shared"
"""

FULL = """\
app = "shop"
kill_timeout = "1m30s"
[build]
image = "nginx"
[build.args]
"odd key" = "a\\"b\\\\c\\u0001\\u007f"
[env]
A = "x"
[processes]
web = "serve 'a b'"
"work-1" = ""
[[services]]
processes = ["web"]
internal_port = 5432
[[services.ports]]
port = 5432
handlers = []
[[services.ports]]
start_port = 6000
end_port = 6010
[[services]]
processes = ["work-1"]
[[services.ports]]
port = 80
handlers = ["http"]
[services.ports.http_options]
idle_timeout = 5
[services.ports.http_options.response.headers]
X-A = ["1", "2"]
Server = false
[checks.up]
type = "http"
port = 1
interval = "15s"
headers = {A = "b"}
[[mounts]]
source = "data"
destination = "/data"
initial_size = "10gb"
processes = ["web"]
[deploy]
max_unavailable = 0.5
"""


def test_launch_writes_what_fly_writes() -> None:
    """The golden file of a launch."""
    config = launch_config(app="shop", region="local", image="nginx", internal_port=80)
    assert render(config) == LAUNCHED


def test_launch_of_a_command_makes_a_process_group() -> None:
    """A command becomes the `app` group's, and force_https can be left off."""
    config = launch_config(
        app="shop", region="local", image="roost/host", command="./run", force_https=False
    )
    again = parse(render(config)).config
    assert again == config
    assert again.processes == {"app": "./run"}
    assert again.http_service is not None
    assert not again.http_service.force_https


@pytest.mark.parametrize("values", [{"app": "No_Name"}, {"internal_port": 0}, {"command": "'"}])
def test_launch_refuses_what_the_file_could_not_hold(values: dict[str, Any]) -> None:
    """Wrong values are errors at once."""
    fields: dict[str, Any] = {"app": "x", "region": "local", "image": "nginx"}
    with pytest.raises(ValueError, match="validation error"):
        launch_config(**(fields | values))


def test_a_full_file_is_read_back() -> None:
    """Quoting, nested tables, lists of tables: nothing changes on the way."""
    config = parse(FULL).config
    assert parse(render(config)).config == config
    assert render(parse(render(config)).config) == render(config)


NAMES = st.from_regex(r"[A-Z][A-Z_]{0,6}", fullmatch=True).filter(
    lambda name: not name.startswith("FLY_")
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
CONFIGS = st.fixed_dictionaries(
    {},
    optional={
        "app": st.from_regex(r"[a-z][a-z0-9]{0,9}", fullmatch=True),
        "env": st.dictionaries(NAMES, TEXTS, max_size=3),
        "kill_timeout": st.integers(0, 300_000_000_000).map(lambda n: f"{n}ns"),
        "files": st.lists(
            st.fixed_dictionaries({"guest_path": st.just("/a"), "secret_name": TEXTS}), max_size=2
        ),
        "http_service": st.fixed_dictionaries(
            {},
            optional={
                "internal_port": st.integers(1, 65535),
                "auto_stop_after": st.sampled_from(["1s", "5m"]),
                "allowed_apps": st.lists(st.sampled_from(["web", "api"]), max_size=2),
                "auto_stop_machines": st.sampled_from(["off", "stop", "suspend"]),
                "concurrency": st.fixed_dictionaries({"soft_limit": st.integers(0, 9)}),
            },
        ),
        "vm": st.lists(st.fixed_dictionaries({"memory": st.integers(16, 9999)}), max_size=2),
        "deploy": st.fixed_dictionaries(
            {"max_unavailable": st.floats(0.01, 9, allow_nan=False, allow_infinity=False)}
        ),
    },
)


@settings(deadline=None)
@given(CONFIGS)
def test_any_configuration_survives_toml_and_json(fields: dict[str, Any]) -> None:
    """parse(render(c)) and the JSON that goes over the API both give c."""
    config = AppConfig.model_validate(fields)
    assert parse(render(config)).config == config
    assert AppConfig.model_validate(config.show()) == config
