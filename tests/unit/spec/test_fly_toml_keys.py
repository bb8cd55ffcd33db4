"""Every key of fly.toml: a value that is accepted, and one that is refused on its own line."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from roost.spec.app_config import AppConfig
from roost.spec.fly_toml import parse
from roost.spec.known_keys import known_paths
from roost.spec.problems import ConfigError


@dataclass(frozen=True, slots=True)
class Row:
    """`key` under `table` (a header line, "" for the top). `around` completes the table."""

    table: str
    key: str
    good: str
    bad: str
    about: str
    around: str = ""


HTTP, PORT, SERVICE = "[http_service]", "[[services.ports]]", "[[services]]"
OPTIONS, CHECK, MOUNT = "[http_service.http_options]", "[checks.up]", "[[mounts]]"
RULE = "[[http_service.http_options.replay_cache]]"
RULE_REST = 'path_prefix="/" ttl_seconds=10 type="cookie" name="s"'
VM, FILE, STATIC, METRICS = "[[vm]]", "[[files]]", "[[statics]]", "[[metrics]]"
BUILD, DEPLOY, EXPERIMENTAL = "[build]", "[deploy]", "[experimental]"
MOUNT_REST = 'source="data" destination="/data"'
CHECK_REST = 'type="tcp" port=80'
HEADED = 'port=80 handlers=["proxy_proto"]'
SECURE = 'port=80 handlers=["tls"]'
FILE_REST = 'guest_path="/etc/x"'
STATIC_REST = 'guest_path="/s" url_prefix="/s"'
METRICS_REST = 'port=9091 path="/m"'
EXTEND = "auto_extend_size_threshold=80"

ROWS = [
    Row("", "app", '"my-app"', '"My_App"', "lower-case"),
    Row("", "primary_region", '"ams"', '"A M S"', "region"),
    Row("", "kill_signal", '"TERM"', '"SIGSEGV"', "SIGTERM"),
    Row("", "kill_timeout", "120", "301", "at most 5m0s"),
    Row("", "kill_timeout", '"1m21s"', '"soon"', "1m30s"),
    Row("", "swap_size_mb", "512", "-1", "at least 0"),
    Row("", "console_command", "\"/bin/sh -c 'ls'\"", '"sh -c \'ls"', "quotes"),
    Row("", "host_dedication_id", '"x"', "1", "string"),
    Row("", "machine_config", '"{}"', "1", "string"),
    Row("", "container", '"app"', "1", "string"),
    Row(BUILD, "builder", '"heroku/buildpacks:20"', "1", "string"),
    Row(BUILD, "buildpacks", '["a"]', '"a"', "list"),
    Row(BUILD, "args", '{A = "1"}', '["A"]', "table"),
    Row(BUILD, "image", '"nginx"', "1", "string"),
    Row(BUILD, "dockerfile", '"Dockerfile.web"', "true", "string"),
    Row(BUILD, "ignorefile", '".dockerignore"', "1", "string"),
    Row(BUILD, "build-target", '"web"', "1", "string"),
    Row(BUILD, "builtin", '"node"', "1", "string"),
    Row(BUILD, "settings", "{a = 1}", '"a"', "table"),
    Row(BUILD, "compose", '{file = "c.yml"}', '{fil = "c.yml"}', "`file`"),
    Row(BUILD, "compression", '"zstd"', '"lz4"', "'gzip' or 'zstd'"),
    Row(BUILD, "compression_level", "9", "10", "at most 9"),
    Row(DEPLOY, "strategy", '"immediate"', '"careful"', "'rolling'"),
    Row(DEPLOY, "max_unavailable", "0.5", '"25%"', "number"),
    Row(DEPLOY, "max_unavailable", "2", "0", "more than 0"),
    Row(DEPLOY, "max_unavailable", "1.0", "inf", "finite"),
    Row(DEPLOY, "wait_timeout", '"10m"', '"0s"', "at least"),
    Row(DEPLOY, "release_command", '"bin/migrate up"', '"bin/migrate \'up"', "quotes"),
    Row(DEPLOY, "release_command_timeout", "60", '"none"', "1m30s"),
    Row(DEPLOY, "release_command_vm", '{size = "shared-cpu-2x"}', '{size = "big"}', "shared-cpu"),
    Row(DEPLOY, "seed_command", '"bin/seed"', '"bin/seed \\""', "quotes"),
    Row("[env]", "A_B", '"x"', "[1]", "string"),
    Row("[env]", "PORT", "8080", "{a = 1}", "string"),
    Row("[env]", "XY", "true", '"\\u0000"', "NUL"),
    Row("[processes]", "app", '"bin/web -p 80"', '"bin/web \'"', "quotes"),
    Row(SERVICE, "protocol", '"udp"', '"sctp"', "'tcp' or 'udp'"),
    Row(SERVICE, "internal_port", "53", "70000", "at most 65535"),
    Row(SERVICE, "auto_stop_machines", '"suspend"', '"sleep"', '"suspend"'),
    Row(SERVICE, "auto_stop_after", '"10s"', '"0s"', "at least"),
    Row(SERVICE, "allowed_apps", '["web", "api-2"]', '["Web"]', "not an app's name"),
    Row(SERVICE, "allowed_apps", '["acme/web"]', '["acme/"]', "not an app's name"),
    Row(SERVICE, "allowed_apps", f"{['w'] * 256}", f"{['w'] * 257}", "more than 256"),
    Row(SERVICE, "auto_start_machines", "false", '"yes"', "true or false"),
    Row(SERVICE, "min_machines_running", "1", "-1", "at least 0"),
    Row(SERVICE, "processes", '["app"]', '"app"', "list"),
    Row("[services.concurrency]", "type", '"requests"', '"threads"', "'requests'"),
    Row("[services.concurrency]", "soft_limit", "5", "-5", "at least 0"),
    Row("[services.concurrency]", "hard_limit", "25", "2.5", "whole number"),
    Row(PORT, "port", "5432", "0", "at least 1"),
    Row(PORT, "start_port", "10", "65536", "at most 65535", "end_port=20"),
    Row(PORT, "end_port", "20", "-1", "at least 1", "start_port=10"),
    Row(PORT, "handlers", '["http", "tls"]', '["https"]', "'http'", "port=80"),
    Row(PORT, "force_https", "true", '"yes"', "true or false", 'port=80 handlers=["http"]'),
    Row(PORT, "http_options", "{compress = true}", "{compres = true}", "`compress`", "port=80"),
    Row(PORT, "tls_options", '{alpn = ["h2"]}', '{alpn = "h2"}', "list", SECURE),
    Row(PORT, "proxy_proto_options", '{version = "v2"}', '{version = "v3"}', "'v1'", HEADED),
    Row(PORT, "accept_proxy_proto", "true", '"yes"', "true or false", "port=80"),
    Row(OPTIONS, "compress", "false", "0", "true or false"),
    Row(OPTIONS, "h2_backend", "true", '"h2"', "true or false"),
    Row(OPTIONS, "idle_timeout", "600", "4294967296", "at most"),
    Row(OPTIONS, "headers_read_timeout", "10", '"10s"', "whole number"),
    Row(f"{OPTIONS[:-1]}.response]", "pristine", "true", "1", "true or false"),
    Row(f"{OPTIONS[:-1]}.response.headers]", "X-A", '"b"', "true", "false removes"),
    Row(f"{OPTIONS[:-1]}.response.headers]", "X-A", '["b", "c"]', '"b\\r\\nc"', "control"),
    Row(f"{OPTIONS[:-1]}.response.headers]", '"X-B"', "false", "[1]", "strings"),
    Row(RULE, "path_prefix", '"/a"', "1", "string", RULE_REST),
    Row(RULE, "ttl_seconds", "10", "9", "at least 10", RULE_REST),
    Row(RULE, "type", '"header"', '"query"', "'cookie'", RULE_REST),
    Row(RULE, "name", '"sid"', '""', "header name", RULE_REST),
    Row(RULE, "path_prefix", '"a.example/x"', '"a.example:80/x"', "without a port", RULE_REST),
    Row(RULE, "allow_bypass", "true", "1", "true or false", RULE_REST),
    Row("[http_service.tls_options]", "alpn", '["h2"]', '"h2"', "list"),
    Row("[http_service.tls_options]", "versions", '["TLSv1.3"]', '["TLSv1.1"]', "'TLSv1.2'"),
    Row("[http_service.tls_options]", "default_self_signed", "true", "1", "true or false"),
    Row("[[services.tcp_checks]]", "interval", "15000", '"x"', "1m30s"),
    Row("[[services.tcp_checks]]", "timeout", '"2s"', "-1", "at least 0s"),
    Row("[[services.tcp_checks]]", "grace_period", '"0s"', "[]", "duration"),
    Row("[[services.http_checks]]", "interval", '"10s"', "true", "duration"),
    Row("[[services.http_checks]]", "method", '"get"', "1", "string"),
    Row("[[services.http_checks]]", "path", '"/up"', "1", "string"),
    Row("[[services.http_checks]]", "protocol", '"https"', '"h2"', "'http'"),
    Row("[[services.http_checks]]", "tls_skip_verify", "true", "1", "true or false"),
    Row("[[services.http_checks]]", "tls_server_name", '"a.b"', "1", "string"),
    Row("[[services.http_checks]]", "headers", '{A = "b"}', '{"A B" = "c"}', "header"),
    Row("[[services.machine_checks]]", "command", '["a"]', "[]", "empty"),
    Row("[[machine_checks]]", "command", '["a"]', '"a"', "list"),
    Row("[[machine_checks]]", "image", '"curl"', "1", "string", 'command=["a"]'),
    Row("[[machine_checks]]", "entrypoint", '["sh"]', '"sh"', "list", 'command=["a"]'),
    Row("[[machine_checks]]", "kill_signal", '"INT"', '"FOO"', "SIGINT", 'command=["a"]'),
    Row("[[machine_checks]]", "kill_timeout", "5", '"x"', "1m30s", 'command=["a"]'),
    Row(HTTP, "internal_port", "8080", '"8080"', "whole number"),
    Row(HTTP, "force_https", "true", '"true"', "true or false"),
    Row(HTTP, "auto_stop_machines", "true", '"on"', '"stop"'),
    Row(HTTP, "auto_stop_after", '"5m"', '"later"', "1m30s"),
    Row(HTTP, "allowed_apps", "[]", '"web"', "list"),
    Row(HTTP, "auto_start_machines", "true", "1", "true or false"),
    Row(HTTP, "min_machines_running", "0", '"0"', "whole number"),
    Row(HTTP, "processes", '["app"]', '["web"]', "groups of this app: app"),
    Row(HTTP, "concurrency", '{type = "requests"}', '[{type = "requests"}]', "table"),
    Row(HTTP, "http_options", "{}", "{pristin = 1}", "known keys"),
    Row(HTTP, "tls_options", "{}", "[]", "table"),
    Row(HTTP, "checks", '[{path = "/"}]', '{path = "/"}', "[[http_service.checks]]"),
    Row(HTTP, "machine_checks", '[{command = ["a"]}]', "[{}]", "command"),
    Row(CHECK, "type", '"http"', '"udp"', "'tcp' or 'http'", "port=80"),
    Row(CHECK, "port", "80", "0", "at least 1", 'type="tcp"'),
    Row(CHECK, "interval", '"2s"', '"1s"', "at least 2s", CHECK_REST),
    Row(CHECK, "interval", "2000", "1999", "at least 2s", CHECK_REST),
    Row(CHECK, "timeout", '"1m"', '"61s"', "at most 1m0s", CHECK_REST),
    Row(CHECK, "grace_period", '"5s"', '"5"', "1m30s", CHECK_REST),
    Row(CHECK, "method", '"post"', "1", "string", CHECK_REST),
    Row(CHECK, "path", '"/"', "1", "string", CHECK_REST),
    Row(CHECK, "protocol", '"http"', '"x"', "'http'", CHECK_REST),
    Row(CHECK, "tls_skip_verify", "true", "1", "true or false", CHECK_REST),
    Row(CHECK, "tls_server_name", '"a"', "1", "string", CHECK_REST),
    Row(CHECK, "headers", '{A = "b"}', '"A"', "table", CHECK_REST),
    Row(CHECK, "processes", '["app"]', '["web"]', "groups of this app: app", CHECK_REST),
    Row(MOUNT, "source", '"data"', '""', "empty", MOUNT_REST),
    Row(MOUNT, "destination", '"/data"', '"/"', "/data", MOUNT_REST),
    Row(MOUNT, "destination", '"/data"', '"data"', "begin it with /", MOUNT_REST),
    Row(MOUNT, "processes", '["app"]', '["web"]', "groups of this app: app", MOUNT_REST),
    Row(MOUNT, "initial_size", '"10gb"', '"100mb"', "use 1gb", MOUNT_REST),
    Row(MOUNT, "snapshot_retention", "60", "61", "at most 60", MOUNT_REST),
    Row(MOUNT, "scheduled_snapshots", "false", "0", "true or false", MOUNT_REST),
    Row(
        MOUNT,
        "auto_extend_size_threshold",
        "80",
        "49",
        "at least 50",
        f"{MOUNT_REST} auto_extend_size_increment=1",
    ),
    Row(
        MOUNT,
        "auto_extend_size_increment",
        '"5gb"',
        '"101gb"',
        "100gb",
        f"{MOUNT_REST} {EXTEND}",
    ),
    Row(
        MOUNT,
        "auto_extend_size_limit",
        '"500gb"',
        '"501gb"',
        "500gb",
        f"{MOUNT_REST} {EXTEND} auto_extend_size_increment=1",
    ),
    Row(VM, "size", '"performance-2x"', '"huge"', "performance-2x"),
    Row(VM, "memory", '"1gb"', "0", "at least"),
    Row(VM, "memory", "512", '"much"', "512mb"),
    Row(VM, "cpus", "2", "0", "at least 1"),
    Row(VM, "cpu_kind", '"performance"', '"fast"', "'shared'"),
    Row(VM, "memory_mb", "256", '"256"', "whole number"),
    Row(VM, "max_memory_mb", "256", "1", "at least 16"),
    Row(VM, "gpus", "1", "-1", "at least 0"),
    Row(VM, "gpu_kind", '"a10"', "1", "string"),
    Row(VM, "kernel_args", '["a"]', '"a"', "list"),
    Row(VM, "host_dedication_id", '"x"', "1", "string"),
    Row(VM, "persist_rootfs", '"always"', '"yes"', "'never'"),
    Row(VM, "processes", '["app"]', '["web"]', "groups of this app: app"),
    Row("[[restart]]", "policy", '"always"', '"no"', "'never'"),
    Row("[[restart]]", "retries", "3", "-3", "at least 0", 'policy="always"'),
    Row("[[restart]]", "processes", '["app"]', '["b"]', "groups of this app", 'policy="never"'),
    Row(FILE, "guest_path", '"/etc/x"', '"etc/x"', "begin it with /"),
    Row(FILE, "guest_path", '"/etc/x"', '"/etc/../x"', "without .."),
    Row(FILE, "local_path", '"x.conf"', "1", "string", FILE_REST),
    Row(FILE, "secret_name", '"X"', "1", "string", FILE_REST),
    Row(FILE, "raw_value", '"aGVsbG8="', '"hello!"', "base64", FILE_REST),
    Row(FILE, "processes", '["app"]', '["b"]', "groups of this app", FILE_REST),
    Row(STATIC, "guest_path", '"/s"', "1", "string", STATIC_REST),
    Row(STATIC, "url_prefix", '"/s"', '"s"', "begin it with /", STATIC_REST),
    Row(STATIC, "tigris_bucket", '"b"', "1", "string", STATIC_REST),
    Row(STATIC, "index_document", '"i.html"', "1", "string", STATIC_REST),
    Row(METRICS, "port", "9091", "0", "at least 1", METRICS_REST),
    Row(METRICS, "path", '"/m"', '"m"', "begin it with /", METRICS_REST),
    Row(METRICS, "https", "true", "1", "true or false", METRICS_REST),
    Row(METRICS, "processes", '["app"]', '["b"]', "groups of this app", METRICS_REST),
    Row(EXPERIMENTAL, "cmd", '["a"]', "1", "list"),
    Row(EXPERIMENTAL, "entrypoint", '"a"', "[1]", "string"),
    Row(EXPERIMENTAL, "exec", '["a", "b"]', "true", "list"),
    Row(EXPERIMENTAL, "machine_config", '"x"', "1", "string"),
    Row(EXPERIMENTAL, "auto_rollback", "true", "1", "true or false"),
    Row(EXPERIMENTAL, "enable_consul", "true", "1", "true or false"),
    Row(EXPERIMENTAL, "enable_etcd", "true", "1", "true or false"),
    Row(EXPERIMENTAL, "lazy_load_images", "true", "1", "true or false"),
    Row("[experimental.attached.secrets.export]", "URL", '"${FLYCAST_URL}"', "1", "string"),
]


def document(row: Row, value: str) -> tuple[str, int]:
    """A file with the row's key set to `value`, and the line of that key."""
    lines = ["# a file that is all about one key"] if row.key == "app" else ['app = "x"']
    if row.table.startswith("[services.") or row.table.startswith("[[services."):
        lines.append("[[services]]")
    if row.table:
        lines.append(row.table)
    if row.around:
        lines += [text for text in row.around.split(" ") if not text.startswith(f"{row.key}=")]
    lines.append(f"{row.key} = {value}")
    return "\n".join(lines) + "\n", len(lines)


def names(rows: list[Row]) -> list[str]:
    """Test ids."""
    return [f"{row.table}{row.key}={row.bad}" for row in rows]


@pytest.mark.parametrize("row", ROWS, ids=names(ROWS))
def test_a_good_value_is_accepted(row: Row) -> None:
    """The value is read, and survives the JSON that the CLI sends to the server."""
    config = parse(document(row, row.good)[0]).config
    assert AppConfig.model_validate(config.show()) == config
    assert AppConfig.model_validate_json(config.model_dump_json(by_alias=True)) == config


@pytest.mark.parametrize("row", ROWS, ids=names(ROWS))
def test_a_bad_value_is_refused_on_its_line(row: Row) -> None:
    """The only problem names the file and line of the value, and says what would be right."""
    text, line = document(row, row.bad)
    with pytest.raises(ConfigError) as caught:
        parse(text, "dir/fly.toml")
    problems = [str(one) for one in caught.value.problems]
    assert [one.where for one in caught.value.problems] == [f"dir/fly.toml:{line}"]
    assert row.about in problems[0]


FREE = ("[env]", "[processes]", "headers]", "export]")
"""Tables whose keys are the user's own."""
FIXED = [row for row in ROWS if not row.table.endswith(FREE)]


@pytest.mark.parametrize("row", FIXED, ids=names(FIXED))
def test_a_misspelt_key_finds_the_right_one(row: Row) -> None:
    """In every table an unknown key is refused on its line, with the nearest known key."""
    plain = row.key.strip('"')
    text, line = document(row, row.good)
    text = text.rsplit(f"{row.key} =", 1)[0] + f"{plain}x = {row.good}\n"
    with pytest.raises(ConfigError) as caught:
        parse(text)
    found = [one for one in caught.value.problems if "not a known key" in one.message]
    assert [(one.where, one.hint) for one in found] == [
        (f"fly.toml:{line}", f"did you mean `{plain}`?")
    ]


def test_the_table_is_complete() -> None:
    """Each key that the models know has a row above, in one of the tables where it may stand."""
    keys = {row.key.strip('"') for row in ROWS}
    inner = {"file", "response", "replay_cache", "headers", "concurrency", "attached", "secrets"}
    tables = {"env", "processes", "checks", "services", "ports", "vm", "files", "mounts"}
    assert known_paths() - keys - inner - tables == {
        "build",
        "deploy",
        "experimental",
        "export",
        "http_checks",
        "http_service",
        "metrics",
        "restart",
        "statics",
        "tcp_checks",
        "version",
    }
