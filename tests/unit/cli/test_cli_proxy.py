"""proxy status, proxy upgrade."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.api_stub import ApiStub
from tests.support.cli import Run

UPGRADE = "POST /v1/proxy/upgrade"


def a_proxy(pid: int, role: str, **more: object) -> dict[str, Any]:
    """A process as the API gives it."""
    common = {"version": "0.2.0", "connections": 0, "waiting": 0, "left_ms": None}
    return {"pid": pid, "role": role, **common, **more}


NEW = a_proxy(20, "serving", connections=7)
OLD = a_proxy(10, "draining", connections=3, left_ms=90_000)


@pytest.fixture
def upgraded(api: ApiStub) -> ApiStub:
    """A Roost whose upgrade goes well and leaves three connections in the old process."""
    done = {"before": OLD | {"version": "0.1.0"}, "after": NEW, "sockets": 12, "took_ms": 130}
    api.on(UPGRADE, done)
    api.on("GET /v1/proxy", {"proxies": [NEW, OLD]})
    return api


def test_status(upgraded: ApiStub, run: Run) -> None:
    """A row for each process, with the time that is left for those that drain."""
    header, new, old = (
        [cell.strip() for cell in line.split("\t")]
        for line in run("proxy", "status").out.splitlines()
        if "\t" in line
    )
    assert header == ["PID", "VERSION", "ROLE", "CONNECTIONS", "WAITING", "ENDS WITHIN"]
    assert new == ["20", "0.2.0", "serving", "7", "0", "-"]
    assert old == ["10", "0.2.0", "draining", "3", "0", "1m30s"]
    assert run("proxy", "status", "--json").json == [NEW, OLD]


@pytest.mark.parametrize(
    ("words", "sent"),
    [([], 3_600_000), (["--drain", "90s"], 90_000), (["--drain", "0"], 0)],
)
def test_upgrade_sends_the_time(upgraded: ApiStub, run: Run, words: list[str], sent: int) -> None:
    """An hour unless told."""
    ended = run("proxy", "upgrade", *words)
    assert 0 == ended.code, ended.err
    assert upgraded.last(UPGRADE).body == {"drain_ms": sent}


def test_upgrade_says_what_it_did(upgraded: ApiStub, run: Run) -> None:
    """From which version to which, and what goes on in the old process for how long."""
    out = run("proxy", "upgrade").out
    assert "roost-proxy 0.2.0 (pid 20) took over 12 sockets from 0.1.0 (pid 10)" in out
    assert "3 connections go on in pid 10, for at most 1m30s" in out
    assert run("proxy", "upgrade", "--json").json["draining"] == [OLD]


@pytest.mark.parametrize("wrong", ["soon", "-1s", "169h", ""])
def test_a_time_that_makes_no_sense(api: ApiStub, run: Run, wrong: str) -> None:
    """It is refused before anything is asked of the API."""
    ended = run("proxy", "upgrade", f"--drain={wrong}")
    assert ended.code != 0
    assert repr(wrong) in ended.err
    assert api.lines == []


def test_a_failed_upgrade(api: ApiStub, run: Run) -> None:
    """The API's sentence, and no word that anything was replaced."""
    message = "the new roost-proxy ended at once (look into run/proxy.log in ROOST_HOME)"
    api.refuse(UPGRADE, 500, message)
    ended = run("proxy", "upgrade")
    assert ended.code != 0
    assert message in ended.err
    assert "took over" not in ended.out
