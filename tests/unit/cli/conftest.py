"""Fixtures of the CLI's tests: a stub API and a way to run a command line in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.cli.main import main
from roost.cli.session import Session, set_current
from tests.support.api_stub import ApiStub, api_stub
from tests.support.cli import Ran, Run

VARIABLES = (
    "ROOST_API_URL",
    "FLY_FLAPS_BASE_URL",
    "ROOST_ACCESS_TOKEN",
    "FLY_ACCESS_TOKEN",
    "FLY_API_TOKEN",
    "FLY_APP",
    "FLY_ORG",
    "FLY_ORGANIZATION",
    "ROOST_DEBUG",
)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiStub]:
    """One stub server for all tests."""
    with api_stub(tmp_path_factory.mktemp("h") / "home") as stub:
        yield stub


@pytest.fixture
def home(served: ApiStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and the stub's home as ROOST_HOME."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    folder = served.socket.parent.parent
    monkeypatch.setenv("ROOST_HOME", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def api(served: ApiStub, home: Path) -> ApiStub:
    """The stub, with nothing prepared and nothing asked."""
    served.reset()
    return served


@pytest.fixture
def run(home: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command line, words as arguments."""

    def run_words(*words: str) -> Ran:
        set_current(Session())
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        out, err = capfd.readouterr()
        code = ended.value.code
        return Ran(code if isinstance(code, int) else 1, out, err)

    return run_words
