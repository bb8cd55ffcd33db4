"""The first start makes what every Roost has, once."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from roost.control.key_file import ensure_key, read_key
from roost.control.service import Control
from roost.errors import UnavailableError
from roost.model.access import Token
from roost.store.base import Delete
from tests.support.control_bench import Bench, CountedRandom, make_bench, with_bench


def test_it_makes_org_network_key_and_token(tmp_path: Path) -> None:
    """After it there are the personal organization, its default network (1), key and token."""

    async def body(bench: Bench) -> None:
        assert [org.slug for org in bench.control.orgs.list()] == ["personal"]
        assert [(n.id, n.name) for n in bench.control.networks.list()] == [(1, "default")]
        text = bench.home.token.read_text().strip()
        assert len(text) == len("roost_") + 43
        token = bench.control.tokens.check(text)
        assert token is not None
        assert token.name == "admin"
        for path in (bench.home.token, bench.home.secret_key):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600

    with_bench(tmp_path, body)


def test_the_token_is_stored_as_a_hash_only(tmp_path: Path) -> None:
    """The text itself is in no record."""

    async def body(bench: Bench) -> None:
        text = bench.home.token.read_text().strip()
        for stored in bench.store.scan(Token):
            assert text not in stored.record.model_dump_json()

    with_bench(tmp_path, body)


def test_again_it_changes_nothing(tmp_path: Path) -> None:
    """A later start keeps token, key and network, and returns no text."""

    async def body(bench: Bench) -> None:
        before = (bench.home.token.read_text(), bench.home.secret_key.read_bytes())
        assert await Control(bench.control.context).first_start() is None
        assert (bench.home.token.read_text(), bench.home.secret_key.read_bytes()) == before
        assert len(bench.control.networks.list()) == 1

    with_bench(tmp_path, body)


def test_a_crash_before_the_token_was_kept_is_repaired(tmp_path: Path) -> None:
    """When the file exists but the record does not, a new token is made and is valid."""

    async def body(bench: Bench) -> None:
        for stored in list(bench.store.scan(Token)):
            await bench.store.commit(Delete(Token, stored.record.id))
        text = await bench.control.first_start()
        assert text is not None
        assert bench.home.token.read_text().strip() == text
        assert bench.control.tokens.check(text) is not None

    with_bench(tmp_path, body)


def test_tokens_that_are_not_valid(tmp_path: Path) -> None:
    """A wrong text, an empty one, a very long one and an expired one are refused."""

    async def body(bench: Bench) -> None:
        tokens = bench.control.tokens
        text = tokens.make_text()
        assert tokens.check(text) is None
        await tokens.keep("short", text, expires_at=bench.clock.ms + 1000)
        assert tokens.check(text) is not None
        bench.clock.forward(1)
        assert tokens.check(text) is None
        assert tokens.check("") is None
        assert tokens.check("roost_" + "x" * 10_000) is None

    with_bench(tmp_path, body)


def test_a_damaged_key_is_refused(tmp_path: Path) -> None:
    """A key file of another length gives a sentence instead of a new key."""
    path = tmp_path / "secret.key"
    path.write_bytes(b"short")
    with pytest.raises(UnavailableError, match="5 bytes instead of 32"):
        ensure_key(path, CountedRandom())
    assert path.read_bytes() == b"short"
    with pytest.raises(UnavailableError, match="cannot be read"):
        read_key(tmp_path / "missing")


def test_a_home_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A file where the folder should be gives a sentence."""
    (tmp_path / "home").write_text("in the way")

    with pytest.raises(UnavailableError, match="cannot"):
        asyncio.run(make_bench(tmp_path / "home"))
