"""What goes wrong is one sentence, a hint and an exit status; never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost.cli.client import plain_host
from roost.cli.main import main
from tests.support.api_stub import ApiStub
from tests.support.cli import Run


def test_no_daemon(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a Roost the sentence names ROOST_HOME and how to start one."""
    monkeypatch.setenv("ROOST_HOME", str(tmp_path / "none"))
    ended = run("apps", "list")
    expected = (
        f"Error: no Roost is running for ROOST_HOME={tmp_path}/none (start it: roost up --detach)\n"
    )
    assert (1, "", expected) == (ended.code, ended.out, ended.err)


def test_a_stopped_daemon(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home with a token and without a listening socket is a Roost that does not run."""
    monkeypatch.setenv("ROOST_HOME", str(tmp_path / "h"))
    (tmp_path / "h" / "run").mkdir(parents=True)
    (tmp_path / "h" / "token").write_text("x")
    ended = run("apps", "list")
    assert 1 == ended.code
    assert "no Roost is running" in ended.err


@pytest.mark.parametrize("variable", ["ROOST_ACCESS_TOKEN", "FLY_ACCESS_TOKEN", "FLY_API_TOKEN"])
def test_a_refused_token_names_its_origin(
    api: ApiStub, run: Run, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """401 says where the wrong token came from."""
    monkeypatch.setenv(variable, "wrong")
    ended = run("apps", "list")
    assert 1 == ended.code
    assert f"the token from {variable} was refused" in ended.err


def test_the_first_token_variable_wins(
    api: ApiStub, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ROOST_ACCESS_TOKEN comes before Fly's names."""
    monkeypatch.setenv("FLY_API_TOKEN", "fly")
    monkeypatch.setenv("ROOST_ACCESS_TOKEN", "roost")
    run("apps", "list")
    assert "Bearer roost" == api.asked[0].token


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://192.0.2.1:4280", "192.0.2.1"),
        ("http://roost.example", "roost.example"),
        ("http://[2001:db8::1]:80", "2001:db8::1"),
        ("http://127.0.0.1:4280", None),
        ("http://[::1]:80", None),
        ("http://localhost", None),
        ("https://roost.example", None),
        ("http://[", None),
        ("nonsense", None),
    ],
)
def test_a_token_in_clear_is_warned_of(url: str, host: str | None) -> None:
    """Plain HTTP to anywhere but loopback shows the token to the network."""
    assert host == plain_host(url)


def test_errors_of_the_api_keep_sentence_and_hint(api: ApiStub, run: Run) -> None:
    """The server's words are shown as they are."""
    api.refuse("POST /v1/apps", 422, 'app name "x" is taken', hint="choose another name")
    ended = run("apps", "create", "x")
    assert (1, 'Error: app name "x" is taken (choose another name)\n') == (ended.code, ended.err)


def test_an_answer_that_is_not_json(api: ApiStub, run: Run) -> None:
    """Whatever a proxy in between says is shown, shortened."""
    api.on("GET /v1/apps", "plain words", status=500)
    ended = run("apps", "list")
    assert 1 == ended.code
    assert "Traceback" not in ended.err


def test_a_wrong_address(run: Run) -> None:
    """--api with nothing behind it, and with nonsense, are sentences."""
    refused = run("--api", "http://127.0.0.1:9", "-t", "x", "apps", "list")
    assert 1 == refused.code
    assert "nothing answers at http://127.0.0.1:9" in refused.err
    nonsense = run("--api", "nonsense", "-t", "x", "apps", "list")
    assert 1 == nonsense.code
    assert "no address of an API" in nonsense.err


def test_no_app_is_named(run: Run) -> None:
    """Without -a, FLY_APP and fly.toml the error names all three."""
    ended = run("status")
    assert 1 == ended.code
    assert "pass -a NAME, set FLY_APP, or go to a folder with a fly.toml" in ended.err


def test_broken_toml_is_a_sentence(run: Run) -> None:
    """A file that is no TOML does not end in a traceback."""
    Path("fly.toml").write_text("app = \n")
    ended = run("status")
    assert 1 == ended.code
    assert "fly.toml" in ended.err


def test_debug_shows_the_error_itself(
    api: ApiStub, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ROOST_DEBUG=1 lets the exception through."""
    monkeypatch.setenv("ROOST_DEBUG", "1")
    with pytest.raises(Exception, match="not found"):
        main(["status", "-a", "gone"])


def test_interrupted(api: ApiStub, run: Run) -> None:
    """Ctrl-C ends with status 130 and without words."""

    def interrupt(_: object) -> tuple[int, object]:
        import os
        import signal

        os.kill(os.getpid(), signal.SIGINT)
        return 200, {"apps": []}

    api.on_call("GET /v1/apps", interrupt)
    ended = run("apps", "list")
    assert 130 == ended.code
    assert "Traceback" not in ended.err


def test_verbose_names_each_call(api: ApiStub, run: Run) -> None:
    """--verbose shows what the API was asked, on standard error."""
    api.on("GET /v1/apps", {"apps": []})
    ended = run("apps", "list", "--verbose")
    assert "GET /v1/apps: 200" in ended.err
