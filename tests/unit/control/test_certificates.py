"""A certificate that a user brings makes the host name its app's."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest

from roost.control.acting import Actor, acting_as
from roost.control.certificates import MAX_CERTIFICATES, SOON_MS
from roost.control.public_pool import parse_pool
from roost.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    PreconditionError,
    UnavailableError,
)
from roost.model.access import AuditEntry
from roost.model.certificates import Certificate
from roost.model.records import App
from roost.store.base import Put
from tests.support.certificates import DAY, Made, make
from tests.support.control_bench import START_MS, Bench, make_bench, with_bench

BEGINS = datetime.fromtimestamp(START_MS / 1000, UTC) - DAY
NAME = "www.example.com"


async def put(bench: Bench, app: str, name: str, made: Made | None = None) -> Certificate:
    brought = made or make(name, begins=BEGINS)
    return await bench.control.certificates.put(app, name, brought.text, brought.key_text)


def test_a_certificate_is_kept_sealed_and_replaced_in_place(tmp_path: Path) -> None:
    """A renewed one takes the place of the older one; the audit log names both, no key anywhere."""

    async def body(bench: Bench) -> None:
        certificates = bench.control.certificates
        await bench.control.apps.create("web")
        with acting_as(Actor(name="ann", action="x")):
            first = await put(bench, "web", "WWW.example.com")
            bench.clock.forward(60)
            renewed = make(NAME, begins=BEGINS, days=200)
            second = await put(bench, "web", NAME, renewed)
            assert certificates.list("web") == [second]
            # The proxy learns an app's names with the app.
            app, kept = bench.store.get(App, "web"), bench.store.get(Certificate, NAME)
            assert app is not None
            assert kept is not None
            assert app.revision == kept.revision
            assert (second.created_at, first.hostname) == (first.created_at, NAME)
            assert certificates.key_of(second) == renewed.key_text
            with pytest.raises(UnavailableError, match="cannot be opened"):
                certificates.key_of(second.model_copy(update={"hostname": "api.example.com"}))
            assert "PRIVATE KEY" not in second.model_dump_json()
            await certificates.remove("web", NAME)
        assert certificates.list("web") == []
        told = [s.record.changes for s in bench.store.scan(AuditEntry)]
        assert told == [(f"{verb} certificate {NAME}",) for verb in ("delete", "change", "create")]

    with_bench(tmp_path, body)


def test_names_are_first_come_first_served(tmp_path: Path) -> None:
    """Another app cannot have a name that is taken, nor one below another organization's wildcard,
    until it is free; who is refused does not learn whose it is.
    """

    async def body(bench: Bench) -> None:
        await bench.control.orgs.create("Acme")
        await bench.control.apps.create("web")
        await bench.control.apps.create("mine")
        await bench.control.apps.create("theirs", org="acme")
        await put(bench, "web", NAME)
        await put(bench, "web", "*.example.com")
        await put(bench, "mine", "api.example.com")
        for app, name in (("theirs", NAME), ("mine", NAME), ("theirs", "x.example.com")):
            with pytest.raises(ConflictError, match="taken by another app") as caught:
                await put(bench, app, name)
            assert "web" not in str(caught.value)
        with pytest.raises(NotFoundError):
            await bench.control.certificates.remove("theirs", NAME)
        await bench.control.certificates.remove("web", "*.example.com")
        await bench.control.apps.destroy("web")
        assert (await put(bench, "theirs", NAME)).app == "theirs"

    with_bench(tmp_path, body)


def test_names_of_the_platform_are_the_apps_own(tmp_path: Path) -> None:
    """Below `.flycast` and the public domain only the name of the app itself can be brought."""

    async def main() -> None:
        bench = await make_bench(tmp_path, public=parse_pool(["192.0.2.0/29"], "apps.example"))
        await bench.control.apps.create("web")
        for name in ("web.flycast", "web.apps.example"):
            await put(bench, "web", name)
        for name in ("api.flycast", "a.web.flycast", "web.internal", "*.apps.example"):
            with pytest.raises(InvalidError, match="is not a name that app 'web' can have"):
                await put(bench, "web", name)
        with pytest.raises(InvalidError, match="can have"):
            await put(bench, "web", "apps.example")
        await bench.store.close()

    asyncio.run(main())


def test_an_app_has_only_so_many(tmp_path: Path) -> None:
    """All of them are in the proxy's memory; replacing one is no more."""

    async def body(bench: Bench) -> None:
        await bench.control.apps.create("web")
        one = await put(bench, "web", NAME)
        more = [
            Put(one.model_copy(update={"hostname": f"w{n}.example.com"}))
            for n in range(MAX_CERTIFICATES - 1)
        ]
        await bench.store.commit(*more)
        with pytest.raises(PreconditionError, match="has 50 certificates already"):
            await put(bench, "web", "api.example.com")
        await put(bench, "web", NAME)

    with_bench(tmp_path, body)


def test_its_owner_is_told_before_it_ends(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Thirty days before, once a day, in the app's log and in Roost's."""

    async def body(bench: Bench) -> None:
        await bench.control.apps.create("web")
        record = await put(bench, "web", NAME)
        sweep, warnings = (
            bench.control.certificate_upkeep.sweep,
            bench.control.certificates.warnings,
        )

        def told() -> int:
            return caplog.text.count(f"certificate for {NAME}: it ")

        with caplog.at_level(logging.WARNING):
            await sweep()
            assert (told(), warnings(record)) == (0, ())
            bench.clock.ms = record.not_after - SOON_MS + 1
            await sweep()
            await sweep()
            assert told() == 1
            assert warnings(record) == ("it expires in 29 days: add a renewed one",)
            bench.clock.ms = record.not_after
            await sweep()
            assert told() == 2
            assert warnings(record) == ("it has expired: add a renewed one",)
        log = (tmp_path / "logs/web/platform.jsonl").read_text()
        assert "it has expired" in log
        await put(bench, "web", NAME, make(NAME, begins=BEGINS, days=400))
        assert warnings(bench.control.certificates.get("web", NAME)) == ()

    with_bench(tmp_path, body)


def test_what_was_odd_about_it_stays_with_it(tmp_path: Path) -> None:
    """The remarks of the check are shown later too."""

    async def body(bench: Bench) -> None:
        await bench.control.apps.create("web")
        root = make(begins=BEGINS, ca=True, subject="root")
        await put(bench, "web", NAME, make(NAME, by=root, begins=BEGINS))
        record = bench.control.certificates.get("web", NAME)
        assert "add the intermediate certificates" in bench.control.certificates.warnings(record)[0]

    with_bench(tmp_path, body)
