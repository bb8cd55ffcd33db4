"""Who is calling: Fly-Src that a receiver can check, and services that only some apps may call."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.support.rig import Caller, Rig, eventually
from tests.support.tomls import http_app

pytestmark = pytest.mark.root

ECHO = """
import http.server, json

class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        pairs = [[name.lower(), value] for name, value in self.headers.items()]
        body = json.dumps(pairs).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Echo).serve_forever()
"""


@pytest.fixture(scope="module")
def echo(rig: Rig, caller: Caller) -> str:
    """An app that answers with the headers it got; its public key for Fly-Src."""
    toml = http_app("echo", command="python3 /app/echo.py")
    folder = rig.folder("echo", toml, echo_py=ECHO)
    rig.ok("launch", "--copy-config", "--flycast", "--ha=false", "--yes", cwd=folder)
    machine = rig.wait("echo", "started")
    done = rig.call(
        "POST",
        f"/v1/apps/echo/machines/{machine}/exec",
        {"command": ["cat", "/.fly/fly-src.pub"]},
    )
    assert done["exit_code"] == 0, done
    return str(done["stdout"]).strip()


def headers(caller: Caller, *flags: str) -> dict[str, list[str]]:
    """The headers that the app got, by lower-case name."""
    found: dict[str, list[str]] = {}
    for name, value in json.loads(caller.curl("http://echo.flycast/", *flags)):
        found.setdefault(name, []).append(value)
    return found


def check(key: str, source: str, signature: str, *, me: str) -> dict[str, str]:
    """The fields of Fly-Src, after the receiver's checks of docs/sharing.md."""
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
    public.verify(base64.b64decode(signature), source.encode())
    fields = dict(pair.split("=", 1) for pair in source.split(";"))
    assert fields["dst"] == me
    assert abs(time.time() - int(fields["ts"])) < 60
    return fields


def test_the_caller_is_named_and_signed(rig: Rig, caller: Caller, echo: str) -> None:
    """The signature holds, and the fields name the caller's app, organization, network, Machine."""
    got = headers(caller)
    (source,), (signature,) = got["fly-src"], got["fly-src-signature"]
    fields = check(echo, source, signature, me="echo")
    assert fields["app"] == caller.app
    assert fields["instance"] == caller.id
    assert (fields["org"], fields["network"]) == ("personal", "default")


def test_another_value_is_not_signed(caller: Caller, echo: str) -> None:
    """One changed byte, and the check fails."""
    got = headers(caller)
    forged = got["fly-src"][0].replace(f"app={caller.app}", "app=admin")
    with pytest.raises(InvalidSignature):
        check(echo, forged, got["fly-src-signature"][0], me="echo")


def test_a_callers_own_copies_are_dropped(caller: Caller, echo: str) -> None:
    """Whatever a caller sends under these names, in whichever spelling, is not passed on."""
    forged = ("-H", "Fly-Src: app=admin", "-H", "fly-src-signature: AAAA")
    disguised = ("-H", "fly_src: app=admin", "-H", "FLY_SRC_SIGNATURE: AAAA")
    got = headers(caller, *forged, *disguised, "-H", "Connection: fly-src, fly-src-signature")
    assert len(got["fly-src"]) == len(got["fly-src-signature"]) == 1
    assert check(echo, got["fly-src"][0], got["fly-src-signature"][0], me="echo")
    assert "fly_src" not in got
    assert "fly_src_signature" not in got


def test_the_key_is_served_by_name(caller: Caller, echo: str) -> None:
    """TXT _fly-src.internal holds the same key in every network."""
    done = caller.run("dig", "+short", "TXT", "_fly-src.internal")
    encoded = base64.b64encode(bytes.fromhex(echo)).decode()
    assert done.out.strip() == f'"v=1;k=ed25519;p={encoded}"'


def test_the_example_of_the_docs(rig: Rig, caller: Caller, echo: str) -> None:
    """The ten lines in docs/sharing.md accept what the proxy sends and nothing else."""
    text = (Path(__file__).parents[2] / "docs/sharing.md").read_text()
    code = text.split("```python\n", 1)[1].split("```", 1)[0]
    key_file = rig.folders / "fly-src.pub"
    key_file.write_text(echo + "\n")
    code = code.replace("/.fly/fly-src.pub", str(key_file))
    names: dict[str, object] = {}
    exec(compile(code, "docs/sharing.md", "exec"), names)
    caller_of = names["caller_of"]
    assert callable(caller_of)
    got = headers(caller)
    sent = {"Fly-Src": got["fly-src"][0], "Fly-Src-Signature": got["fly-src-signature"][0]}
    assert caller_of(sent, me="echo")["app"] == caller.app
    wrongs: list[dict[str, str]] = [
        {},
        sent | {"Fly-Src-Signature": ""},
        sent | {"Fly-Src-Signature": "!"},
        sent | {"Fly-Src": sent["Fly-Src"].replace("echo", "other")},
    ]
    for wrong in wrongs:
        with pytest.raises((InvalidSignature, KeyError, ValueError)):
            caller_of(wrong, me="echo")
    with pytest.raises(ValueError, match="not meant for this app"):
        caller_of(sent, me="other")


def test_only_allowed_apps_call(rig: Rig, caller: Caller) -> None:
    """Everybody but those named in allowed_apps is refused at accept, with a line in the log, and
    wakes nobody.
    """
    friend = rig.caller("friend")
    toml = http_app("choosy", stop="stop", more='  allowed_apps = ["friend"]\n')
    folder = rig.folder("choosy", toml, index_html="welcome\n")
    rig.ok("launch", "--copy-config", "--flycast", "--ha=false", "--yes", cwd=folder)
    assert friend.curl("http://choosy.flycast/") == "welcome\n"
    rig.wait("choosy", "stopped")
    refused = caller.run("curl", "-sS", "-m", "10", "http://choosy.flycast/")
    # The reset may come before or after curl takes the connection for made.
    assert refused.code in (7, 56), refused
    eventually(lambda: "RA01" in log_of(rig, "choosy"), "the refusal to be logged")
    assert caller.app in log_of(rig, "choosy")
    assert rig.machines("choosy")[0]["state"] == "stopped"
    answer = rig.call("GET", f"/v1/reach?from={caller.app}&to=choosy:80")
    assert (answer["reaches"], answer["steps"][-1]["step"]) == (False, "guard")
    assert rig.call("GET", "/v1/reach?from=friend&to=choosy:80")["reaches"]
    assert friend.curl("http://choosy.flycast/") == "welcome\n"


def log_of(rig: Rig, app: str) -> str:
    """What the proxy says of an app, codes included."""
    return rig.api("GET", f"/v1/apps/{app}/logs").text
