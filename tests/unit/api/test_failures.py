"""Wrong tokens are counted for each source and in all; valid ones are never held up."""

from __future__ import annotations

import logging
from pathlib import Path

import httpx
import pytest

from roost.api import failures
from roost.api.errors import TooManyFailuresError
from roost.api.failures import IN_ALL, MAX_SOURCES, PER_SOURCE, WINDOW_S, Failures
from tests.support.api_bench import ApiBench, with_api
from tests.support.control_bench import FakeClock

WRONG = {"Authorization": "Bearer roost_wrong"}


def refused(counting: Failures, source: str, times: int = 1) -> int:
    """How many of so many failures are one too many."""
    many = 0
    for _ in range(times):
        try:
            counting.add(source, "/v1/apps")
        except TooManyFailuresError:
            many += 1
    return many


def from_source(api: ApiBench, host: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=api.app, client=(host, 1), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://roost")


def test_one_source_does_not_slow_another(tmp_path: Path) -> None:
    """After twenty in ten seconds a source gets 429 and when to try again; others get 401."""

    async def body(api: ApiBench) -> None:
        async with from_source(api, "192.0.2.1") as bad, from_source(api, "192.0.2.2") as other:
            replies = [await bad.get("/v1/apps", headers=WRONG) for _ in range(PER_SOURCE + 5)]
            assert [r.status_code for r in replies] == [401] * PER_SOURCE + [429] * 5
            assert replies[-1].headers["retry-after"] == str(int(WINDOW_S))
            assert replies[-1].json()["status"] == "rate_limited"
            assert (await other.get("/v1/apps", headers=WRONG)).status_code == 401
            good = {"Authorization": f"Bearer {api.token}"}
            assert (await bad.get("/v1/apps", headers=good)).status_code == 200
            api.bench.clock.forward(WINDOW_S)
            assert (await bad.get("/v1/apps", headers=WRONG)).status_code == 401

    with_api(tmp_path, body)


def test_the_log_names_the_source_and_no_token(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each refused call is logged with where it came from, until they are too many; a path cannot
    write lines of its own, and what was sent as a token is never written.
    """

    async def body(api: ApiBench) -> None:
        async with from_source(api, "192.0.2.1") as bad:
            with caplog.at_level(logging.WARNING, logger="roost.api"):
                await bad.get("/v1/apps/x%0aforged", headers=WRONG)
                for _ in range(PER_SOURCE + 10):
                    await bad.get("/v1/apps/" + "a" * 1000, headers=WRONG)

    with_api(tmp_path, body)
    assert len(caplog.messages) == PER_SOURCE + 1
    assert all("192.0.2.1" in message for message in caplog.messages)
    assert all("\n" not in message and len(message) < 400 for message in caplog.messages)
    assert "roost_wrong" not in caplog.text


def test_a_crowd_of_sources_meets_the_bound_on_all() -> None:
    """Many sources with a few failures each are slowed down together."""
    counting = Failures(FakeClock())
    assert 0 == sum(refused(counting, f"192.0.2.{n}", 2) for n in range(IN_ALL // 2))
    assert 1 == refused(counting, "198.51.100.1")


def test_the_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many sources there were, only the last ones are kept."""
    monkeypatch.setattr(failures, "IN_ALL", 10**6)
    counting = Failures(FakeClock())
    for number in range(MAX_SOURCES * 2):
        refused(counting, f"source-{number}")
    assert len(counting._sources) == MAX_SOURCES
    assert 0 == refused(counting, "source-0")


def test_a_busy_source_does_not_fall_out_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that goes on trying stays known, whoever else comes."""
    monkeypatch.setattr(failures, "IN_ALL", 10**6)
    counting = Failures(FakeClock())
    refused(counting, "bad", PER_SOURCE)
    for number in range(MAX_SOURCES * 2):
        refused(counting, f"source-{number}")
        assert 1 == refused(counting, "bad")


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("192.0.2.1", "192.0.2.2", False),
        ("socket", "192.0.2.1", False),
    ],
)
def test_what_counts_as_one_source(first: str, second: str, same: bool) -> None:
    """A client's whole IPv6 /64 is one source, each IPv4 address its own."""
    counting = Failures(FakeClock())
    refused(counting, first, PER_SOURCE)
    assert refused(counting, second) == int(same)
