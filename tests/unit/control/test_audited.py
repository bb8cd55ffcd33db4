"""The audit log: in the commit of the change or not at all, bounded, without values."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from roost.control import audited as audited_module
from roost.control.acting import Actor, acting, acting_as, roost_itself
from roost.control.audited import AuditedStore
from roost.errors import ConflictError
from roost.model.access import AuditEntry
from roost.model.records import Address, App, Org
from roost.store.base import Change, Delete, Put
from roost.store.memory import MemoryStore
from tests.support.control_bench import START_MS, Bench, FakeClock, with_bench

ANN = Actor(name="ann", token="t1", org="acme", action="POST /x", source="192.0.2.1")


def org(slug: str) -> Org:
    return Org(slug=slug, name=slug, created_at=0)


def app(name: str, owner: str = "acme", **more: object) -> App:
    fields = {"id": name, "name": name, "org": owner, "network": "default", "network_id": 1}
    return App.model_validate({**fields, "number": 1, "created_at": 0, **more})


def entries(store: MemoryStore | AuditedStore) -> list[AuditEntry]:
    """All, newest first."""
    return [stored.record for stored in store.scan(AuditEntry)]


def told(store: MemoryStore | AuditedStore) -> list[tuple[str, ...]]:
    return [entry.changes for entry in entries(store)]


def run(body: object) -> None:
    asyncio.run(body)  # type: ignore[arg-type]


def test_an_entry_comes_with_its_change() -> None:
    """One commit writes the records and who did it, when, from where, to whose thing."""

    async def body() -> None:
        store = MemoryStore()
        audited = AuditedStore(store, FakeClock())
        with acting_as(ANN):
            assert await audited.commit(Put(app("web"), expect=0)) == 1
        [entry] = entries(store)
        assert entry.model_dump(exclude={"number", "slot"}) == {
            "at": START_MS,
            "actor": "ann",
            "token": "t1",
            "actor_org": "acme",
            "action": "POST /x",
            "source": "192.0.2.1",
            "org": "acme",
            "app": "web",
            "changes": ("create app web",),
        }
        stored = store.get(AuditEntry, entry.key)
        assert stored is not None
        assert stored.revision == 1

    run(body())


def test_a_failed_commit_leaves_none() -> None:
    """Neither change nor entry is there when what was expected does not hold."""

    async def body() -> None:
        store = MemoryStore()
        audited = AuditedStore(store, FakeClock())
        with acting_as(ANN):
            await audited.commit(Put(org("acme"), expect=0))
            with pytest.raises(ConflictError):
                await audited.commit(Put(app("web")), Put(org("acme"), expect=0))
        assert told(store) == [("create org acme",)]
        assert store.get(App, "web") is None

    run(body())


def test_who_acts_is_known_by_task() -> None:
    """Callers at the same time keep their own names; so does what their tasks start, also after
    they are gone; where nobody acts nothing is written down.
    """

    async def body() -> None:
        store = MemoryStore()
        audited = AuditedStore(store, FakeClock())
        gate = asyncio.Event()

        async def later(name: str) -> None:
            await gate.wait()
            await audited.commit(Put(app(f"{name}-later")))

        async with asyncio.TaskGroup() as outer:

            async def call(name: str) -> None:
                with acting_as(Actor(name=name, action="x")):
                    outer.create_task(later(name))
                    for number in range(5):
                        await audited.commit(Put(app(f"{name}-{number}")))
                assert acting() is None
                gate.set()

            for name in ("ann", "ben", "eve"):
                outer.create_task(call(name))
        await audited.commit(Put(app("by-nobody")))
        found = entries(store)
        assert len(found) == 18
        assert all(f"create app {entry.actor}-" in entry.changes[0] for entry in found)

    run(body())


def test_roost_itself_is_an_actor() -> None:
    """What Roost does by itself is told as its doing."""

    async def body() -> None:
        audited = AuditedStore(MemoryStore(), FakeClock())
        with acting_as(roost_itself("a grant ended")):
            await audited.commit(Put(org("acme")))
        [entry] = entries(audited)
        assert (entry.actor, entry.token, entry.action) == ("roost", "", "a grant ended")

    run(body())


def test_what_is_no_change_is_not_told(tmp_path: Path) -> None:
    """Numbers, leases and records written as they were leave no entry."""

    async def body(bench: Bench) -> None:
        machine = await bench.machine()
        stored = bench.store.get(App, "web")
        assert stored is not None
        with acting_as(ANN):
            lease = await bench.control.machines.lease("web", machine.id, ttl=30)
            await bench.control.machines.lease("web", machine.id, ttl=30, nonce=lease.nonce)
            await bench.control.machines.release_lease("web", machine.id, lease.nonce)
            await bench.control.context.store.commit(Put(stored.record), Delete(App, "nope"))
            await bench.control.context.store.commit()
            assert entries(bench.store) == []
            await bench.control.machines.cordon("web", machine.id, True)
        assert told(bench.store) == [(f"change machine {machine.id}",)]

    with_bench(tmp_path, body)


def test_values_are_never_told(tmp_path: Path) -> None:
    """Of secrets, variables, files and tokens the log has names at most."""

    async def body(bench: Bench) -> None:
        with acting_as(ANN):
            await bench.machine(env={"KEY": "s3cret"})
            await bench.control.secrets.update("web", {"PASSWORD": "s3cret"})
        text = "".join(entry.model_dump_json() for entry in entries(bench.store))
        assert "web/PASSWORD" in text
        assert "s3cret" not in text

    with_bench(tmp_path, body)


def test_an_entry_is_small() -> None:
    """Of many changes the first are named and the rest counted; long texts are cut."""

    async def body() -> None:
        audited = AuditedStore(MemoryStore(), FakeClock())
        with acting_as(Actor(name="ann", action="x" * 10_000, source="y" * 10_000)):
            await audited.commit(*(Put(app(f"{n:03d}-{'z' * 1000}")) for n in range(100)))
        [entry] = entries(audited)
        assert entry.changes[-1] == "and 80 more"
        assert len(entry.changes) == 21
        assert len(entry.model_dump_json()) < 6000

    run(body())


def test_each_organization_reads_its_own(tmp_path: Path) -> None:
    """A change to two organizations' things is told to both: to each what is its own, and who
    acted only to the one that they belong to, and to operators.
    """
    address = Address(
        ip="fdaa:0:2:0:1::1", app="web", org="other", network="default", network_id=2, created_at=0
    )

    async def body(bench: Bench) -> None:
        store, audit = bench.control.context.store, bench.control.audit
        await store.commit(Put(org("acme")), Put(org("other")), Put(app("web")))
        with acting_as(ANN):
            await store.commit(Put(app("own")), Put(address))
        [mine], [theirs] = audit.of_org(org("acme")), audit.of_org(org("other"))
        assert mine.changes == ("create app own", f"create address {address.ip}")
        assert (mine.actor, mine.action, mine.source) == ("ann", "POST /x", "192.0.2.1")
        assert theirs.changes == (f"create address {address.ip}",)
        assert (theirs.actor, theirs.token, theirs.action, theirs.source) == (
            "organization acme",
            "",
            "",
            "",
        )
        assert {entry.actor for entry in audit.of_all()} == {"ann"}

    with_bench(tmp_path, body)


def test_an_organizations_log_is_its_own(tmp_path: Path) -> None:
    """Whoever makes an organization under a used name does not read the earlier one's log."""

    async def body(bench: Bench) -> None:
        store = bench.control.context.store
        with acting_as(ANN):
            await store.commit(Put(app("web")))
        later = Org(slug="acme", name="Acme", created_at=START_MS + 1)
        assert bench.control.audit.of_org(later) == []
        assert len(bench.control.audit.of_org(org("acme"))) == 1

    with_bench(tmp_path, body)


def test_pages_newest_first(tmp_path: Path) -> None:
    """The newest come first; a cursor gives what is older; an app's are told apart, also by who
    owns an app of that name.
    """

    async def body(bench: Bench) -> None:
        store, audit = bench.control.context.store, bench.control.audit
        with acting_as(ANN):
            for number in range(5):
                await store.commit(Put(app(f"a{number}")))
            await store.commit(Delete(App, "a1"))
            await store.commit(Put(app("a1", "other")))
        first = audit.of_org(org("acme"), limit=2)
        assert [entry.changes[0] for entry in first] == ["delete app a1", "create app a4"]
        rest = audit.of_org(org("acme"), limit=10, before=first[-1].key)
        assert [entry.app for entry in rest] == ["a3", "a2", "a1", "a0"]
        assert [e.changes[0] for e in audit.of_org(org("acme"), app="a1")] == [
            "delete app a1",
            "create app a1",
        ]
        assert len(audit.of_org(org("other"), app="a1")) == 1
        assert len(audit.of_all(app="a1")) == 3
        assert len(audit.of_all(limit=3)) == 3

    with_bench(tmp_path, body)


def test_the_log_of_an_organization_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its oldest entry makes place for a new one, also after a restart and after commits that
    failed; what another organization did stays, however much this one does.
    """
    monkeypatch.setattr(audited_module, "MAX_ENTRIES", 10)

    async def body() -> None:
        store = MemoryStore()
        audited = AuditedStore(store, FakeClock())
        with acting_as(ANN):
            await audited.commit(Put(app("quiet", org="other")))
        for number in range(45):
            if number % 9 == 0:
                audited = AuditedStore(store, FakeClock())
            with acting_as(ANN):
                await audited.commit(Put(app(f"web-{number}")))
                if number % 4 == 0:
                    with pytest.raises(ConflictError):
                        await audited.commit(Put(app("web"), expect=999))
            newest, *_ = entries(store)
            assert newest.changes == (f"create app web-{number}",)
            assert store.count(AuditEntry, "org", "acme") <= 10
        assert store.count(AuditEntry, "org", "acme") == 10
        assert store.count(AuditEntry, "org", "other") == 1
        numbers = [entry.number for entry in entries(store)]
        assert numbers == sorted(numbers, reverse=True)

    run(body())


def test_other_errors_of_the_store_pass() -> None:
    """What is read through it is what the store has; its watch sees entries and changes alike."""

    async def body() -> None:
        store = MemoryStore()
        audited = AuditedStore(store, FakeClock())
        with acting_as(ANN):
            await audited.commit(Put(app("web")))
        seen: list[Change] = []
        async for commit in audited.watch(0):
            seen.extend(commit.changes)
            break
        assert [type(change) for change in seen] == [Put, Put]
        assert audited.revision() == store.revision() == 1
        assert audited.get(App, "web") == store.get(App, "web")
        assert audited.find(App, "org", "acme") == store.find(App, "org", "acme")
        assert audited.count(App) == 1
        await audited.close()

    run(body())
