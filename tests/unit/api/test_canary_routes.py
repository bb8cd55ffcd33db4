"""The canary and its metrics over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from roost.canary.base import Finding, Kind
from tests.support.api_bench import ApiBench, with_api

BREACH = Finding(kind=Kind.BREACH, network=2, sentence="a Machine could reach another network")


def test_a_run_and_its_report(tmp_path: Path) -> None:
    """Nothing before the first run; then the same report from the run and from the last."""

    async def body(api: ApiBench) -> None:
        assert (await api.ok("GET", "/v1/canary"))["report"] is None
        api.canary.findings = (BREACH,)
        report = (await api.ok("POST", "/v1/canary"))["report"]
        assert (report["tried"], report["networks"], report["took_ms"]) == (600, [1, 2, 3], 400)
        assert (report["breach"], report["blind"], report["drift"]) == (1, 0, 0)
        (finding,) = report["findings"]
        assert finding == {"kind": "breach", "network": 2, "message": BREACH.sentence}
        last = await api.ok("GET", "/v1/canary")
        assert last["report"] == report
        assert (last["counters"]["runs"], last["counters"]["breaches"]) == (1, 1)

    with_api(tmp_path, body)


@pytest.mark.parametrize("found", [(), (BREACH,)])
def test_metrics(tmp_path: Path, found: tuple[Finding, ...]) -> None:
    """A Prometheus reads runs, findings of all runs, and those that are open now."""

    async def series(api: ApiBench) -> dict[str, float]:
        reply = await api.call("GET", "/v1/metrics")
        assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
        return {
            sample.name + "".join(f"/{value}" for value in sample.labels.values()): sample.value
            for family in text_string_to_metric_families(reply.text)
            for sample in family.samples
        }

    async def body(api: ApiBench) -> None:
        before = await series(api)
        assert before["roost_canary_runs_total"] == 0
        assert "roost_canary_open_findings/breach" not in before
        api.canary.findings = found
        await api.ok("POST", "/v1/canary")
        api.canary.findings = ()
        first = await series(api)
        assert first["roost_canary_open_findings/breach"] == len(found)
        await api.ok("POST", "/v1/canary")
        after = await series(api)
        assert after["roost_canary_runs_total"] == 2
        assert after["roost_canary_attempts_total"] == 1200
        assert after["roost_canary_findings_total/breach"] == len(found)
        assert after["roost_canary_open_findings/breach"] == 0
        assert after["roost_canary_last_run_timestamp_seconds"] == 1_700_000_000
        assert after["roost_canary_last_run_seconds"] == 0.4

    with_api(tmp_path, body)
