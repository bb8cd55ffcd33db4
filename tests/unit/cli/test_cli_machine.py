"""machine run and the verbs."""

from __future__ import annotations

import pytest

from tests.support.api_stub import ApiStub
from tests.support.cli import Run, a_machine, an_exit

HERE = "/v1/apps/web/machines"


@pytest.fixture
def one(api: ApiStub) -> ApiStub:
    """One Machine that takes every verb and is at once where it should be."""
    api.on(f"POST {HERE}", a_machine(state="starting"))
    api.on(f"GET {HERE}/148e1a", a_machine())
    api.on(f"GET {HERE}/148e1a/wait", {"ok": True})
    for verb in ("start", "stop", "suspend", "restart", "cordon", "uncordon"):
        api.on(f"POST {HERE}/148e1a/{verb}", {"ok": True})
    api.on(f"DELETE {HERE}/148e1a", {"ok": True})
    return api


def test_run_sends_what_the_flags_say(one: ApiStub, run: Run) -> None:
    """Every flag finds its place in the Machine's configuration."""
    ended = run(
        "machine", "run", "roost/host", "-a", "web", "-p", "80:8080/tcp:http", "--autostop",
        "suspend", "--autostart", "--rm", "-e", "A=1", "--metadata", "role=db", "--vm-memory",
        "1gb", "--name", "db", "-r", "local", "--entrypoint", "/bin/env -i",
        "--skip-dns-registration", "--", "sleep", "-x",
    )  # fmt: skip
    assert 0 == ended.code
    body = one.last(f"POST {HERE}").body
    config = body["config"]
    assert ("db", "local") == (body["name"], body["region"])
    assert ["sleep", "-x"] == config["init"]["cmd"]
    assert ["/bin/env", "-i"] == config["init"]["entrypoint"]
    assert ({"A": "1"}, {"role": "db"}) == (config["env"], config["metadata"])
    assert 1024 == config["guest"]["memory_mb"]
    assert ("no", True) == (config["restart"]["policy"], config["auto_destroy"])
    assert {"skip_registration": True} == config["dns"]
    [service] = config["services"]
    assert ("suspend", True, 8080) == (
        service["autostop"],
        service["autostart"],
        service["internal_port"],
    )
    assert [(80, ["http"])] == [(port["port"], port["handlers"]) for port in service["ports"]]


def test_run_prints_id_state_and_address(one: ApiStub, run: Run) -> None:
    """It waits until the Machine runs and says where it is."""
    ended = run("machine", "run", "roost/host", "-a", "web")
    for text in ("Machine ID: 148e1a", "State: started", "Private IP: fdaa:0:1:0:2:0:5:2"):
        assert text in ended.out
    assert "started" in one.last(f"GET {HERE}/148e1a/wait").values("state")
    assert "148e1a" == run("machine", "run", "x", "-a", "web", "--json").json["id"]


def test_run_detached_does_not_wait(one: ApiStub, run: Run) -> None:
    """-d returns what the API said."""
    assert "starting" == run("machine", "run", "x", "-a", "web", "-d", "-j").json["state"]
    assert [f"POST {HERE}"] == one.lines


def test_run_of_a_program_that_fails(one: ApiStub, run: Run) -> None:
    """A Machine that ended with an error is an error with its exit code and where to look."""
    one.on(f"GET {HERE}/148e1a", a_machine(state="stopped", events=[an_exit(127)]))
    ended = run("machine", "run", "x", "-a", "web")
    assert 1 == ended.code
    assert "exit code 127" in ended.err
    assert "roost logs -a web --no-tail --machine 148e1a" in ended.err


def test_run_in_an_app_that_is_not_there(api: ApiStub, run: Run) -> None:
    """The hint says how to create the app."""
    api.refuse(f"POST {HERE}", 404, 'app "web" not found')
    assert "roost apps create web" in run("machine", "run", "x", "-a", "web").err


@pytest.mark.parametrize("verb", ["start", "stop", "suspend"])
def test_verbs_return_at_once(one: ApiStub, run: Run, verb: str) -> None:
    """Without -w the CLI says what was asked for, and waits for nothing."""
    ended = run("machine", verb, "148e1a", "-a", "web")
    assert (0, f"148e1a was asked to {verb}\n") == (ended.code, ended.err)
    assert [f"POST {HERE}/148e1a/{verb}"] == one.lines


@pytest.mark.parametrize(
    ("verb", "state"), [("start", "started"), ("stop", "stopped"), ("suspend", "suspended")]
)
def test_verbs_wait_when_asked_to(one: ApiStub, run: Run, verb: str, state: str) -> None:
    """-w waits for the state that the verb leads to."""
    ended = run("machine", verb, "148e1a", "-a", "web", "-w", "10s")
    assert 0 == ended.code
    assert [state] == one.last(f"GET {HERE}/148e1a/wait").values("state")


def test_a_wait_that_is_over(one: ApiStub, run: Run) -> None:
    """When the time is over the error says in which state the Machine is."""
    one.refuse(f"GET {HERE}/148e1a/wait", 408, "not yet")
    one.on(f"GET {HERE}/148e1a", a_machine(state="stopping"))
    ended = run("machine", "wait", "148e1a", "-a", "web", "--state", "stopped", "-w", "0s")
    assert 1 == ended.code
    assert "machine 148e1a is stopping, not stopped" in ended.err


def test_stop_with_signal_and_time(one: ApiStub, run: Run) -> None:
    """Signal names are completed, times sent as Go durations."""
    run("machine", "stop", "148e1a", "-a", "web", "-s", "term", "--timeout", "1m30s")
    body = one.last(f"POST {HERE}/148e1a/stop").body
    assert {"signal": "SIGTERM", "timeout": "90s"} == body


def test_restart_waits(one: ApiStub, run: Run) -> None:
    """Restart waits until the Machine runs, as flyctl does."""
    assert 0 == run("machine", "restart", "148e1a", "-a", "web", "--force-stop").code
    assert ["true"] == one.last(f"POST {HERE}/148e1a/restart").values("force_stop")
    assert f"GET {HERE}/148e1a/wait" in one.lines


@pytest.mark.parametrize(("flags", "forced"), [([], "false"), (["-f"], "true")])
def test_destroy(one: ApiStub, run: Run, flags: list[str], forced: str) -> None:
    """--force is handed over; the server decides whether it is needed."""
    assert 0 == run("machine", "destroy", "148e1a", "-a", "web", *flags).code
    assert [forced] == one.last(f"DELETE {HERE}/148e1a").values("force")


def test_cordon_and_uncordon(one: ApiStub, run: Run) -> None:
    """Both are one call."""
    assert "has been cordoned" in run("machine", "cordon", "148e1a", "-a", "web").err
    assert "has been uncordoned" in run("machine", "uncordon", "148e1a", "-a", "web").err


def test_exec_ends_as_the_command_did(one: ApiStub, run: Run) -> None:
    """Output goes where it belongs and the exit status is the command's."""
    reply = {"exit_code": 3, "stdout": "out\n", "stderr": "err\n"}
    one.on(f"POST {HERE}/148e1a/exec", reply)
    ended = run("machine", "exec", "148e1a", "ls /", "-a", "web")
    assert (3, "out\n", "err\n") == (ended.code, ended.out, ended.err)
    assert "ls /" == one.asked[-1].body["cmd"]
    run("machine", "exec", "-a", "web", "148e1a", "--", "ls", "-l")
    assert ["ls", "-l"] == one.asked[-1].body["command"]
    assert reply == run("machine", "exec", "148e1a", "x", "-a", "web", "--json").json


def test_leases_view(one: ApiStub, run: Run) -> None:
    """Machines without a lease are left out."""
    one.on(f"GET {HERE}", [a_machine(), a_machine("other")])
    data = {"nonce": "n0", "owner": "me", "expires_at": 1767323045, "version": "v"}
    one.on(f"GET {HERE}/148e1a/lease", {"status": "success", "data": data})
    one.refuse(f"GET {HERE}/other/lease", 404, "lease not found")
    out = run("machine", "leases", "view", "-a", "web").out
    assert "148e1a" in out
    assert "2026-01-02T03:04:05+00:00" in out
    assert "other" not in out
