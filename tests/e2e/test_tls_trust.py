"""`https://app.flycast` from Machines that were told nothing of it."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime

import pytest

from tests.support.certificates import DAY, make
from tests.support.rig import Caller, Rig, eventually

pytestmark = pytest.mark.root

SERVE = [
    "/usr/bin/python3",
    "-m",
    "http.server",
    "8080",
    "--bind",
    "0.0.0.0",
    "--directory",
    "/usr",
]
SERVICES = [
    {
        "internal_port": 8080,
        "protocol": "tcp",
        "ports": [
            {"port": 80, "handlers": ["http"]},
            {"port": 443, "handlers": ["tls", "http"]},
        ],
        "autostart": True,
        "autostop": "off",
    }
]
PYTHON = "import urllib.request as u; print(u.urlopen('https://safe.flycast/').status)"
NODE = "fetch('https://safe.flycast/').then(r => console.log(r.status), e => console.log(e.cause))"
SERIAL = "openssl s_client -connect safe.flycast:443 </dev/null 2>&1 | openssl x509 -noout -serial"


@pytest.fixture(scope="module")
def address(rig: Rig) -> str:
    """The app `safe`; its Flycast address."""
    rig.call("POST", "/v1/apps", {"app_name": "safe"})
    config = {"image": "roost/host", "init": {"cmd": SERVE}, "services": SERVICES}
    made = rig.call("POST", "/v1/apps/safe/machines", {"config": config})
    rig.wait("safe", "started", made["id"])
    rig.ok("ips", "allocate-v6", "--private", "-a", "safe")
    return rig.address("safe")


def serial(caller: Caller) -> str:
    """Of the certificate that is shown."""
    done = caller.run("sh", "-c", SERIAL)
    assert "serial=" in done.out, done
    return done.out


def test_programs_of_all_kinds_believe_it(rig: Rig, caller: Caller, address: str) -> None:
    """curl by name and by address, Python, and Node, with no setting; also what wakes it."""
    for url in ("https://safe.flycast/", f"https://[{address}]/"):
        assert "lib" in caller.curl(url)
    assert caller.run("/usr/bin/python3", "-c", PYTHON).out == "200\n"
    if shutil.which("node", path="/usr/bin"):
        assert caller.run("/usr/bin/node", "-e", NODE).out == "200\n"
    rig.ok("machine", "stop", rig.machines("safe")[0]["id"], "-a", "safe")
    rig.wait("safe", "stopped")
    assert "lib" in caller.curl("https://safe.flycast/")


def test_no_certificate_is_lost_with_the_daemon(rig: Rig, caller: Caller, address: str) -> None:
    """A new daemon shows the same one."""
    before = serial(caller)
    rig.kill("daemon")
    rig.up()
    assert serial(caller) == before


def test_another_organization_believes_its_own_ca(rig: Rig, address: str) -> None:
    """The app that it let in is shown under its CA, on its network."""
    rig.ok("orgs", "create", "Acme")
    theirs = rig.caller("theirs", org="acme")
    rig.ok("ips", "allocate-v6", "--private", "-a", "safe", "--org", "acme")
    assert "lib" in theirs.curl("https://safe.flycast/")
    assert theirs.run("cat", "/.roost/ca.crt").out == rig.ok("ca", "show", "acme")
    assert rig.ok("ca", "show", "personal") != rig.ok("ca", "show", "acme")


def test_a_rotation_is_believed_by_all(rig: Rig, caller: Caller, address: str) -> None:
    """Who was started before it, and who after; also when the older root is gone."""
    (old,) = rig.json("ca", "show")["roots"]
    before = serial(caller)
    rig.ok("ca", "rotate")
    young = rig.caller("young")
    # The one that is shown is good for days; what is issued now is signed by the new root.
    assert serial(young) == before
    more = rig.json("ips", "allocate-v6", "--private", "-a", "safe")["ip"]
    eventually(lambda: serial(young) != before, "a certificate with the new address")
    for one in (caller, young):
        for url in ("https://safe.flycast/", f"https://[{more}]/"):
            assert "lib" in one.curl(url)
    rig.ok("ca", "remove", old["fingerprint"], "--yes")
    assert "lib" in young.curl("https://safe.flycast/")
    unknown_issuer = 60
    done = caller.run("curl", "-sS", "-m", "50", "https://safe.flycast/")
    assert done.code == unknown_issuer, done


def test_a_certificate_that_was_brought_comes_first(rig: Rig, caller: Caller, address: str) -> None:
    """For its name only, as soon as it is added, and until it is removed."""
    made = make("www.example.com", begins=datetime.now(UTC) - DAY, ca=True)
    cert, key = rig.folders / "c.pem", rig.folders / "k.pem"
    cert.write_text(made.text)
    key.write_text(made.key_text)
    words = ("--cert", str(cert), "--key", str(key), "-a", "safe")
    rig.ok("certs", "add", "www.example.com", *words)
    assert "Verified" in rig.ok("certs", "list", "-a", "safe")
    script = (
        f"cat >/tmp/c.pem <<'E'\n{made.text}E\ncurl -sS -m 50 -o /dev/null -w '%{{http_code}}' "
    )
    script += "--cacert /tmp/c.pem --connect-to www.example.com:443:safe.flycast:443 "
    script += "https://www.example.com/"
    assert caller.run("sh", "-c", script).out == "200"
    rig.ok("certs", "remove", "www.example.com", "-a", "safe", "--yes")
    assert caller.run("sh", "-c", script).code != 0
