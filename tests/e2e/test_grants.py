"""Sharing an app with another organization: packets before, during and after the consent.

The daemon is killed before and after each write that a step makes; what is found after its restart
is what was there before the step, or all of it.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.held import HeldConnection
from tests.support.host import why_not_root
from tests.support.rig import Caller, Rig, eventually
from tests.support.tomls import REDIS, tcp_app

pytestmark = pytest.mark.root

CRASH_SITE = str(Path(__file__).parents[1] / "support" / "crash_site")


@dataclass(frozen=True)
class Sides:
    """The app's side and the other organization's: tokens, and a Machine to call from."""

    rig: Rig
    acme: Caller
    own: Caller
    tokens: dict[str, str]

    def json(self, org: str, *words: str) -> Any:
        """A command with the token of an organization's admin."""
        return self.rig.json(*words, "-t", self.tokens[org])

    def ask(self, *words: str) -> str:
        """The app's side asks for an address; the grant's id."""
        command = ("ips", "allocate-v6", "--private", "-a", "shared", "--org", "acme")
        return str(self.json("personal", *command, *words)["grant"]["id"])

    def decide(self, verb: str, grant: str) -> dict[str, Any]:
        """Acme's side answers."""
        done = self.json("acme", "ips", "grants", verb, grant, "--org", "acme")
        found: dict[str, Any] = done[0]
        return found

    def addresses(self) -> list[str]:
        """The app's addresses."""
        return [one["ip"] for one in self.json("personal", "ips", "list", "-a", "shared")]

    def state(self, grant: str) -> str:
        """Where a grant is."""
        found = self.json("personal", "ips", "grants", "list", "-a", "shared")
        return str(next(one["state"] for one in found if one["id"] == grant))

    def reached(self, to: str = "shared.flycast") -> bool:
        """Whether acme's Machine reaches the app now."""
        return self.acme.run("redis-cli", "-h", to, "ping").out == "PONG\n"


@pytest.fixture(scope="module")
def sides() -> Iterator[Sides]:
    """App `shared` of `personal` that sleeps nowhere, and a Machine in `acme`'s default network."""
    if reason := why_not_root():
        pytest.skip(reason)
    rig = Rig()
    rig.up()
    try:
        rig.ok("orgs", "create", "Acme")
        tokens = {
            org: rig.call("POST", f"/v1/orgs/{org}/tokens", {"kind": "org", "name": org})["token"]
            for org in ("personal", "acme")
        }
        toml = tcp_app("shared", REDIS, 6379).replace("[build]", 'kill_timeout = "2s"\n\n[build]')
        folder = rig.folder("shared", toml)
        rig.ok("launch", "--copy-config", "--ha=false", "--yes", cwd=folder)
        yield Sides(rig, rig.caller("theirs", org="acme"), rig.caller("ours"), tokens)
    finally:
        rig.close()


@pytest.fixture(autouse=True)
def clean(sides: Sides) -> Iterator[None]:
    """No test leaves an address or a request."""
    yield
    for ip in sides.addresses():
        sides.rig.ok("ips", "release", ip, "-a", "shared")
    for one in sides.json("personal", "ips", "grants", "list", "-a", "shared"):
        if one["state"] == "pending":
            sides.rig.ok("ips", "grants", "withdraw", one["id"], "-a", "shared")


def test_consent_opens_one_way(sides: Sides) -> None:
    """Pending: nothing. Accepted: reached from acme by name, and not from the app's own network."""
    grant = sides.ask()
    assert not sides.reached()
    assert [] == sides.addresses()
    ip = sides.decide("accept", grant)["ip"]
    assert sides.reached()
    assert sides.reached(ip)
    assert "PONG" not in sides.own.run("redis-cli", "-h", ip, "ping").out
    assert "PONG" not in sides.own.run("redis-cli", "-h", "shared.flycast", "ping").out


def test_a_second_address_serves_the_own_network(sides: Sides) -> None:
    """Each network resolves its own address only."""
    sides.decide("accept", sides.ask())
    sides.rig.ok("ips", "allocate-v6", "--private", "-a", "shared")
    assert sides.reached()
    assert "PONG\n" == sides.own.run("redis-cli", "-h", "shared.flycast", "ping").out
    theirs, ours = (
        caller.run("getent", "ahostsv6", "shared.flycast").out.split()[0]
        for caller in (sides.acme, sides.own)
    )
    assert {theirs, ours} == set(sides.addresses())
    assert theirs != ours


def test_rejected(sides: Sides) -> None:
    """No address, no name."""
    grant = sides.ask()
    sides.decide("reject", grant)
    assert not sides.reached()
    assert "rejected" == sides.state(grant)


def test_expired(sides: Sides) -> None:
    """The date ends it by itself: the name and the connections are gone."""
    grant = sides.ask("--expires", "4s")
    held = HeldConnection(sides.acme, sides.decide("accept", grant)["ip"])
    assert "+PONG" == held.ping()
    eventually(lambda: sides.state(grant) == "expired", "the grant to expire")
    assert not sides.reached()
    eventually(lambda: held.ping() == "ended", "the open connection to end")
    held.close()
    assert [] == sides.addresses()


def test_released_while_a_connection_is_open(sides: Sides) -> None:
    """New connections are refused at once; the open one goes on for kill_timeout, then ends, and
    an address given anew does not save it.
    """
    ip = sides.decide("accept", sides.ask())["ip"]
    held = HeldConnection(sides.acme, ip)
    sides.rig.ok("ips", "release", ip, "-a", "shared")
    assert "+PONG" == held.ping()
    assert not sides.reached(ip)
    again = sides.decide("accept", sides.ask())["ip"]
    assert again != ip
    assert sides.reached()
    assert not sides.reached(ip)
    eventually(lambda: held.ping() == "ended", "the drained connection to end", 10)
    held.close()
    assert sides.reached(again)


STEPS = ("ask", "accept", "reject", "release", "expire")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_the_daemon_is_killed_at_a_step(sides: Sides, step: str, when: str) -> None:
    """Killed before a step's write nothing of it is there, after it all of it, also in packets."""
    rig = sides.rig
    path, body = prepared(sides, step)
    restart(rig, {"CRASH_WRITE": when})
    assert "daemon died" == ask(rig, sides, path, body)
    restart(rig, {})
    done = when == "after"
    grants = sides.json("personal", "ips", "grants", "list", "-a", "shared")
    states = {"ask": "pending", "accept": "accepted", "reject": "rejected"}
    states |= {"release": "released", "expire": "expired"}
    before = {"ask": None, "accept": "pending", "reject": "pending", "release": "accepted"}
    newest = grants[-1]["state"] if grants else None
    if step == "expire":
        # The next daemon finds the date passed and does what the last one could not.
        eventually(lambda: sides.state(grants[-1]["id"]) == "expired", "the date to be seen")
    elif step == "ask" and not done:
        assert newest != "pending"
    else:
        assert newest == (states[step] if done else before[step])
    open_ = (step == "accept" and done) or (step == "release" and not done)
    assert len(sides.addresses()) == int(open_)
    eventually(lambda: sides.reached() == open_, "the proxy to follow")


def prepared(sides: Sides, step: str) -> tuple[str, Any]:
    """What has to be there before a step; gives the call that makes the step."""
    asking = "/v1/apps/shared/ip_assignments"
    match step:
        case "ask":
            return f"personal POST {asking}", {"org_slug": "acme"}
        case "accept" | "reject":
            return f"acme POST /v1/orgs/acme/grants/{sides.ask()}/{step}", None
        case "release":
            ip = sides.decide("accept", sides.ask())["ip"]
            return f"personal DELETE {asking}/{ip}", None
        case _:
            sides.decide("accept", sides.ask("--expires", "9s"))
            return "", None


def restart(rig: Rig, crash: dict[str, str]) -> None:
    """End the daemon gently and start one that dies at a write of sharing, or a sound one."""
    rig.cli("down", "--keep-machines")
    rig.env = {k: v for k, v in rig.env.items() if not k.startswith(("CRASH_", "PYTHONPATH"))}
    if crash:
        rig.env |= crash | {"PYTHONPATH": CRASH_SITE}
    rig.up()


def ask(rig: Rig, sides: Sides, call: str, body: Any) -> str:
    """Make the call (or none: the daemon acts by itself) and see that the daemon dies of it."""
    pid = rig.pid("daemon")
    if call:
        org, method, path = call.split()
        command = ["curl", "-s", "-m", "30", "-X", method, f"http://roost{path}"]
        command += ["--unix-socket", str(rig.home / "run/api.sock")]
        command += ["-H", f"Authorization: Bearer {sides.tokens[org]}"]
        if body is not None:
            command += ["-d", json.dumps(body)]
        subprocess.run(command, capture_output=True, check=False, timeout=60)
    eventually(lambda: not Path(f"/proc/{pid}/exe").exists(), "the daemon to die")
    return "daemon died"
