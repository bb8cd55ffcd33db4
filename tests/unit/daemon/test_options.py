"""What `roost up` is told: checked before anything starts."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from roost.api.tls import TlsFiles
from roost.daemon import options as opts
from roost.daemon.options import Options
from roost.daemon.proxy_limits import LIMITS, Unit
from roost.daemon.up import up
from roost.errors import InvalidError
from roost.home import Home
from tests.support.certificates import make_authority

TLS = ("--tls-cert", "/etc/c.pem", "--tls-key", "/etc/k.pem")


def parsed(*words: str) -> Options:
    parser = argparse.ArgumentParser()
    opts.add_arguments(parser)
    return opts.parse(parser.parse_args(words))


@pytest.mark.parametrize("text", ["127.0.0.1:4280", "localhost:0", "[::1]:80", ":4280"])
def test_plain_http_on_loopback(text: str) -> None:
    """Loopback needs no certificate."""
    ((host, port),) = parsed("--listen", text).listen
    assert host in {"127.0.0.1", "::1"}
    assert 0 <= port <= 65535


@pytest.mark.parametrize("text", ["0.0.0.0:80", "[::]:80", "192.0.2.1:1", "[::ffff:192.0.2.1]:1"])
def test_elsewhere_only_with_tls(text: str) -> None:
    """Other addresses are refused with a sentence that names the flags, and taken with them."""
    with pytest.raises(InvalidError, match="not a loopback address") as refused:
        parsed("--listen", text)
    assert "--tls-cert FILE and --tls-key FILE" in str(refused.value)
    found = parsed("--listen", text, *TLS)
    assert found.tls == TlsFiles(Path("/etc/c.pem"), Path("/etc/k.pem"))
    assert len(found.listen) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (TLS[:2], "go together"),
        (TLS[2:], "go together"),
        (("--tls-cert", "c.pem", "--tls-key", "/k.pem"), "--tls-cert 'c.pem' is not an absolute"),
        (("--tls-cert", "/c.pem", "--tls-key", "k.pem"), "--tls-key 'k.pem' is not an absolute"),
        (("--listen", "example.com:80", *TLS), "has no IP address"),
        (("--listen", "127.0.0.1:x"), "is not HOST:PORT"),
    ],
)
def test_what_cannot_be(words: tuple[str, ...], sentence: str) -> None:
    """Half a certificate, relative paths and names are refused."""
    with pytest.raises(InvalidError, match=sentence):
        parsed(*words)


def test_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificate may come from the environment."""
    monkeypatch.setenv("ROOST_TLS_CERT", "/etc/c.pem")
    monkeypatch.setenv("ROOST_TLS_KEY", "/etc/k.pem")
    assert parsed("--listen", "0.0.0.0:4280").tls is not None


def test_a_bad_certificate_stops_the_start(tmp_path: Path) -> None:
    """`roost up` refuses files that do not fit, before it listens or makes a namespace."""
    authority = make_authority(tmp_path)
    one, other = authority.issue("one"), authority.issue("other")
    flags = ["--tls-cert", str(one.certificate), "--tls-key", str(other.key)]
    home = Home(tmp_path / "home")
    with pytest.raises(InvalidError, match="does not belong to certificate"):
        up(home, parsed("--listen", "127.0.0.1:0", *flags), flags, detach=True)
    assert not (home.run / "holder.pid").exists()


def test_canary_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five minutes unless told, by the environment or a flag; 0 is never."""
    monkeypatch.delenv("ROOST_CANARY_EVERY", raising=False)
    assert 300 == parsed().canary_every
    assert 90 == parsed("--canary-every", "1m30s").canary_every
    assert 0 == parsed("--canary-every", "0").canary_every
    monkeypatch.setenv("ROOST_CANARY_EVERY", "1h")
    assert 3600 == parsed().canary_every


@pytest.mark.parametrize("text", ["500ms", "-5s", "25h", "often"])
def test_canary_intervals_that_make_no_sense(text: str) -> None:
    """Too often, too seldom, or no duration at all."""
    with pytest.raises(InvalidError):
        parsed(f"--canary-every={text}")


def test_the_wake_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the host's size unless told, by the environment or a flag; a floor of 0 is none."""
    for name in ("ROOST_WAKES_AT_ONCE", "ROOST_MEMORY_FLOOR"):
        monkeypatch.delenv(name, raising=False)
    assert (None, None) == (parsed().wakes_at_once, parsed().memory_floor)
    found = parsed("--wakes-at-once", "12", "--memory-floor", "1gb")
    assert (12, 1 << 30) == (found.wakes_at_once, found.memory_floor)
    monkeypatch.setenv("ROOST_WAKES_AT_ONCE", "7")
    monkeypatch.setenv("ROOST_MEMORY_FLOOR", "0")
    assert (7, 0) == (parsed().wakes_at_once, parsed().memory_floor)


@pytest.mark.parametrize(
    "word",
    ["--wakes-at-once=0", "--wakes-at-once=-1", "--wakes-at-once=all", "--memory-floor=some"],
)
def test_wake_budgets_that_make_no_sense(word: str) -> None:
    """Nobody could start, or no number."""
    with pytest.raises(InvalidError):
        parsed(word)


def test_the_proxys_limits_are_set_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times come in milliseconds, sizes in bytes, counts as they are; the last word counts."""
    words = ("head_timeout=10s", "max_held_bytes_app=64mb", "max_waiters=7", "max_waiters=9")
    flags = [word for one in words for word in ("--limit", one)]
    expected = {"head_timeout_ms": 10_000, "max_held_bytes_app": 64 << 20, "max_waiters": 9}
    assert expected == parsed(*flags).proxy_limits
    monkeypatch.setenv("ROOST_LIMITS", "udp_idle=5s,max_connections_source=0")
    assert {"udp_idle_ms": 5000, "max_connections_source": 0} == parsed().proxy_limits


def test_the_proxy_knows_every_limit() -> None:
    """Each name is a setting of the control protocol: the proxy ignores what it does not know."""
    text = (Path(__file__).parents[3] / "protocol/control.md").read_text()
    for name, limit in LIMITS.items():
        written = f"{name}_ms" if limit.unit is Unit.TIME else name
        assert f"`{written}`" in text


@pytest.mark.parametrize(
    ("word", "about"),
    [
        ("head_timout=1s", "head_timeout"),
        ("head_timeout", "NAME=VALUE"),
        ("head_timeout=soon", "a time"),
        ("max_waiters=many", "a number"),
        ("max_waiters=0", "between"),
        ("max_held_bytes=big", "a size"),
        ("resolvers=::1", "NAME=VALUE"),
    ],
)
def test_a_limit_that_cannot_be_is_refused(word: str, about: str) -> None:
    """An unknown name, a value in another unit or out of bounds: the error says what is meant."""
    with pytest.raises(InvalidError) as caught:
        parsed("--limit", word)
    assert about in f"{caught.value} {caught.value.hint}"
