"""What is written while an app or an organization ends is refused, or ends with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from roost.control.address_request import AddressRequest
from roost.control.machine_requests import CreateMachine
from roost.control.token_scope import NewToken
from roost.errors import ConflictError, NotFoundError, PreconditionError
from roost.model.access import Token, TokenKind
from roost.model.grants import Grant
from roost.model.machine_config import MachineConfig
from roost.model.records import Address, App, Machine, Org, Release, Secret
from tests.support.control_bench import Bench, with_bench
from tests.support.lagging_store import LaggingStore

Work = Callable[[Bench], Coroutine[Any, Any, object]]

TURNS = 32
"""More turns of the event loop than anything here takes."""


def operator(bench: Bench) -> Token:
    (token,) = bench.control.tokens.list(None)
    return token


def make_machine(bench: Bench) -> Coroutine[Any, Any, object]:
    request = CreateMachine(config=MachineConfig(image="nginx"))
    return bench.control.machines.create("web", request)


def make_secret(bench: Bench) -> Coroutine[Any, Any, object]:
    return bench.control.secrets.update("web", {"A": "1"})


def make_release(bench: Bench) -> Coroutine[Any, Any, object]:
    return bench.control.releases.create("web", strategy="rolling", image="x", user="me", config={})


def make_deploy_token(bench: Bench) -> Coroutine[Any, Any, object]:
    new = NewToken(grade=TokenKind.DEPLOY, org="acme", app="web")
    return bench.control.tokens.create(new, by=operator(bench))


def want_flycast(bench: Bench) -> Coroutine[Any, Any, object]:
    return bench.control.apps.want_flycast("web", True)


def make_address(bench: Bench) -> Coroutine[Any, Any, object]:
    return bench.control.addresses.allocate("web")


def ask_other(bench: Bench) -> Coroutine[Any, Any, object]:
    return bench.control.grants.ask("web", AddressRequest(org="other"), actor="a")


def give_other(bench: Bench) -> Coroutine[Any, Any, object]:
    return bench.control.grants.give("web", AddressRequest(org="other"), actor="a")


def make_app(bench: Bench) -> Coroutine[Any, Any, object]:
    return bench.control.apps.create("late", org="other")


def make_org_token(bench: Bench) -> Coroutine[Any, Any, object]:
    new = NewToken(grade=TokenKind.ORG, org="other")
    return bench.control.tokens.create(new, by=operator(bench))


def allocate_other(bench: Bench) -> Coroutine[Any, Any, object]:
    return bench.control.addresses.allocate("web", AddressRequest(org="other"))


async def both(bench: Bench, work: Work, ending: Work, turns: int, ending_first: bool) -> None:
    """Begin one, and the other so many turns of the event loop later."""

    async def refused_at_most(work: Work) -> None:
        try:
            await work(bench)
        except (NotFoundError, ConflictError, PreconditionError):
            return

    order = (ending, work) if ending_first else (work, ending)
    async with asyncio.TaskGroup() as group:
        group.create_task(refused_at_most(order[0]))
        for _ in range(turns):
            await asyncio.sleep(0)
        group.create_task(refused_at_most(order[1]))


async def prepare(bench: Bench) -> None:
    for slug in ("acme", "other"):
        await bench.control.orgs.create(slug)
        await bench.control.networks.ensure(slug, "")
    await bench.control.apps.create("web", org="acme")


@pytest.mark.parametrize("ending_first", [False, True])
@pytest.mark.parametrize(
    "work",
    [
        make_machine,
        make_secret,
        make_release,
        make_deploy_token,
        make_address,
        want_flycast,
        ask_other,
        give_other,
    ],
)
def test_nothing_is_left_under_the_name_of_a_destroyed_app(
    tmp_path: Path, work: Work, ending_first: bool
) -> None:
    """However close a write and the app's end are, the next app of the name finds nothing."""

    def destroy(bench: Bench) -> Coroutine[Any, Any, object]:
        return bench.control.apps.destroy("web")

    for turns in range(TURNS):

        async def body(bench: Bench, turns: int = turns) -> None:
            await prepare(bench)
            await both(bench, work, destroy, turns, ending_first)
            assert bench.store.get(App, "web") is None
            for kind in (Machine, Secret, Release, Token, Address, Grant):
                assert bench.store.find(kind, "app", "web") == []

        with_bench(tmp_path / str(turns), body, LaggingStore())


@pytest.mark.parametrize("ending_first", [False, True])
@pytest.mark.parametrize("work", [make_app, make_org_token, ask_other, give_other, allocate_other])
def test_nothing_is_left_of_a_deleted_organization(
    tmp_path: Path, work: Work, ending_first: bool
) -> None:
    """No app or token is without its organization, nothing waits for it, nothing lies on its
    networks.
    """

    def delete(bench: Bench) -> Coroutine[Any, Any, object]:
        return bench.control.org_ending.delete("other", actor="a")

    kept = 0
    for turns in range(TURNS):

        async def body(bench: Bench, turns: int = turns) -> None:
            nonlocal kept
            await prepare(bench)
            await both(bench, work, delete, turns, ending_first)
            stored = bench.store.get(Org, "other")
            if stored is not None:
                kept += 1
                assert not stored.record.closed
                assert bench.store.find(App, "org", "other") != []
                return
            for kind in (App, Token):
                assert bench.store.find(kind, "org", "other") == []
            network = bench.store.find(Address, "app", "web")
            assert network == []
            assert not any(grant.open for grant in bench.control.grants.of_app("web"))

        with_bench(tmp_path / str(turns), body, LaggingStore())
    assert (kept > 0) == (work is make_app and not ending_first)


@pytest.mark.parametrize("work", [give_other, allocate_other])
def test_an_address_whose_number_took_longer_than_the_organization_lived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: Work
) -> None:
    """It is refused, and made on no network of nobody."""

    async def body(bench: Bench) -> None:
        await prepare(bench)
        numbers = bench.control.addresses._numbers
        take = numbers.take

        async def slow(series: str) -> int:
            if series.startswith("flycast/"):
                await bench.control.org_ending.delete("other", actor="a")
            return await take(series)

        monkeypatch.setattr(numbers, "take", slow)
        with pytest.raises(NotFoundError, match="'other' not found"):
            await work(bench)
        assert bench.store.count(Address) == bench.store.count(Grant) == 0

    with_bench(tmp_path, body)


def test_an_organization_is_deleted_by_one_at_a_time(tmp_path: Path) -> None:
    """A second call is told, and does not open again what the first one closed."""

    async def body(bench: Bench) -> None:
        await prepare(bench)
        async with asyncio.TaskGroup() as group:
            first = group.create_task(bench.control.org_ending.delete("other", actor="a"))
            await asyncio.sleep(0)
            with pytest.raises(ConflictError, match="by another call"):
                await bench.control.org_ending.delete("other", actor="b")
        assert first.result().slug == "other"
        assert bench.store.get(Org, "other") is None

    with_bench(tmp_path, body, LaggingStore())


def test_a_deletion_that_a_crash_left_half_done_is_taken_back(tmp_path: Path) -> None:
    """An organization that is closed and has apps is opened again by the call that is refused."""

    async def body(bench: Bench) -> None:
        await prepare(bench)
        await bench.control.org_ending._set_closed("acme", True)
        with pytest.raises(PreconditionError, match="still owns"):
            await bench.control.org_ending.delete("acme", actor="a")
        await bench.control.apps.create("more", org="acme")

    with_bench(tmp_path, body)
