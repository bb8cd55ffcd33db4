"""Secrets are sealed, listed without values, and opened only where they were set."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.control.sealing import digest, seal, unseal
from roost.control.service import Control
from roost.errors import InvalidError, NotFoundError, UnavailableError
from roost.model.records import Secret
from roost.store.base import Put
from tests.support.control_bench import Bench, with_bench

KEY = bytes(range(32))


def test_set_overwrite_remove(tmp_path: Path) -> None:
    """Values come back as set; versions grow; null removes; removing the missing is fine."""

    async def body(bench: Bench) -> None:
        secrets = bench.control.secrets
        await bench.control.apps.create("web")
        assert await secrets.update("web", {"A": "1", "B": "ü\n"}) == 1
        assert await secrets.update("web", {"A": "2", "B": None, "C": None}) == 2
        assert secrets.reveal("web") == {"A": "2"}
        assert [(s.name, s.version) for s in secrets.list("web")] == [("A", 2)]

    with_bench(tmp_path, body)


def test_nothing_readable_is_stored(tmp_path: Path) -> None:
    """Neither the value nor a plain hash of it is in the record."""

    async def body(bench: Bench) -> None:
        await bench.control.apps.create("web")
        await bench.control.secrets.update("web", {"A": "hunter2"})
        text = bench.control.secrets.list("web")[0].model_dump_json()
        assert "hunter2" not in text

    with_bench(tmp_path, body)


def test_equal_values_look_different(tmp_path: Path) -> None:
    """Two names with one value differ in digest and ciphertext."""

    async def body(bench: Bench) -> None:
        await bench.control.apps.create("web")
        await bench.control.secrets.update("web", {"A": "same", "B": "same"})
        one, two = bench.control.secrets.list("web")
        assert one.digest != two.digest
        assert one.sealed != two.sealed

    with_bench(tmp_path, body)


def test_a_sealed_value_cannot_be_moved(tmp_path: Path) -> None:
    """A record copied under another name does not open."""

    async def body(bench: Bench) -> None:
        await bench.control.apps.create("web")
        await bench.control.secrets.update("web", {"A": "1"})
        stolen = bench.control.secrets.list("web")[0].model_copy(update={"name": "B"})
        await bench.store.commit(Put(stolen))
        with pytest.raises(UnavailableError, match="secret B"):
            bench.control.secrets.reveal("web")

    with_bench(tmp_path, body)


def test_another_key_opens_nothing(tmp_path: Path) -> None:
    """With a foreign key file the error names the secret and says what to do."""

    async def body(bench: Bench) -> None:
        await bench.control.apps.create("web")
        await bench.control.secrets.update("web", {"A": "1"})
        bench.home.secret_key.write_bytes(os.urandom(32))
        with pytest.raises(UnavailableError, match="cannot be opened"):
            Control(bench.control.context).secrets.reveal("web")

    with_bench(tmp_path, body)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("1A", "x", "is not valid"),
        ("A-B", "x", "is not valid"),
        ("", "x", "is not valid"),
        ("FLY_REGION", "x", "is reserved"),
        ("A", "x\0", "is not possible"),
        ("A", "x" * 65_537, "is not possible"),
    ],
)
def test_refused_secrets_set_nothing(tmp_path: Path, name: str, value: str, sentence: str) -> None:
    """One bad entry leaves out all of them."""

    async def body(bench: Bench) -> None:
        await bench.control.apps.create("web")
        with pytest.raises(InvalidError, match=sentence):
            await bench.control.secrets.update("web", {"GOOD": "1", name: value})
        assert bench.store.count(Secret) == 0

    with_bench(tmp_path, body)


def test_their_number_is_bounded(tmp_path: Path) -> None:
    """At most 500 for an app."""

    async def body(bench: Bench) -> None:
        await bench.control.apps.create("web")
        await bench.control.secrets.update("web", {f"A{n}": "x" for n in range(500)})
        with pytest.raises(InvalidError, match="more than 500"):
            await bench.control.secrets.update("web", {"B": "x"})
        await bench.control.secrets.update("web", {"A1": "y"})

    with_bench(tmp_path, body)


def test_an_unknown_app(tmp_path: Path) -> None:
    """Its secrets can be neither set nor seen."""

    async def body(bench: Bench) -> None:
        with pytest.raises(NotFoundError):
            await bench.control.secrets.update("none", {"A": "1"})
        with pytest.raises(NotFoundError):
            bench.control.secrets.reveal("none")

    with_bench(tmp_path, body)


@given(value=st.text(), nonce=st.binary(min_size=12, max_size=12))
def test_sealing_round_trips(value: str, nonce: bytes) -> None:
    """Any text opens again, and only in its place."""
    value = value.encode(errors="ignore").decode()
    sealed = seal(KEY, "web", "A", 1, value=value, nonce=nonce)
    assert unseal(KEY, "web", "A", 1, sealed) == value
    for app, name, version in (("x", "A", 1), ("web", "B", 1), ("web", "A", 2)):
        with pytest.raises(UnavailableError):
            unseal(KEY, app, name, version, sealed)


def test_a_digest_depends_on_the_key() -> None:
    """Without the key nobody can compute it."""
    assert digest(KEY, "web", "A", "v") == digest(KEY, "web", "A", "v")
    assert digest(KEY, "web", "A", "v") != digest(bytes(32), "web", "A", "v")


@pytest.mark.parametrize("text", ["", "AA==", "not base64!"])
def test_damaged_ciphertext(text: str) -> None:
    """It gives the sentence, not a traceback."""
    with pytest.raises(UnavailableError, match="cannot be opened"):
        unseal(KEY, "web", "A", 1, text)
