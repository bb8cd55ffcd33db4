"""What a Machine's configuration must not say."""

from __future__ import annotations

from typing import Any

import pytest

from roost.control.config_check import check_config, stop_timeout_ms
from roost.control.host import HostIdentity
from roost.errors import InvalidError
from roost.model.machine_config import MachineConfig

HOST = HostIdentity(number=2, id="h", region="local", cpus=2, memory_mb=4096)


def check(**keys: Any) -> None:
    check_config(MachineConfig.model_validate({"image": "x", **keys}), HOST)


def service(**keys: Any) -> dict[str, Any]:
    return {"services": [{"internal_port": 8080, "ports": [{"port": 80}], **keys}]}


def port(**keys: Any) -> dict[str, Any]:
    return service(ports=[{"port": 80, **keys}])


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"env": {"A": "", "FLY_PROCESS_GROUP": "app", "PRIMARY_REGION": "local"}},
        {"guest": {"cpu_kind": "shared", "cpus": 8, "memory_mb": 4096}},
        {"guest": {"cpu_kind": "performance", "cpus": 2, "memory_mb": 16}},
        {"stop_config": {"signal": "SIGTERM", "timeout": "5m"}},
        {"stop_config": {"signal": "USR1", "timeout": 10_000_000_000}},
        {"files": [{"guest_path": "/etc/x", "raw_value": "aGk="}]},
        {"files": [{"guest_path": "/etc/x", "secret_name": "S"}]},
        service(ports=[]),
        service(concurrency={"soft_limit": 20, "hard_limit": 20}),
        service(concurrency={"soft_limit": 20, "hard_limit": 0}),
        service(ports=[{"start_port": 1000, "end_port": 1254}, {"port": 1255}]),
        service(protocol="udp"),
        port(handlers=["tcp"]),
        port(handlers=["http"], force_https=True),
        port(handlers=["tls", "http"]),
        port(handlers=["http", "tls"]),
        port(handlers=["tls"]),
        port(handlers=["pg_tls"]),
        port(handlers=["tls"], tls_options={"alpn": ["mqtt", "h2"], "newer": 1}),
        port(handlers=["pg_tls"], tls_options={"alpn": ["postgresql"]}),
        port(handlers=["proxy_proto"]),
        port(handlers=["proxy_proto", "tls"]),
        port(handlers=["proxy_proto"], proxy_proto_options={"version": "v2", "newer": 1}),
        port(handlers=["http"], accept_proxy_proto=True),
        {
            "services": [
                {"protocol": "tcp", "ports": [{"port": 53}]},
                {"protocol": "udp", "ports": [{"port": 53}]},
            ]
        },
    ],
)
def test_possible(keys: dict[str, Any]) -> None:
    """These are accepted."""
    check(**keys)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"image": "  "}, "image is missing"),
        ({"mounts": [{"path": "/data"}]}, "volumes are not there yet"),
        ({"env": {"FLY_REGION": "x"}}, "FLY_REGION is reserved"),
        ({"env": {"A=B": "x"}}, "'A=B' is not possible"),
        ({"env": {"": "x"}}, "'' is not possible"),
        ({"env": {"A": "x\0"}}, "'A' is not possible"),
        ({"guest": {"cpu_kind": "performance", "cpus": 3}}, "3 performance CPUs"),
        ({"guest": {"cpu_kind": "shared", "cpus": 33}}, "33 shared CPUs"),
        ({"guest": {"memory_mb": 4097}}, "4097 MB of memory"),
        ({"stop_config": {"signal": "SIGSEGV"}}, "SIGSEGV"),
        ({"stop_config": {"timeout": "301s"}}, "301s"),
        ({"stop_config": {"timeout": "soon"}}, "not a duration"),
        ({"files": [{"guest_path": "etc/x", "raw_value": ""}]}, "not an absolute path"),
        ({"files": [{"guest_path": "/a/../b", "raw_value": ""}]}, "not an absolute path"),
        ({"files": [{"guest_path": "/x"}]}, "either raw_value or secret_name"),
        ({"files": [{"guest_path": "/x", "raw_value": "%"}]}, "not base64"),
        ({"metadata": {"": "x"}}, "key is empty"),
        (service(ports=[{}]), "is incomplete"),
        (service(ports=[{"start_port": 5}]), "is incomplete"),
        (service(ports=[{"port": 5, "start_port": 5, "end_port": 6}]), "is incomplete"),
        (service(ports=[{"start_port": 6, "end_port": 5}]), "from 6 down to 5"),
        (service(ports=[{"port": 80}, {"port": 80}]), "port 80/tcp is offered twice"),
        (
            service(ports=[{"start_port": 1, "end_port": 9}, {"start_port": 9, "end_port": 12}]),
            "port 9/tcp",
        ),
        (service(concurrency={"soft_limit": 5, "hard_limit": 4}), "below its soft_limit"),
        (service(protocol="udp", ports=[{"port": 5, "handlers": ["http"]}]), "is udp"),
        (service(auto_stop_after="-1s"), "negative auto_stop_after"),
        (service(allowed_apps=["web", "No!"]), "'No!' in allowed_apps"),
        (service(ports=[{"port": one} for one in range(1, 258)]), "at most 256 external ports"),
        ({"services": [{}] * 65}, "at most 64 services"),
        (port(http_options={"idle_timeout": "60s"}), "port 80 of .*: http_options.idle_timeout"),
        (port(http_options={"response": {"headers": {"a b": "c"}}}), "http_options.response.head"),
        (port(http_options={"response": {"headers": {"a": "c" * 2**17}}}), "larger than 131072"),
        (service(allowed_apps=["acme/web", "a/b/c"]), "'a/b/c' in allowed_apps"),
        (service(allowed_apps=["web"] * 257), "257 entries in allowed_apps, more than 256"),
        (port(handlers=["http", "pg_tls"]), "do not go together"),
        (port(handlers=["http", "proxy_proto"]), "do not go together"),
        (port(proxy_proto_options={}), "proxy_proto_options without the proxy_proto handler"),
        (
            service(protocol="udp", ports=[{"port": 5, "accept_proxy_proto": True}]),
            "udp, so it cannot have accept_proxy_proto",
        ),
        (port(tls_options={}), "port 80 of .*: `tls_options` needs the `tls` or `pg_tls` handler"),
        (port(handlers=["tls"], tls_options={"versions": ["TLSv1.1"]}), "tls_options.versions"),
        (port(handlers=["tls"], tls_options={"alpn": [""]}), "'', which is no name of a protocol"),
        (
            port(handlers=["tls", "http"], tls_options={"alpn": ["mqtt"]}),
            "'mqtt', which the `http` handler does not speak",
        ),
        (
            port(handlers=["pg_tls"], tls_options={"alpn": ["h2"]}),
            "'h2', which the `pg_tls` handler does not speak",
        ),
        (port(force_https=True), "force_https without the http handler"),
        (port(handlers=["tls"], force_https=True), "force_https without the http handler"),
    ],
)
def test_impossible(keys: dict[str, Any], sentence: str) -> None:
    """Each gets its own sentence."""
    with pytest.raises(InvalidError, match=sentence):
        check(**keys)


def test_stop_timeouts_in_milliseconds() -> None:
    """Go strings, and numbers of nanoseconds as the API has them."""
    assert stop_timeout_ms("1m30s") == 90_000
    assert stop_timeout_ms(1_500_000_000) == 1500
    assert stop_timeout_ms("0s") == 0
