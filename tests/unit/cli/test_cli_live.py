"""The CLI against the real API, whose host is a fake: the documented flows, end to end."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import dns.message
import dns.rrset
import pytest

from roost.model.records import Machine
from roost.runtime.base import ExecResult
from tests.support.cli import Run
from tests.support.live_api import LiveApi, live_api


@pytest.fixture
def live(
    home: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LiveApi]:
    """A fresh Roost as ROOST_HOME."""
    with live_api(tmp_path_factory.mktemp("live") / "home") as served:
        monkeypatch.setenv("ROOST_HOME", str(served.home))
        yield served


def launch(run: Run, *more: str) -> None:
    """Launch the app `web` from the host image."""
    words = ["--image", "roost/host", "--command", "sleep 9", "--name", "web", "--flycast"]
    words += ["--smoke-checks=false"]
    ended = run("launch", *words, *more)
    assert 0 == ended.code, ended.err


def consoles(live: LiveApi) -> list[str]:
    """States of all console Machines."""
    found = [stored.record for stored in live.fake.store.scan(Machine)]
    return [str(m.state) for m in found if m.app.startswith("roost-console")]


@pytest.mark.parametrize("steps", [[[]], [["--no-deploy"], ["deploy"]]])
def test_both_documented_flows_end_with_one_private_address(
    live: LiveApi, run: Run, steps: list[list[str]]
) -> None:
    """`launch --flycast`, and `launch --flycast --no-deploy` followed by a bare `deploy`."""
    launch(run, *steps[0])
    for words in steps[1:]:
        assert 0 == run(*words, "--smoke-checks=false").code
    [address] = run("ips", "list", "-a", "web", "--json").json
    assert address["ip"].startswith("fdaa:0:1:0:1::")
    assert 0 == run("deploy", "--detach").code
    assert 1 == len(run("ips", "list", "-a", "web", "--json").json)


def test_the_life_of_an_app(live: LiveApi, run: Run) -> None:
    """Launch, look, scale, stop, start, destroy: every command understands the API's answers."""
    launch(run)
    machines = run("machine", "list", "--json").json
    assert ["started", "started"] == [m["state"] for m in machines]
    status = run("status", "--json").json
    assert (True, 1, 2) == (status["Deployed"], status["Version"], len(status["Machines"]))
    assert "web.flycast" in run("status").out
    scaled = run("scale", "count", "1", "--yes")
    assert scaled.out.startswith("destroyed machine ")
    [left] = run("machine", "list", "-q").out.splitlines()
    assert 0 == run("machine", "stop", left, "-w", "10s").code
    assert 0 == run("machine", "start", left, "-w", "10s").code
    assert 0 == run("machine", "suspend", left, "-w", "10s").code
    assert f"{left} is suspended\n" == run("machine", "wait", left).out
    assert 0 == run("machine", "start", left, "-w", "10s").code
    assert 0 == run("machine", "restart", left).code
    assert "start" in run("machine", "status", left).out
    assert 0 == run("machine", "cordon", left).code
    assert 0 == run("machine", "uncordon", left).code
    assert 1 == run("machine", "destroy", left).code
    assert 0 == run("machine", "destroy", left, "--force").code
    assert [] == run("machine", "list", "--json").json
    assert 0 == run("apps", "destroy", "web", "--yes").code
    gone = run("status")
    assert (1, True) == (gone.code, gone.err.startswith('Error: app "web" not found'))


def test_configuration_and_releases(live: LiveApi, run: Run) -> None:
    """What was deployed can be shown, saved and deployed again; secrets make a new release."""
    launch(run, "--ha=false")
    assert "sleep 9" == run("config", "show").json["processes"]["app"]
    assert 0 == run("config", "save", "--yes").code
    assert 0 == run("config", "validate").code
    live.fake.clock.forward(5)
    ended = run("secrets", "set", "KEY=hunter2", "--detach")
    assert 0 == ended.code, ended.err
    assert "hunter2" not in ended.out + ended.err
    listed = run("secrets", "list", "--json").json
    assert [("KEY", "Deployed")] == [(item["name"], item["status"]) for item in listed]
    assert 0 == run("secrets", "set", "OTHER=1", "--stage").code
    releases = run("releases", "--json").json
    assert [(2, "complete"), (1, "complete")] == [(r["version"], r["status"]) for r in releases]
    assert "roost/host" in run("releases", "--image").out
    Path("fly.toml").unlink()
    assert 0 == run("deploy", "-a", "web", "--detach").code
    assert "KEY" in run("config", "env", "-a", "web").out


def test_a_single_machine(live: LiveApi, run: Run) -> None:
    """machine run and exec; -p makes a service; mistakes are the server's sentences."""
    assert 0 == run("apps", "create", "db").code
    ended = run("machine", "run", "redis", "-a", "db", "-p", "6379", "--json")
    assert "started" == ended.json["state"]
    [service] = ended.json["config"]["services"]
    assert 6379 == service["internal_port"]
    made = ended.json["id"]
    ended = run("machine", "exec", made, "true", "-a", "db")
    assert (0, "out", "err") == (ended.code, ended.out, ended.err)
    live.fake.host.images = frozenset({"redis"})
    missing = run("machine", "run", "nginx", "-a", "db")
    assert 1 == missing.code
    assert "image 'nginx' not found" in missing.err
    unknown = run("machine", "status", "00000000000000", "-a", "db")
    assert (1, True) == (unknown.code, "not found" in unknown.err)


def test_taken_names_and_unknown_orgs(live: LiveApi, run: Run) -> None:
    """The server's sentence and hint, exit status 1."""
    assert 0 == run("apps", "create", "web").code
    taken = run("apps", "create", "web")
    assert (1, 'Error: app name "web" is taken (choose another name)\n') == (taken.code, taken.err)
    assert 1 == run("apps", "create", "x", "--org", "nobody").code
    assert {"personal": "Personal"} == run("orgs", "list", "--json").json
    assert "PERSONAL" in run("orgs", "list").out
    assert 1 == run("ips", "allocate-v6", "-a", "web").code


def test_networks_and_addresses(live: LiveApi, run: Run) -> None:
    """Apps on custom networks and addresses there; a released one is gone."""
    assert 0 == run("apps", "create", "web", "--network", "blue").code
    assert "blue" in run("apps", "list").out
    made = run("ips", "allocate-v6", "--private", "--network", "blue", "-a", "web", "--json").json
    assert "blue" in run("ips", "list", "-a", "web").out
    assert 0 == run("ips", "release", made["ip"], "-a", "web").code
    assert [] == run("ips", "list", "-a", "web", "--json").json
    assert 1 == run("ips", "release", made["ip"], "-a", "web").code


def test_console_runs_attached_and_leaves_nothing(live: LiveApi, run: Run) -> None:
    """Output and exit status come through, and the Machine is destroyed."""
    live.fake.host.session_exit = 7
    ended = run("console", "--", "cat", "-v")
    assert (7, "ready\n") == (ended.code, ended.out)
    [session] = live.fake.host.sessions
    assert ("cat", "-v") == session.args
    assert ["destroyed"] == consoles(live)


def test_console_on_a_network_that_is_not_there(live: LiveApi, run: Run) -> None:
    """A typing mistake makes no network."""
    assert 1 == run("console", "--network", "nowhere", "--", "true").code
    assert [] == consoles(live)


def test_ssh_console_into_a_running_machine(live: LiveApi, run: Run) -> None:
    """-C runs a command in a Machine of the app and leaves the Machine alone."""
    launch(run, "--ha=false")
    ended = run("ssh", "console", "-C", "ls '/a b'")
    assert (0, ("ls", "/a b")) == (ended.code, live.fake.host.sessions[-1].args)
    [machine] = run("machine", "list", "--json").json
    assert "started" == machine["state"]
    run("machine", "stop", machine["id"], "-w", "5s")
    assert "no running Machine" in run("ssh", "console", "-C", "ls").err
    ended = run("ssh", "console", "-C", "ls", "--machine", machine["id"])
    assert (1, True) == (ended.code, "is not running" in ended.err)


def test_machine_run_shell(live: LiveApi, run: Run) -> None:
    """--shell attaches to a Machine that is gone afterwards."""
    run("apps", "create", "web")
    assert 0 == run("machine", "run", "--shell", "ubuntu", "-a", "web").code
    assert [] == run("machine", "list", "-a", "web", "--json").json


def test_dig_asks_from_inside(live: LiveApi, run: Run) -> None:
    """The question is carried by a console Machine; the reply is shown in full, short or JSON."""
    query = dns.message.make_query("web.flycast", "AAAA")
    reply = dns.message.make_response(query)
    reply.answer.append(dns.rrset.from_text("web.flycast.", 5, "IN", "AAAA", "fdaa:0:1:0:1::1"))
    packed = base64.b64encode(reply.to_wire())
    live.fake.host.exec_result = ExecResult(exit_code=0, stdout=packed, stderr=b"")
    assert "fdaa:0:1:0:1::1\n" == run("dig", "web.flycast", "--short").out
    [(words, _, _)] = live.fake.host.commands
    assert ("python3", "fdaa::3") == (words[0], words[3])
    asked = dns.message.from_wire(base64.b64decode(words[4])).question[0].to_text()
    assert "web.flycast. IN AAAA" == asked
    value = run("dig", "AAAA", "web.flycast", "--json").json
    assert ("NOERROR", "fdaa:0:1:0:1::1") == (value["status"], value["answers"][0]["data"])
    assert "ANSWER" in run("dig", "web.flycast").out
    assert ["destroyed"] * 3 == consoles(live)


def test_dig_without_a_reply(live: LiveApi, run: Run) -> None:
    """What went wrong inside is the last line that was written there."""
    failed = ExecResult(exit_code=1, stdout=b"", stderr=b"Traceback\nTimeoutError: timed out\n")
    live.fake.host.exec_result = failed
    ended = run("dig", "web.flycast")
    assert (1, True) == (ended.code, "TimeoutError: timed out" in ended.err)
    assert ["destroyed"] == consoles(live)


def test_logs(live: LiveApi, run: Run) -> None:
    """What Roost says about an app is in its log."""
    launch(run, "--ha=false")
    live.fake.control.context.logs.write("web", "hello from here", source="proxy", code="PM05")
    ended = run("logs", "-n")
    assert 0 == ended.code
    assert "[PM05] hello from here" in ended.out
    assert all(
        line["app"] == "web" for line in map(json.loads, run("logs", "-n", "-j").out.splitlines())
    )


def test_a_wrong_token(live: LiveApi, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """401 becomes a sentence that names where the token came from."""
    monkeypatch.setenv("FLY_API_TOKEN", "fo1_x")
    ended = run("apps", "list")
    assert (1, True) == (ended.code, "the token from FLY_API_TOKEN was refused" in ended.err)
    attached = run("console", "--", "true")
    assert 1 == attached.code
