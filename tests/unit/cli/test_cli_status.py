"""status, machine list, machine status, logs."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost.cli.commands.logs import log_text
from tests.support.api_stub import ApiStub, Lines
from tests.support.cli import Run, a_machine, an_app, an_exit


@pytest.fixture
def web(api: ApiStub) -> ApiStub:
    """An app with one running Machine."""
    api.on("GET /v1/apps/web", an_app())
    api.on("GET /v1/apps/web/machines", [a_machine()])
    api.on("GET /v1/apps/web/releases", {"releases": [{"version": 3}]})
    return api


def columns(text: str) -> dict[str, str]:
    """First row of the last table as header → cell."""
    header, row = text.splitlines()[-2:]
    names = [cell.strip() for cell in header.split("\t")]
    return dict(zip(names, (cell.strip() for cell in row.split("\t")), strict=False))


def test_status_for_people(web: ApiStub, run: Run) -> None:
    """The app's block, then a row for each Machine in Fly's columns."""
    out = run("status", "-a", "web").out
    assert "Hostname = web.flycast" in out
    row = columns(out)
    assert ("app", "148e1a", "3", "local", "started") == (
        row["PROCESS"],
        row["ID"],
        row["VERSION"],
        row["REGION"],
        row["STATE"],
    )


def test_status_json_has_flys_keys(web: ApiStub, run: Run) -> None:
    """Capitalised keys, Machines as they came."""
    value = run("status", "-a", "web", "--json").json
    assert ("web", True, 3, "http://web.flycast") == (
        value["Name"],
        value["Deployed"],
        value["Version"],
        value["AppURL"],
    )
    assert [a_machine()] == value["Machines"]


def test_the_app_is_found_in_the_folder(
    web: ApiStub, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """-a beats FLY_APP beats fly.toml; -c may name the folder."""
    Path("sub").mkdir()
    Path("sub/fly.toml").write_text('app = "web"\n')
    assert 0 == run("status", "-c", "sub").code
    Path("fly.toml").write_text('app = "other"\n')
    monkeypatch.setenv("FLY_APP", "web")
    assert 0 == run("status").code
    assert 0 == run("status", "-a", "web").code


def test_status_tells_why_a_machine_ended(web: ApiStub, run: Run) -> None:
    """Exit code and last output of a Machine that ended by itself."""
    web.on("GET /v1/apps/web/machines", [a_machine(state="stopped", events=[an_exit(3)])])
    web.on("GET /v1/apps/web/logs", Lines([{"message": "no such file"}]))
    out = run("status", "-a", "web").out
    assert "Machine 148e1a ended with exit code 3" in out
    assert "  no such file" in out
    assert ["148e1a"] == web.last("GET /v1/apps/web/logs").values("machine")
    assert 3 == run("status", "-a", "web", "-j").json["Failures"]["148e1a"]["exit_code"]


def test_status_tells_why_a_machine_could_not_start(web: ApiStub, run: Run) -> None:
    """The host's reason, in status, in machine status and in JSON."""
    event = {"type": "launch", "status": "failed", "request": {"error": "no such command"}}
    broken = a_machine(state="failed", events=[event])
    web.on("GET /v1/apps/web/machines", [broken])
    web.on("GET /v1/apps/web/machines/148e1a", broken)
    web.on("GET /v1/apps/web/logs", Lines([]))
    assert "Machine 148e1a failed: no such command" in run("status", "-a", "web").out
    assert "no such command" in run("machine", "status", "148e1a", "-a", "web").out
    reason = run("status", "-a", "web", "-j").json["Failures"]["148e1a"]["reason"]
    assert "no such command" == reason


@pytest.mark.parametrize(
    ("state", "events"),
    [
        ("stopped", [an_exit(0)]),
        ("stopped", [an_exit(137, requested=True)]),
        ("started", [{"type": "start"}, an_exit(3)]),
        ("suspended", []),
        ("suspended", [{"type": "suspend"}, {"type": "start"}, an_exit(3)]),
    ],
)
def test_a_machine_that_was_asked_to_stop_is_no_failure(
    web: ApiStub, run: Run, state: str, events: list[dict[str, object]]
) -> None:
    """Sleeping, stopped by request, ended with 0, or running again: nothing is told."""
    web.on("GET /v1/apps/web/machines", [a_machine(state=state, events=events)])
    assert "exit code" not in run("status", "-a", "web").out
    assert "GET /v1/apps/web/logs" not in web.lines


def test_machine_list(web: ApiStub, run: Run) -> None:
    """Fly's columns; -q prints ids."""
    row = columns(run("machines", "list", "-a", "web").out)
    assert ("148e1a", "roost/host", "app", "shared-cpu-1x:256MB") == (
        row["ID"],
        row["IMAGE"],
        row["PROCESS GROUP"],
        row["SIZE"],
    )
    assert "148e1a\n" == run("m", "list", "-a", "web", "-q").out
    assert [a_machine()] == run("machine", "list", "-a", "web", "-j").json


def test_machine_status(web: ApiStub, run: Run) -> None:
    """The block, the checks, and the events with the facts of an exit."""
    check = {"name": "alive", "status": "passing", "updated_at": None, "output": "ok"}
    raw = a_machine(events=[an_exit(3)], checks=[check])
    web.on("GET /v1/apps/web/machines/148e1a", raw)
    out = run("machine", "status", "148e1a", "-a", "web").out
    assert "Instance ID   = 01J0" in out
    assert "exit_code=3,oom_killed=false,requested_stop=false" in out
    assert "alive" in out
    assert raw == run("machine", "status", "148e1a", "-a", "web", "-j").json
    assert raw["config"] == run("machine", "status", "148e1a", "-a", "web", "-d").json


def test_checks_list(web: ApiStub, run: Run) -> None:
    """Fly's columns; --check-name chooses, --json is by Machine, one without checks is left out."""
    checks = [
        {"name": name, "status": status, "updated_at": None, "output": "why"}
        for name, status in (("alive", "passing"), ("db", "critical"))
    ]
    web.on("GET /v1/apps/web/machines", [a_machine(checks=checks), a_machine(id="2", checks=[])])
    row = columns(run("checks", "list", "-a", "web", "--check-name", "db").out)
    assert row == {
        "NAME": "db",
        "STATUS": "critical",
        "MACHINE": "148e1a",
        "LAST UPDATED": "-",
        "OUTPUT": "why",
    }
    assert {"148e1a": checks} == run("checks", "list", "-a", "web", "-j").json


def test_logs_follow_by_default(web: ApiStub, run: Run) -> None:
    """Without -n the stream is followed; -m names a Machine; --json prints the objects."""
    line = {"timestamp": "2026-01-02T03:04:05Z", "source": "app", "message": "hello"}
    web.on("GET /v1/apps/web/logs", Lines([line]))
    assert "2026-01-02T03:04:05Z app [info]hello\n" == run("logs", "-a", "web").out
    assert ["true"] == web.asked[-1].values("follow")
    assert line == run("logs", "-a", "web", "-n", "-m", "148e1a", "--json").json
    assert ["false"] == web.asked[-1].values("follow")
    assert ["148e1a"] == web.asked[-1].values("machine")


def test_a_log_line_names_source_machine_and_region() -> None:
    """Fly's form, with the error code before the message."""
    item = {
        "timestamp": "T",
        "source": "proxy",
        "instance": "148e",
        "region": "local",
        "level": "error",
        "code": "PM05",
        "message": "port 8080\n",
    }
    assert "T proxy[148e] local [error][PM05] port 8080" == log_text(item)
