"""Bad input about sharing and access: one sentence each, the right status, nothing half-made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.host import why_not_root
from tests.support.rig import Ran, Rig, eventually

pytestmark = pytest.mark.root
SERVICE = {"internal_port": 8080, "ports": [{"port": 80}]}
CONFIG = {"image": "roost/host", "init": {"cmd": ["sleep", "infinity"]}, "services": [SERVICE]}


@dataclass(frozen=True)
class Two:
    """A Roost with organizations `acme` (app `web` with a service, network `secret`) and `zoo`
    (app `cat`, without), and a token of each.
    """

    rig: Rig
    acme: str
    zoo: str

    def refused(self, token: str, *words: str) -> str:
        """A command that fails with one error and no traceback; what it said."""
        done = self.rig.cli("-t", token, *words)
        assert done.code == 1, done
        assert done.err.splitlines()[-1].startswith("Error: ")
        assert "Traceback" not in done.err
        return done.err

    def status(self, token: str, method: str, path: str, body: object = None) -> int:
        """The status of a call."""
        return self.rig.api(method, path, body, token=token).status_code


@pytest.fixture(scope="module")
def two() -> Iterator[Two]:
    """See Two."""
    if reason := why_not_root():
        pytest.skip(reason)
    rig = Rig()
    rig.up()
    try:
        tokens = []
        for org in ("acme", "zoo"):
            rig.ok("orgs", "create", org)
            tokens.append(rig.json("tokens", "create", "org", "--org", org)["token"])
        rig.ok("apps", "create", "web", "--org", "acme")
        rig.ok("apps", "create", "spy", "--org", "acme", "--network", "secret")
        rig.ok("apps", "create", "cat", "--org", "zoo")
        body = {"config": CONFIG, "skip_launch": True}
        rig.call("POST", "/v1/apps/web/machines", body)
        yield Two(rig, *tokens)
    finally:
        rig.close()


ALLOCATE = ("ips", "allocate-v6", "--private", "-a", "web")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((*ALLOCATE, "--org", "nobody"), "organization 'nobody' not found"),
        ((*ALLOCATE, "--network", "typo"), "network 'typo' of organization 'acme' not found"),
        ((*ALLOCATE, "--network", "9x"), "network name '9x' is not valid"),
        ((*ALLOCATE, "--service", "81"), 'app "web" has no service on port 81 (it has 80)'),
        ((*ALLOCATE, "--expires", "soon"), "'soon' is not a lifetime"),
        (("ips", "allocate-v4", "-a", "web"), "no public IPv4 addresses to give"),
        (("ips", "allocate-v4", "--shared", "-a", "web"), "--public-pool"),
        (("ips", "allocate-v6", "-a", "web"), "no public IPv6 addresses to give"),
        (("ips", "release", "fdaa:0:2:0:1::99", "-a", "web"), "has no address fdaa:0:2:0:1::99"),
        (("ips", "release", "web.flycast", "-a", "web"), "is no IP address"),
        (("ips", "grants", "accept", "01J0", "--org", "acme"), "has no grant '01J0'"),
        (("ips", "grants", "withdraw", "01J0", "-a", "web"), "has no grant '01J0'"),
        (("orgs", "show", "zoo"), "organization 'zoo' not found"),
        (("orgs", "delete", "acme", "--yes"), "still owns 2 app(s): spy, web"),
        (("orgs", "create", "new"), "needs the right operate"),
        (("apps", "create", "mouse", "--org", "zoo"), "organization 'zoo' not found"),
        (("status", "-a", "cat"), 'app "cat" not found'),
        (("networks", "list", "--org", "zoo"), "organization 'zoo' not found"),
        (("tokens", "create", "org", "--org", "zoo"), "organization 'zoo' not found"),
        (("tokens", "create", "operator"), "needs the right operate"),
        (("audit", "--org", "zoo"), "organization 'zoo' not found"),
        (("reach", "cat", "web"), "no app, Machine or network 'cat'"),
        (("reach", "web", "no such name"), "app name 'no such name' is not valid"),
        (("canary",), "needs the right operate"),
        (("console", "--org", "zoo", "--", "true"), "organization 'zoo' not found"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_refused(two: Two, words: tuple[str, ...], sentence: str) -> None:
    """What acme's admin may not, or nobody can, is refused with a sentence, and nothing is made."""
    before = two.rig.call("GET", "/v1/audit?limit=1")["entries"][0]["id"]
    assert sentence in two.refused(two.acme, *words)
    assert two.rig.call("GET", "/v1/audit?limit=1")["entries"][0]["id"] == before


def test_a_network_of_another_organization(two: Two) -> None:
    """Its name is neither usable nor told: the same words for one that exists and one that does
    not.
    """
    words = ("ips", "allocate-v6", "--private", "-a", "cat", "--network")
    known, unknown = (two.refused(two.zoo, *words, name) for name in ("secret", "nothing"))
    assert known.replace("secret", "nothing") == unknown
    asked = [
        two.rig.json(*words, name, "--org", "acme", "-t", two.zoo)["grant"]["state"]
        for name in ("secret", "nothing")
    ]
    assert asked == ["pending", "pending"]


def test_an_address_of_another_app(two: Two) -> None:
    """It is not released by whoever names it under an app of their own."""
    made = two.rig.json(*ALLOCATE, "-t", two.acme)["ip"]
    assert f"has no address {made}" in two.refused(two.zoo, "ips", "release", made, "-a", "cat")
    assert 'app "web" not found' in two.refused(two.zoo, "ips", "release", made, "-a", "web")
    assert [made] == [one["ip"] for one in two.rig.json("ips", "list", "-a", "web")]
    two.rig.ok("ips", "release", made, "-a", "web")


def test_an_app_without_services_is_warned_of(two: Two) -> None:
    """The address is made, and a warning says that nothing answers there yet."""
    done: Ran = two.rig.cli("ips", "allocate-v6", "--private", "-a", "cat", "-t", two.zoo)
    assert done.code == 0
    assert "Warning: app 'cat' has no Machine with a service yet" in done.err


def test_tokens_that_are_no_longer_good(two: Two) -> None:
    """Expired, revoked and unknown ones are 401 with a sentence; another organization's is 404."""
    short = two.rig.json("tokens", "create", "org", "--org", "acme", "--expiry", "1s")["token"]
    made = two.rig.json("tokens", "create", "org", "--org", "acme")
    two.rig.ok("tokens", "revoke", made["id"], "--org", "acme")
    eventually(lambda: two.status(short, "GET", "/v1/apps") == 401, "the token to expire")
    for token in (short, made["token"], "roost_nothing", "", "fm2_x"):
        assert two.status(token or "x", "GET", "/v1/apps/web") == 401
    assert "was refused" in two.refused(made["token"], "apps", "list")
    assert two.status(two.zoo, "GET", "/v1/apps/web") == 404
    assert two.status(two.zoo, "DELETE", "/v1/apps/web") == 404


def test_a_readonly_token_changes_nothing(two: Two) -> None:
    """It looks at everything of its organization, and is told what it lacks."""
    token = two.rig.json("tokens", "create", "readonly", "--org", "acme")["token"]
    assert two.status(token, "GET", "/v1/apps/web") == 200
    assert two.status(token, "POST", "/v1/apps/web/ip_assignments", {}) == 403
    assert "needs the right change" in two.refused(token, *ALLOCATE)
