"""Certificates are issued for what an app is called by, to who may call it, when asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from cryptography import x509

from roost.control.address_request import AddressRequest
from roost.control.authorities import Signer
from roost.control.issuing import Issuing
from roost.control.public_pool import parse_pool
from roost.control.sealer import Sealer
from roost.errors import NotFoundError, PreconditionError, UnavailableError
from roost.model.certificates import Authority, IssuedCertificate
from roost.model.records import AddressType, Org
from roost.pki import pem
from roost.pki.root import DAY_MS
from roost.store.base import Put
from tests.support.control_bench import Bench, make_bench, with_bench
from tests.support.lagging_store import LaggingStore

TLS = {
    "services": [
        {"internal_port": 8080, "ports": [{"port": 443, "handlers": ["tls", "http"]}]},
    ]
}
PLAIN = {"services": [{"internal_port": 8080, "ports": [{"port": 80, "handlers": ["http"]}]}]}


async def web(bench: Bench, **config: object) -> str:
    """The app `web` with an address on its own network, and what it is called by there."""
    await bench.machine("web", **(config or TLS))
    return (await bench.control.addresses.allocate("web")).ip


def issued(bench: Bench) -> list[IssuedCertificate]:
    return [stored.record for stored in bench.store.scan(IssuedCertificate)]


def named(bench: Bench, audience: str) -> list[tuple[str, ...]]:
    return [record.names for record in issued(bench) if record.audience == audience]


async def until(bench: Bench, check: Callable[[], bool]) -> None:
    """Wait for commits until something is so."""
    if not check():
        async for _ in bench.store.watch(bench.store.revision()):
            if check():
                break


def test_an_app_is_certified_under_its_names_on_the_callers_networks(tmp_path: Path) -> None:
    """Its Flycast name and its addresses there, and no others."""

    async def body(bench: Bench) -> None:
        await bench.control.orgs.create("Acme")
        await bench.control.networks.ensure("acme", "default")
        mine = await web(bench)
        theirs = await bench.control.addresses.allocate("web", AddressRequest(org="acme"))
        desk = bench.control.certificate_desk
        own = await desk.issue("web", "personal")
        assert own.names == ("web.flycast", mine)
        shared = await desk.issue("web", "acme")
        assert shared.names == ("web.flycast", theirs.ip)
        roots = {org: (await desk.roots(org))[0] for org in ("personal", "acme")}
        for record in (own, shared):
            leaf = pem.load_chain(record.chain)[0]
            leaf.verify_directly_issued_by(pem.load_chain(roots[record.audience])[0])
            names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            assert names.get_values_for_type(x509.DNSName) == ["web.flycast"]
            assert "PRIVATE KEY" not in record.model_dump_json()
            assert desk.key_of(record).startswith("-----BEGIN PRIVATE KEY-----")

    with_bench(tmp_path, body)


def test_who_cannot_call_with_tls_gets_nothing(tmp_path: Path) -> None:
    """No app, no tls port, no address there, no such organization: each is refused with why, and
    nothing is made, not even a root.
    """

    async def body(bench: Bench) -> None:
        desk = bench.control.certificate_desk
        await bench.control.orgs.create("Acme")
        with pytest.raises(NotFoundError):
            await desk.issue("web", "personal")
        await web(bench, **PLAIN)
        with pytest.raises(PreconditionError, match="no port with the tls handler"):
            await desk.issue("web", "personal")
        await bench.machine("web", **TLS)
        for audience in ("acme", "nobody"):
            with pytest.raises(PreconditionError, match="no address on a network"):
                await desk.issue("web", audience)
        assert issued(bench) == []
        assert bench.store.count(Authority) == 0

    with_bench(tmp_path, body)


def test_one_is_kept_until_two_thirds_of_its_life(tmp_path: Path) -> None:
    """Asked again it is the same, also in a later process; then it is replaced, key and all."""

    async def body(bench: Bench) -> None:
        await web(bench)
        first = await bench.control.certificate_desk.issue("web", "personal")
        key = bench.control.certificate_desk.key_of(first)
        later = await make_bench(tmp_path, bench.store)
        assert await later.control.certificate_desk.issue("web", "personal") == first
        assert later.control.certificate_desk.key_of(first) == key
        bench.clock.ms = first.renew_at
        second = await bench.control.certificate_desk.issue("web", "personal")
        assert second.not_after > first.not_after
        assert issued(bench) == [second]
        assert bench.control.certificate_desk.key_of(second) != key
        bench.clock.ms = second.not_after
        await bench.control.certificate_upkeep.sweep()
        assert issued(bench) == []

    with_bench(tmp_path, body)


@pytest.mark.parametrize("rooted", [False, True])
def test_what_was_made_while_the_clock_was_ahead_is_made_anew(tmp_path: Path, rooted: bool) -> None:
    """Nobody believes what has not begun: once the clock is right there is another certificate, and
    another root if that was made then; the app need not wait for the time to come.
    """

    async def body(bench: Bench) -> None:
        await web(bench)
        desk, now = bench.control.certificate_desk, bench.clock.ms
        if rooted:
            await desk.roots("personal")
        bench.clock.ms = now + 30 * DAY_MS
        early = await desk.issue("web", "personal")
        bench.clock.ms = now
        late = await desk.issue("web", "personal")
        assert late.not_before <= now < late.renew_at < early.not_before
        assert (late.issuer == early.issuer) == rooted
        (root,) = await desk.roots("personal")
        begins = pem.load_chain(root)[0].not_valid_before_utc
        assert pem.milliseconds(begins) <= now
        pem.load_chain(late.chain)[0].verify_directly_issued_by(pem.load_chain(root)[0])
        assert issued(bench) == [late]

    with_bench(tmp_path, body)


def test_many_who_ask_at_once_get_the_same(tmp_path: Path) -> None:
    """Compare-and-set: the first to be written counts."""

    async def body(bench: Bench) -> None:
        await web(bench)
        desk = bench.control.certificate_desk
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(desk.issue("web", "personal")) for _ in range(6)]
        assert len({task.result().sealed for task in asking}) == 1

    with_bench(tmp_path, body, LaggingStore())


class Meanwhile:
    """Has something happen between the look at who signs and the commit."""

    def __init__(self, bench: Bench, what: Callable[[], Awaitable[object]]) -> None:
        self._signer, self._what = bench.control.authorities.signer, what
        self._once = True

    async def signer(self, org: str) -> Signer:
        found = await self._signer(org)
        if self._once:
            self._once = False
            await self._what()
        return found


def test_what_is_issued_is_for_the_app_and_organization_of_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An app of the same name that was made meanwhile, or an organization that is being deleted,
    gets nothing; and of two that issue at once the first counts, for both.
    """

    async def body(bench: Bench) -> None:
        control = bench.control
        await control.orgs.create("Acme")
        await control.networks.ensure("acme", "default")
        await web(bench)
        await control.addresses.allocate("web", AddressRequest(org="acme"))
        desk = control.certificate_desk

        async def close() -> None:
            org = bench.store.get(Org, "acme")
            assert org is not None
            await bench.store.commit(Put(org.record.model_copy(update={"closed": True})))

        async def make_anew() -> None:
            await control.apps.destroy("web")
            await web(bench)

        def meanwhile(what: Callable[[], Awaitable[object]]) -> None:
            monkeypatch.setattr(control.authorities, "signer", Meanwhile(bench, what).signer)

        others: list[IssuedCertificate] = []

        async def issue() -> None:
            others.append(await desk.issue("web", "personal"))

        meanwhile(issue)
        mine = await desk.issue("web", "personal")
        assert issued(bench) == [mine] == others
        meanwhile(close)
        with pytest.raises(PreconditionError, match="is being deleted"):
            await desk.issue("web", "acme")
        meanwhile(make_anew)
        with pytest.raises(NotFoundError):
            await desk.issue("web", "personal")
        assert issued(bench) == []

    with_bench(tmp_path, body)


def test_a_key_is_sealed_for_its_own_certificate(tmp_path: Path) -> None:
    """One that was moved to another certificate does not open."""

    async def body(bench: Bench) -> None:
        await web(bench)
        desk = bench.control.certificate_desk
        record = await desk.issue("web", "personal")
        for moved in ({"audience": "acme"}, {"app": "api"}, {"not_before": 1}):
            with pytest.raises(UnavailableError, match="cannot be opened"):
                desk.key_of(record.model_copy(update=moved))

    with_bench(tmp_path, body)


def test_a_certificate_follows_the_app(tmp_path: Path) -> None:
    """A new address is certified at once where one was in use; with the last address of an
    organization's networks, and with the app, it goes.
    """

    async def body(bench: Bench) -> None:
        await bench.control.orgs.create("Acme")
        await bench.control.networks.ensure("acme", "default")
        mine = await web(bench)
        theirs = await bench.control.addresses.allocate("web", AddressRequest(org="acme"))
        desk = bench.control.certificate_desk
        await desk.issue("web", "acme")
        await desk.issue("web", "personal")
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(bench.control.certificate_upkeep.run())
            await bench.clock.slept.wait()
            more = await bench.control.addresses.allocate("web")
            wanted = ("web.flycast", *sorted((mine, more.ip)))
            await until(bench, lambda: named(bench, "personal") == [wanted])
            await bench.control.addresses.release("web", theirs.ip)
            await until(bench, lambda: named(bench, "acme") == [])
            keeping.cancel()
        await bench.control.apps.destroy("web")
        assert issued(bench) == []

    with_bench(tmp_path, body)


def test_what_nobody_uses_is_not_renewed(tmp_path: Path) -> None:
    """A look at an app whose certificate is due writes nothing, and removes it once it has ended; a
    look at one that is due and lacks a name replaces it.
    """

    async def body(bench: Bench) -> None:
        await web(bench)
        control = bench.control
        sealer = Sealer(control.context)
        issuing = Issuing(control.context, control.orgs, control.authorities, sealer)
        first = await issuing.issue("web", "personal")
        bench.clock.ms = first.renew_at
        before = bench.store.revision()
        await issuing.look("web")
        assert bench.store.revision() == before
        await control.addresses.allocate("web")
        await issuing.look("web")
        (second,) = issued(bench)
        assert len(second.names) == 1 + len(first.names)
        bench.clock.ms = second.not_after
        await issuing.look("web")
        assert issued(bench) == []

    with_bench(tmp_path, body)


def test_a_removed_root_takes_along_what_it_issued(tmp_path: Path) -> None:
    """And the next one is issued by the newest, with nothing of the removed in its chain."""

    async def body(bench: Bench) -> None:
        await web(bench)
        desk, authorities = bench.control.certificate_desk, bench.control.authorities
        before = await desk.issue("web", "personal")
        new = await authorities.rotate("personal")
        after = await desk.issue("web", "personal")
        assert (before.issuer, after.issuer) == (
            authorities.trusted("personal")[1].fingerprint,
            new.fingerprint,
        )
        assert len(pem.load_chain(after.chain)) == 2
        await authorities.remove("personal", before.issuer)
        assert issued(bench) == []
        last = await desk.issue("web", "personal")
        assert len(pem.load_chain(last.chain)) == 1

    with_bench(tmp_path, body)


def test_an_organization_takes_what_it_issued_along(tmp_path: Path) -> None:
    """Also for apps of others, which had addresses on its networks."""

    async def body(bench: Bench) -> None:
        await bench.control.orgs.create("Acme")
        await bench.control.networks.ensure("acme", "default")
        await web(bench)
        await bench.control.addresses.allocate("web", AddressRequest(org="acme"))
        await bench.control.certificate_desk.issue("web", "acme")
        await bench.control.org_ending.delete("acme", actor="test")
        assert issued(bench) == []

    with_bench(tmp_path, body)


def test_who_calls_from_outside_is_served_by_the_apps_own_organization(tmp_path: Path) -> None:
    """Under the name and the address that are the app's alone; the shared one says nothing."""

    async def main() -> None:
        pool = parse_pool(["192.0.2.0/29"], domain="apps.example")
        bench = await make_bench(tmp_path, public=pool)
        await bench.machine("web", **TLS)
        desk = bench.control.certificate_desk
        await bench.control.addresses.allocate("web", AddressRequest(type=AddressType.SHARED_V4))
        assert (await desk.issue("web", "personal")).names == ("web.flycast", "web.apps.example")
        own = await bench.control.addresses.allocate("web", AddressRequest(type=AddressType.V4))
        assert own.ip in (await desk.issue("web", "personal")).names
        # The settings changed: roots of before cannot sign for what is given out now.
        other = parse_pool(["192.0.2.0/29"], domain="other.example")
        later = await make_bench(tmp_path, bench.store, public=other)
        names = (await later.control.certificate_desk.issue("web", "personal")).names
        assert names == ("web.flycast", own.ip)
        await later.control.authorities.rotate("personal")
        names = (await later.control.certificate_desk.issue("web", "personal")).names
        assert names == ("web.flycast", "web.other.example", own.ip)
        await bench.store.close()

    asyncio.run(main())


def test_a_week_is_a_week(tmp_path: Path) -> None:
    """What was stolen ends by itself within seven days."""

    async def body(bench: Bench) -> None:
        await web(bench)
        record = await bench.control.certificate_desk.issue("web", "personal")
        assert record.not_after - bench.clock.ms <= 7 * DAY_MS

    with_bench(tmp_path, body)
