"""The proxy processes over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost.errors import ConflictError, DeadlineError, RoostError, UnavailableError
from tests.support.api_bench import ApiBench, with_api

HOUR_MS = 3_600_000
UPGRADE = "/v1/proxy/upgrade"


def test_an_upgrade_and_what_runs_then(tmp_path: Path) -> None:
    """The process that serves comes first; the old one says what it has left and how long."""

    async def body(api: ApiBench) -> None:
        (only,) = (await api.ok("GET", "/v1/proxy"))["proxies"]
        assert (only["pid"], only["role"], only["left_ms"]) == (1, "serving", None)
        done = await api.ok("POST", UPGRADE, {"drain_ms": 5000})
        assert (done["before"]["pid"], done["after"]["pid"]) == (1, 2)
        assert (done["sockets"], done["took_ms"]) == (10, 120)
        now, old = (await api.ok("GET", "/v1/proxy"))["proxies"]
        assert (now["pid"], now["role"]) == (2, "serving")
        assert old == {
            "pid": 1,
            "version": "0.1.0",
            "role": "draining",
            "connections": 3,
            "waiting": 0,
            "left_ms": 5000,
        }

    with_api(tmp_path, body)


@pytest.mark.parametrize(
    ("asked", "taken"), [({}, HOUR_MS), ({"drain_ms": 0}, 0), ({"drain_ms": None}, HOUR_MS)]
)
def test_the_time_to_drain(tmp_path: Path, asked: dict[str, int | None], taken: int) -> None:
    """An hour unless told; none at all is a time, too."""

    async def body(api: ApiBench) -> None:
        await api.ok("POST", UPGRADE, asked)
        assert api.proxies.drains == [taken]

    with_api(tmp_path, body)


@pytest.mark.parametrize("wrong", [-1, 7 * 24 * HOUR_MS + 1, "1h", 1.5])
def test_a_time_that_makes_no_sense(tmp_path: Path, wrong: object) -> None:
    """It is refused with the name of the field, and no process is started."""

    async def body(api: ApiBench) -> None:
        reply = await api.call("POST", UPGRADE, {"drain_ms": wrong})
        assert reply.status_code in (400, 422)
        assert "drain_ms" in reply.text
        assert api.proxies.drains == []

    with_api(tmp_path, body)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConflictError("4 proxies run", hint="wait"), 409),
        (DeadlineError("the new roost-proxy was not ready", hint="look into run/proxy.log"), 408),
        (UnavailableError("the new roost-proxy ended at once"), 500),
    ],
)
def test_a_failed_upgrade(tmp_path: Path, error: RoostError, status: int) -> None:
    """What happened and what to do reach the caller."""

    async def body(api: ApiBench) -> None:
        api.proxies.fails = error
        reply = await api.call("POST", UPGRADE, {})
        assert reply.status_code == status
        assert error.message in reply.json()["error"]

    with_api(tmp_path, body)
