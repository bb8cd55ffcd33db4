"""Whatever the API takes as a Machine's configuration, the proxy takes too."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from roost.control.config_check import MAX_METADATA, check_config
from roost.control.host import HostIdentity
from roost.errors import InvalidError
from roost.model.machine_config import MachineConfig
from roost.proxyctl import view
from roost.spec.port_rules import MOST_PORTS
from tests.support.machines import a_machine
from tests.support.proxy_control import Control, running_proxy

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="the proxy enters network namespaces"),
]

HOST = HostIdentity(number=2, id="h1", region="local", cpus=4, memory_mb=8192)
TEXTS = st.sampled_from(["", "a", "X-A", "60s", "text with \u00fc and \U0001f600", "\x00", "a\nb"])
NUMBERS = st.sampled_from([-1, 0, 1, 80, 81, 65535, 65536, 2**32 - 1, 2**32, 2**64])
ANY: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), NUMBERS, TEXTS, st.lists(TEXTS, max_size=2)
)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with any of these keys."""
    return st.fixed_dictionaries({}, optional=fields)


HEADERS = st.dictionaries(
    st.sampled_from(["X-A", "X-B"]), st.sampled_from([False, "one", ["one", "two"], []]), min_size=1
)
RESPONSE = some(pristine=st.booleans(), headers=HEADERS, newer=ANY)
OPTIONS = some(
    compress=ANY,
    h2_backend=ANY,
    idle_timeout=ANY,
    headers_read_timeout=ANY,
    response=RESPONSE | some(headers=ANY) | ANY,
    replay_cache=ANY,
    newer=ANY,
)
PORT = some(
    port=NUMBERS,
    start_port=NUMBERS,
    end_port=NUMBERS,
    handlers=st.lists(st.sampled_from(["http", "tls", "tcp", "pg_tls", "proxy_proto"]), max_size=2),
    force_https=ANY,
    http_options=OPTIONS | some(response=RESPONSE),
    proxy_proto_options=st.none() | some(version=st.sampled_from(["v1", "v2", "v3"]), newer=ANY),
    accept_proxy_proto=ANY,
    tls_options=st.none() | st.just({"alpn": ["h2"]}),
)
OPTED = st.fixed_dictionaries(
    {"port": st.integers(1, 65535), "http_options": some(response=RESPONSE, newer=ANY)}
)
CHECK = some(
    type=st.sampled_from(["tcp", "http"]) | ANY,
    port=NUMBERS,
    interval=st.sampled_from(["1s", "60s", "1ms", "2h"]) | ANY,
    timeout=ANY,
    grace_period=ANY,
    method=TEXTS,
    path=st.sampled_from(["/", "/a?b=c", "/\u00fc", "/ "]) | ANY,
    protocol=st.sampled_from(["http", "https"]) | ANY,
    headers=st.lists(
        st.fixed_dictionaries({"name": TEXTS, "values": st.lists(TEXTS, max_size=2)}), max_size=2
    )
    | ANY,
    tls_skip_verify=ANY,
    tls_server_name=ANY,
)
CHECKED = st.fixed_dictionaries({"type": st.sampled_from(["tcp", "http"])})
LIMITS = some(
    type=st.sampled_from(["connections", "requests"]),
    soft_limit=NUMBERS | st.none(),
    hard_limit=NUMBERS | st.none(),
)
SERVICE = some(
    protocol=st.sampled_from(["tcp", "udp"]),
    internal_port=st.integers(1, 65535) | NUMBERS,
    ports=st.lists(PORT | OPTED, max_size=2),
    autostart=st.none() | st.booleans(),
    concurrency=st.none() | LIMITS,
    allowed_apps=st.none() | st.lists(st.sampled_from(["web", "Web", "a b", ""]), max_size=2),
    checks=st.none() | st.lists(CHECK | CHECKED, max_size=2),
    newer=ANY,
)


def accepted(services: list[dict[str, Any]], **more: Any) -> MachineConfig | None:
    """The configuration, when the API takes it."""
    fields = {"image": "nginx", "services": services, **more}
    try:
        config = MachineConfig.model_validate(fields)
        check_config(config, HOST)
    except (ValidationError, InvalidError):
        return None
    return config


def test_what_is_accepted_is_taken(tmp_path: Path) -> None:
    """Over odd configurations: one that passes the checks is understood, or it would be dropped."""
    path = tmp_path / "proxy.sock"
    taken = 0
    with running_proxy(path), closing(Control(path)) as control:
        control.hello()

        @settings(
            max_examples=1500,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.lists(SERVICE, max_size=2))
        def each(services: list[dict[str, Any]]) -> None:
            nonlocal taken
            config = accepted(services)
            if config is not None:
                control.put("machine", view.machine(a_machine(config=config)))
                taken += len(config.services)

        each()
        assert taken > 100
        ranges = [
            {"start_port": first, "end_port": first + 99}
            for first in range(1000, 1000 + 100 * MOST_PORTS, 100)
        ]
        everything = accepted(
            [{"ports": ranges[first : first + 4]} for first in range(0, MOST_PORTS, 4)],
            metadata={"k": "\U0001f600" * (MAX_METADATA - 1)},
        )
        assert everything is not None
        control.put("machine", view.machine(a_machine(config=everything)))
