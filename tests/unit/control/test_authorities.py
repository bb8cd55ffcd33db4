"""Each organization has a private CA of its own, whose keys never show."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from roost.control.acting import Actor, acting_as
from roost.control.authorities import MAX_ROOTS, SUCCEED_MS
from roost.errors import InvalidError, NotFoundError, PreconditionError, UnavailableError
from roost.model.access import AuditEntry
from roost.model.certificates import Authority
from roost.model.records import Org
from roost.pki import pem
from roost.pki.root import DAY_MS
from roost.store.base import Put
from tests.support.control_bench import Bench, with_bench


def test_a_root_is_made_when_it_is_first_needed(tmp_path: Path) -> None:
    """Once, however many ask at the same time; each organization has its own."""

    async def body(bench: Bench) -> None:
        authorities = bench.control.authorities
        assert list(authorities.trusted("personal")) == []
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(authorities.ensure("personal")) for _ in range(5)]
        assert {one.fingerprint for task in asking for one in task.result()} == {
            authorities.trusted("personal")[0].fingerprint
        }
        await bench.control.orgs.create("Acme")
        theirs = await authorities.ensure("acme")
        assert theirs[0].fingerprint != authorities.trusted("personal")[0].fingerprint
        with pytest.raises(NotFoundError):
            await authorities.ensure("nobody")

    with_bench(tmp_path, body)


def test_an_organization_that_is_being_deleted_gets_no_root(tmp_path: Path) -> None:
    """It would be there for the next organization of that slug."""

    async def body(bench: Bench) -> None:
        await bench.control.orgs.create("Acme")
        org = bench.store.get(Org, "acme")
        assert org is not None
        await bench.store.commit(Put(org.record.model_copy(update={"closed": True})))
        with pytest.raises(PreconditionError, match="is being deleted"):
            await bench.control.authorities.ensure("acme")
        assert bench.store.count(Authority) == 0

    with_bench(tmp_path, body)


def test_keys_are_sealed_where_they_are(tmp_path: Path) -> None:
    """No record shows one, and one that was moved to another organization does not open."""

    async def body(bench: Bench) -> None:
        authorities = bench.control.authorities
        mine = (await authorities.ensure("personal"))[0]
        assert "PRIVATE KEY" not in mine.model_dump_json()
        await bench.control.orgs.create("Acme")
        await bench.store.commit(Put(mine.model_copy(update={"org": "acme"})))
        with pytest.raises(UnavailableError, match="cannot be opened"):
            await authorities.signer("acme")

    with_bench(tmp_path, body)


def test_after_a_rotation_both_are_trusted_and_the_new_one_signs(tmp_path: Path) -> None:
    """Until the older one is removed; the one that signs cannot be."""

    async def body(bench: Bench) -> None:
        authorities = bench.control.authorities
        old = (await authorities.ensure("personal"))[0]
        new = await authorities.rotate("personal")
        assert [one.fingerprint for one in authorities.trusted("personal")] == [
            new.fingerprint,
            old.fingerprint,
        ]
        signer = await authorities.signer("personal")
        assert (signer.fingerprint, len(signer.crosses)) == (new.fingerprint, 1)
        with pytest.raises(PreconditionError, match="is the one that signs"):
            await authorities.remove("personal", new.fingerprint)
        with pytest.raises(InvalidError):
            await authorities.remove("personal", old.fingerprint[:7])
        with pytest.raises(NotFoundError):
            await authorities.remove("personal", "0" * 64)
        await authorities.remove("personal", old.fingerprint[:8].upper())
        assert list(authorities.trusted("personal")) == [new]
        assert (await authorities.signer("personal")).crosses == ()

    with_bench(tmp_path, body)


def test_a_root_that_has_not_begun_breaks_no_chain(tmp_path: Path) -> None:
    """One that was made while the clock was ahead is not trusted yet; who trusts only the root of
    before believes the next one, then and when the other has begun.
    """

    async def body(bench: Bench) -> None:
        authorities, now = bench.control.authorities, bench.clock.ms
        first = (await authorities.ensure("personal"))[0]
        bench.clock.ms = now + 30 * DAY_MS
        early = await authorities.rotate("personal")
        bench.clock.ms = now
        assert list(authorities.trusted("personal")) == [first]
        last = await authorities.rotate("personal")
        assert list(authorities.trusted("personal")) == [last, first]
        for moment in (now, now + 30 * DAY_MS):
            bench.clock.ms = moment
            signer = await authorities.signer("personal")
            assert signer.fingerprint == last.fingerprint
            (cross,) = signer.crosses
            cross.verify_directly_issued_by(pem.load_chain(first.certificate)[0])
        assert list(authorities.trusted("personal")) == [last, early, first]

    with_bench(tmp_path, body)


def test_there_are_only_so_many_roots(tmp_path: Path) -> None:
    """Each is in the trust store of every Machine."""

    async def body(bench: Bench) -> None:
        for _ in range(MAX_ROOTS):
            await bench.control.authorities.rotate("personal")
        signer = await bench.control.authorities.signer("personal")
        assert len(signer.crosses) == MAX_ROOTS - 1
        with pytest.raises(PreconditionError, match="has 4 roots already"):
            await bench.control.authorities.rotate("personal")

    with_bench(tmp_path, body)


def test_a_root_is_succeeded_before_it_ends_and_dropped_after(tmp_path: Path) -> None:
    """Without anybody's doing, and the audit log says so."""

    async def body(bench: Bench) -> None:
        authorities, upkeep = bench.control.authorities, bench.control.certificate_upkeep
        first = (await authorities.ensure("personal"))[0]
        await upkeep.sweep()
        assert list(authorities.trusted("personal")) == [first]
        bench.clock.ms = first.not_after - SUCCEED_MS
        await upkeep.sweep()
        await upkeep.sweep()
        assert len(authorities.trusted("personal")) == 2
        bench.clock.ms = first.not_after
        await upkeep.sweep()
        assert bench.store.get(Authority, first.key) is None
        assert len(authorities.trusted("personal")) == 1
        newest = next(iter(bench.store.scan(AuditEntry))).record
        assert (newest.actor, newest.org) == ("roost", "personal")

    with_bench(tmp_path, body)


def test_a_ca_ends_with_its_organization(tmp_path: Path) -> None:
    """A later organization of the same slug is not trusted by who trusted the earlier one."""

    async def body(bench: Bench) -> None:
        await bench.control.orgs.create("Acme")
        first = (await bench.control.authorities.ensure("acme"))[0]
        await bench.control.org_ending.delete("acme", actor="test")
        assert bench.store.get(Authority, first.key) is None
        with pytest.raises(NotFoundError):
            await bench.control.authorities.ensure("acme")
        await bench.control.orgs.create("Acme")
        second = (await bench.control.authorities.ensure("acme"))[0]
        assert second.fingerprint != first.fingerprint

    with_bench(tmp_path, body)


def test_what_is_done_to_a_ca_is_in_the_audit_log(tmp_path: Path) -> None:
    """A rotation and a removal, with who did it."""

    async def body(bench: Bench) -> None:
        old = (await bench.control.authorities.ensure("personal"))[0]
        with acting_as(Actor(name="ann", org="personal", action="x")):
            new = await bench.control.authorities.rotate("personal")
            await bench.control.authorities.remove("personal", old.fingerprint)
        told = [s.record for s in bench.store.scan(AuditEntry)]
        assert [(one.actor, one.org, one.changes) for one in told[:2]] == [
            ("ann", "personal", (f"delete authority personal/{old.fingerprint}",)),
            ("ann", "personal", (f"create authority personal/{new.fingerprint}",)),
        ]

    with_bench(tmp_path, body)
