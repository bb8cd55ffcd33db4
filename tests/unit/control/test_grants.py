"""Consent between organizations: asked, accepted, rejected, withdrawn, ended, expired."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost.control.address_request import AddressRequest
from roost.control.grants import MAX_OVER, MAX_PENDING, MAX_PENDING_OF_ONE
from roost.errors import ConflictError, InvalidError, NotFoundError, PreconditionError
from roost.model.grants import TABLE, Grant, GrantEvent, GrantState, transition
from roost.store.base import Change, Put
from tests.support.control_bench import Bench, with_bench

ACME = AddressRequest(org="acme")
WEB = {"internal_port": 8080, "ports": [{"port": 80}, {"port": 443}]}


async def neighbours(bench: Bench) -> None:
    """App `web` of `personal`, and `acme` with its default network."""
    await bench.machine(services=[WEB])
    await bench.control.orgs.create("acme")
    await bench.control.networks.ensure("acme", "")


def test_the_table_is_whole() -> None:
    """Every state says what can happen, and a state that is over allows nothing."""
    assert set(TABLE) == set(GrantState)
    for state, events in TABLE.items():
        for event in GrantEvent:
            if event in events:
                assert transition(state, event) is events[event]
            else:
                with pytest.raises(PreconditionError, match=f"the grant is {state}"):
                    transition(state, event)


def test_asking_makes_nothing_but_a_request(tmp_path: Path) -> None:
    """No address and no number is taken before the other side agrees."""

    async def body(bench: Bench) -> None:
        await neighbours(bench)
        grant = await bench.control.grants.ask("web", ACME, actor="me")
        assert (GrantState.PENDING, "") == (grant.state, grant.ip)
        assert [] == bench.control.addresses.list("web")
        assert [grant] == bench.control.grants.incoming("acme")
        assert [grant] == bench.control.grants.outgoing("personal")

    with_bench(tmp_path, body)


def test_asking_does_not_tell_whether_a_network_exists(tmp_path: Path) -> None:
    """A network name of another organization is looked up when that organization accepts."""

    async def body(bench: Bench) -> None:
        await neighbours(bench)
        grants = bench.control.grants
        asked = AddressRequest(org="acme", network="secret")
        grant = await grants.ask("web", asked, actor="me")
        with pytest.raises(NotFoundError, match="network 'secret'"):
            await grants.accept("acme", grant.id, actor="them")
        assert GrantState.PENDING is grants.of_app("web")[0].state
        await bench.control.networks.ensure("acme", "secret")
        accepted = await grants.accept("acme", grant.id, actor="them")
        assert accepted.ip.startswith("fdaa:0:3:0:1::")

    with_bench(tmp_path, body)


def test_accepting_makes_the_address(tmp_path: Path) -> None:
    """The address is on the receiving organization's network, with the ports asked for."""

    async def body(bench: Bench) -> None:
        await neighbours(bench)
        grants = bench.control.grants
        asked = AddressRequest(org="acme", ports=(443,))
        grant = await grants.ask("web", asked, actor="me")
        accepted = await grants.accept("acme", grant.id, actor="them")
        (address,) = bench.control.addresses.list("web")
        assert (address.ip, address.org, address.network) == (accepted.ip, "acme", "default")
        assert (address.ports, address.grant) == ((443,), grant.id)
        assert (accepted.decided_by, accepted.state) == ("them", GrantState.ACCEPTED)
        with pytest.raises(PreconditionError, match="is accepted"):
            await grants.accept("acme", grant.id, actor="them")

    with_bench(tmp_path, body)


def test_rejecting_makes_nothing(tmp_path: Path) -> None:
    """A rejected request is over; it can be asked for again."""

    async def body(bench: Bench) -> None:
        await neighbours(bench)
        grants = bench.control.grants
        grant = await grants.ask("web", ACME, actor="me")
        await grants.reject("acme", grant.id, actor="them")
        assert [] == bench.control.addresses.list("web")
        with pytest.raises(PreconditionError, match="is rejected"):
            await grants.accept("acme", grant.id, actor="them")
        assert (await grants.ask("web", ACME, actor="me")).id != grant.id

    with_bench(tmp_path, body)


def test_only_the_asked_organization_decides(tmp_path: Path) -> None:
    """Another organization's admin does not even find the grant."""

    async def body(bench: Bench) -> None:
        await neighbours(bench)
        await bench.control.orgs.create("third")
        grant = await bench.control.grants.ask("web", ACME, actor="me")
        for verb in ("accept", "reject", "end"):
            with pytest.raises(NotFoundError, match="organization 'third' has no grant"):
                await getattr(bench.control.grants, verb)("third", grant.id, actor="x")
        with pytest.raises(NotFoundError):
            await bench.control.grants.withdraw("other", grant.id, actor="x")

    with_bench(tmp_path, body)


@pytest.mark.parametrize("side", ["app", "org", "address"])
def test_either_side_ends_it(tmp_path: Path, side: str) -> None:
    """The app's side, the receiving side, or a release of the address: the address is gone."""

    async def body(bench: Bench) -> None:
        await neighbours(bench)
        control = bench.control
        grant = await control.grants.give("web", ACME, actor="both")
        match side:
            case "app":
                await control.grants.withdraw("web", grant.id, actor="me")
            case "org":
                await control.grants.end("acme", grant.id, actor="them")
            case _:
                await control.addresses.release("web", grant.ip, actor="me")
        assert [] == control.addresses.list("web")
        (after,) = control.grants.of_app("web")
        assert GrantState.RELEASED is after.state
        again = await control.grants.give("web", ACME, actor="both")
        assert again.ip != grant.ip

    with_bench(tmp_path, body)


def test_a_request_can_be_taken_back(tmp_path: Path) -> None:
    """Withdrawn before it was decided, it cannot be accepted any more."""

    async def body(bench: Bench) -> None:
        await neighbours(bench)
        grants = bench.control.grants
        grant = await grants.ask("web", ACME, actor="me")
        assert GrantState.WITHDRAWN is (await grants.withdraw("web", grant.id, actor="me")).state
        with pytest.raises(PreconditionError, match="withdrawn"):
            await grants.accept("acme", grant.id, actor="them")

    with_bench(tmp_path, body)


def test_its_date_ends_a_grant_and_its_address(tmp_path: Path) -> None:
    """A request and an address that were given until a date are over when it has come."""

    async def body(bench: Bench) -> None:
        await neighbours(bench)
        control = bench.control
        short = AddressRequest(org="acme", lifetime_ms=60_000)
        given = await control.grants.give("web", short, actor="both")
        asked = await control.grants.ask("web", short, actor="me")
        own = await control.addresses.allocate("web", AddressRequest(lifetime_ms=60_000))
        lasting = await control.addresses.allocate("web")
        bench.clock.forward(59.9)
        assert 0 == await control.expiry.sweep()
        bench.clock.forward(0.1)
        assert 3 == await control.expiry.sweep()
        assert [lasting] == control.addresses.list("web")
        states = {one.id: one.state for one in control.grants.of_app("web")}
        assert {given.id: GrantState.EXPIRED, asked.id: GrantState.EXPIRED} == states
        assert own.ip != lasting.ip
        assert 0 == await control.expiry.sweep()

    with_bench(tmp_path, body)


def test_a_request_past_its_date_is_not_accepted(tmp_path: Path) -> None:
    """Also before the sweep has come round."""

    async def body(bench: Bench) -> None:
        await neighbours(bench)
        grants = bench.control.grants
        short = AddressRequest(org="acme", lifetime_ms=1000)
        grant = await grants.ask("web", short, actor="me")
        bench.clock.forward(2)
        with pytest.raises(PreconditionError, match="passed its date"):
            await grants.accept("acme", grant.id, actor="them")

    with_bench(tmp_path, body)


def test_giving_is_one_commit(tmp_path: Path) -> None:
    """No crash leaves a request that nobody asked for."""

    async def body(bench: Bench) -> None:
        await neighbours(bench)
        await bench.control.grants.give("web", ACME, actor="both")
        seen = set()
        async for commit in bench.store.watch(0):
            kinds = {change.record.kind for change in commit.changes if isinstance(change, Put)}
            if "grant" in kinds:
                seen.add(frozenset(kinds))
            if commit.revision == bench.store.revision():
                break
        assert seen == {frozenset({"grant", "address", "app"})}

    with_bench(tmp_path, body)


def test_asking_while_others_change_the_app(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit that another one overtook is made again."""

    async def body(bench: Bench) -> None:
        await neighbours(bench)
        store = bench.control.context.store
        commit = store.commit

        async def overtaken(*changes: Change) -> int:
            monkeypatch.setattr(store, "commit", commit)
            await bench.control.apps.want_flycast("web", True)
            return await commit(*changes)

        monkeypatch.setattr(store, "commit", overtaken)
        grant = await bench.control.grants.ask("web", ACME, actor="me")
        assert [grant] == bench.control.grants.of_app("web")
        assert bench.control.apps.get("web").wants_flycast

    with_bench(tmp_path, body)


def test_giving_needs_the_network_to_exist(tmp_path: Path) -> None:
    """For who administers both sides a wrong name is an error at once, and nothing is made."""

    async def body(bench: Bench) -> None:
        await neighbours(bench)
        with pytest.raises(NotFoundError, match="network 'typo'"):
            await bench.control.grants.give(
                "web", AddressRequest(org="acme", network="typo"), actor="both"
            )
        assert [] == bench.control.grants.of_app("web")

    with_bench(tmp_path, body)


@pytest.mark.parametrize(
    ("request_", "error", "sentence"),
    [
        (AddressRequest(org="none"), NotFoundError, "organization 'none' not found"),
        (AddressRequest(org="personal"), InvalidError, "belongs to organization 'personal'"),
        (AddressRequest(org="acme", network="9x"), InvalidError, "'9x' is not valid"),
        (AddressRequest(org="acme", ports=(81,)), InvalidError, "no service on port 81"),
    ],
)
def test_what_cannot_be_asked(
    tmp_path: Path, request_: AddressRequest, error: type[Exception], sentence: str
) -> None:
    """Each is refused with its own sentence, and no request is left."""

    async def body(bench: Bench) -> None:
        await neighbours(bench)
        with pytest.raises(error, match=sentence):
            await bench.control.grants.ask("web", request_, actor="me")
        assert [] == bench.control.grants.of_app("web")

    with_bench(tmp_path, body)


def test_an_inbox_is_bounded(tmp_path: Path) -> None:
    """The same is not asked twice, and not without end by many."""

    async def body(bench: Bench) -> None:
        await neighbours(bench)
        grants = bench.control.grants
        await grants.ask("web", ACME, actor="me")
        with pytest.raises(ConflictError, match="has asked for this already"):
            await grants.ask("web", ACME, actor="me")

        async def fill(app: str, count: int) -> None:
            for number in range(count):
                await grants.ask(app, AddressRequest(org="acme", network=f"n{number}"), actor="me")

        await fill("web", MAX_PENDING_OF_ONE - 1)
        with pytest.raises(ConflictError, match="of organization 'personal' wait for 'acme'"):
            await grants.ask("web", AddressRequest(org="acme", network="more"), actor="me")
        for number in range(4):
            await bench.control.orgs.create(f"org-{number}")
            await bench.control.apps.create(f"app-{number}", org=f"org-{number}")
            await fill(f"app-{number}", MAX_PENDING_OF_ONE)
        await bench.control.orgs.create("late")
        await bench.control.apps.create("late", org="late")
        with pytest.raises(ConflictError, match=f"has {MAX_PENDING} requests"):
            await grants.ask("late", AddressRequest(org="acme"), actor="me")
        # Who administers both sides waits for nobody.
        given = await grants.give("late", AddressRequest(org="acme"), actor="both")
        assert given.state is GrantState.ACCEPTED

    with_bench(tmp_path, body)


def test_what_is_over_is_forgotten_in_time(tmp_path: Path) -> None:
    """Asking and withdrawing for ever fills no store."""

    async def body(bench: Bench) -> None:
        await neighbours(bench)
        grants = bench.control.grants
        for _ in range(MAX_OVER + 20):
            grant = await grants.ask("web", ACME, actor="me")
            bench.clock.forward(1)
            await grants.withdraw("web", grant.id, actor="me")
        assert MAX_OVER + 1 >= bench.store.count(Grant)
        assert grant.id in {one.id for one in grants.of_app("web")}

    with_bench(tmp_path, body)


def test_grants_end_with_their_app(tmp_path: Path) -> None:
    """A later app of the same name inherits nothing."""

    async def body(bench: Bench) -> None:
        await neighbours(bench)
        await bench.control.grants.ask("web", ACME, actor="me")
        await bench.control.apps.destroy("web")
        assert [] == bench.control.grants.incoming("acme")

    with_bench(tmp_path, body)
