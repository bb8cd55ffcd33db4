"""Keys whose feature does not run yet are accepted, and the user is told by name."""

from __future__ import annotations

import pytest

from roost.spec.fly_toml import parse
from roost.spec.known_keys import known_paths
from roost.spec.not_yet import PENDING, Pending

EVERYTHING = """\
swap_size_mb = 1
console_command = "x"
host_dedication_id = "x"
machine_config = "x"
container = "x"
[build]
builder = "x"
buildpacks = ["x"]
dockerfile = "x"
ignorefile = "x"
build-target = "x"
builtin = "x"
compression = "gzip"
compression_level = 1
args = {A = "1"}
settings = {a = 1}
compose = {file = "x"}
[deploy]
strategy = "canary"
release_command = "x"
release_command_timeout = "1m"
release_command_vm = {cpus = 1}
seed_command = "x"
[http_service]
[http_service.http_options]
compress = true
h2_backend = true
replay_cache = [{path_prefix = "/", ttl_seconds = 10, type = "cookie", name = "x"}]
[[services]]
[[services]]
[[services.ports]]
port = 1
handlers = ["http"]
[services.ports.http_options]
compress = true
h2_backend = true
replay_cache = [{path_prefix = "/", ttl_seconds = 10, type = "cookie", name = "x"}]
[[vm]]
max_memory_mb = 512
gpus = 1
gpu_kind = "x"
kernel_args = ["x"]
host_dedication_id = "x"
persist_rootfs = "always"
[[statics]]
guest_path = "/a"
url_prefix = "/a"
[[metrics]]
port = 1
path = "/m"
[experimental]
machine_config = "x"
attached = {secrets = {export = {A = "b"}}}
auto_rollback = true
enable_consul = true
enable_etcd = true
lazy_load_images = true
"""


@pytest.mark.parametrize(
    "entry", [one for one in PENDING if one.path != "mounts"], ids=lambda one: one.path
)
def test_every_entry_of_the_table_warns(entry: Pending) -> None:
    """For each entry there is one warning that ends with what is missing."""
    missing = entry.missing
    path = entry.path
    last = path.removesuffix(".*").rsplit(".", 1)[-1]
    said = [one.message for one in parse(EVERYTHING).warnings]
    assert any(one.endswith(missing) and last in one for one in said)


def test_the_warning_names_key_and_line() -> None:
    """The text is what the user reads."""
    (only,) = parse("[http_service]\n[experimental]\nenable_etcd = true\n").warnings
    assert str(only) == (
        "fly.toml:3: `experimental.enable_etcd` is read and checked, but there is no etcd"
    )


@pytest.mark.parametrize(
    "text",
    [
        "[http_service]\nforce_https = true\n",
        '[http_service]\n[[http_service.machine_checks]]\ncommand = ["a"]\n',
        '[[machine_checks]]\ncommand = ["a"]\n',
        '[http_service]\ntls_options = {alpn = ["h2"], versions = ["TLSv1.3"]}\n',
        '[[services]]\n[[services.ports]]\nport = 1\nhandlers = ["tls"]\n',
        '[[services]]\n[[services.ports]]\nport = 1\nhandlers = ["http"]\nforce_https = true\n'
        '[[services.ports]]\nport = 2\nhandlers = ["tls", "http"]\n',
        '[[services]]\n[[services.ports]]\nport = 1\nhandlers = ["pg_tls"]\n',
        '[[services]]\nprotocol = "tcp"\n[[services.ports]]\nport = 80\nhandlers = ["http"]\n',
        '[deploy]\nstrategy = "rolling"\n',
        '[http_service]\nauto_stop_machines = "suspend"\nauto_stop_after = "3s"\n',
        "[http_service.http_options]\nidle_timeout = 5\nresponse = {pristine = true}\n",
        "[http_service.http_options]\nh2_backend = true\n",
        '[experimental]\ncmd = ["a"]\n',
        '[[files]]\nguest_path = "/a"\nraw_value = ""\n',
        '[[vm]]\nsize = "shared-cpu-2x"\nmemory = "1gb"\n',
        'app = "a"\nkill_signal = "TERM"\nkill_timeout = 5\nprimary_region = "local"\n',
    ],
)
def test_what_works_does_not_warn(text: str) -> None:
    """Features that exist, and features switched off, say nothing."""
    assert parse(text).warnings == ()


def test_volumes_are_announced_as_refused() -> None:
    """A mount is no small thing to leave out: the warning says that deploys are refused."""
    (only,) = parse('[[mounts]]\nsource = "a"\ndestination = "/a"\n').warnings
    assert "refused" in only.message


def test_the_table_names_real_keys_only() -> None:
    """Every word of every path in the table is a key of fly.toml."""
    words = {word for entry in PENDING for word in entry.path.split(".") if word != "*"}
    assert words <= known_paths()
