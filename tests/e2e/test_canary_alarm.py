"""The canary of a running Roost: quiet, and loud as soon as there is a way that must not be."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.support.rig import Caller, Rig, eventually
from tests.support.tomls import http_app

pytestmark = pytest.mark.root
FLAGS = ("--canary-every", "1s", "--listen", "127.0.0.1:0")


def summaries(rig: Rig) -> list[str]:
    """What each run said at its end."""
    text = (rig.home / "run/roostd.log").read_text()
    return re.findall(r"canary: (tried .*)", text)


def next_summary(rig: Rig) -> str:
    """What the next whole run says."""
    before = len(summaries(rig))
    eventually(lambda: len(summaries(rig)) > before + 1, "two more runs of the canary")
    return summaries(rig)[-1]


def test_a_real_roost_is_quiet_and_a_hole_is_not(rig: Rig, caller: Caller) -> None:
    """Real Machines, proxy and DNS in two networks give no alarm; a router whose source guard is
    gone gives one, until a new daemon has put it back.
    """
    rig.caller("far", network="elsewhere")
    folder = rig.folder("web", http_app("web"), index_html="hello")
    rig.ok("launch", "--flycast", "--copy-config", "--yes", cwd=folder)
    assert "hello" in caller.curl("http://web.flycast/")
    quiet = next_summary(rig)
    assert "in 2 networks" in quiet
    assert quiet.endswith("0 breaches, 0 blind, 0 drift"), f"{quiet}{rig.daemon_log()}"
    nft = ["nsenter", f"--net={rig.home}/run/netns/n1", "nft"]
    subprocess.run(
        rig.enter(*nft, "flush chain inet roost from_machine"), check=True, capture_output=True
    )
    loud = next_summary(rig)
    assert " 0 breaches" not in loud
    assert "1 drift" in loud
    assert "ERROR roost.canary breach: from network 1 a Machine could" in rig.daemon_log()
    rig.kill("daemon")
    rig.up()
    assert next_summary(rig).endswith("0 breaches, 0 blind, 0 drift"), rig.daemon_log()
