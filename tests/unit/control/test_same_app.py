"""What began for one app never ends in another one of its name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path

import pytest

from roost.control.address_request import AddressRequest
from roost.control.machine_requests import CreateMachine
from roost.errors import NotFoundError
from roost.images.base import Image
from roost.model.grants import Grant
from roost.model.machine_config import MachineConfig
from roost.model.records import Address, Counter, Machine, Org, Release, Secret
from roost.store.base import Change, Put
from tests.support.control_bench import Bench, with_bench


async def replaced(bench: Bench) -> None:
    """The app `web` is destroyed, and another organization makes one of that name."""
    await bench.control.apps.destroy("web")
    await bench.control.apps.create("web", org="other")


def when_numbers_are_taken(
    bench: Bench,
    monkeypatch: pytest.MonkeyPatch,
    series: str,
    meanwhile: Callable[[], Awaitable[None]],
) -> None:
    """Let something happen once, while the next number of a series is flushed."""
    store = bench.control.context.store
    commit = store.commit
    waiting = [meanwhile]

    async def slow(*changes: Change) -> int:
        taken = any(isinstance(c, Put) and isinstance(c.record, Counter) for c in changes)
        if taken and changes[0].record.name == series and waiting:  # type: ignore[union-attr]
            await waiting.pop()()
        return await commit(*changes)

    monkeypatch.setattr(store, "commit", slow)


async def another_ones(bench: Bench) -> None:
    """The app is the other organization's, and has nothing."""
    assert bench.control.apps.get("web").org == "other"
    for kind in (Machine, Secret, Release):
        assert bench.store.count(kind) == 0


async def prepared(bench: Bench) -> None:
    await bench.store.commit(Put(Org(slug="other", name="Other", created_at=0)))
    await bench.control.apps.create("web")


def test_a_machine_whose_image_took_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Machine is not made in an app that came meanwhile: it would get that one's secrets."""

    async def body(bench: Bench) -> None:
        await prepared(bench)
        resolve = bench.host.resolve_image

        async def pull(reference: str, *, fresh: bool = False) -> Image:
            await replaced(bench)
            return await resolve(reference, fresh=fresh)

        monkeypatch.setattr(bench.host, "resolve_image", pull)
        request = CreateMachine(config=MachineConfig(image="nginx"))
        with pytest.raises(NotFoundError):
            await bench.control.machines.create("web", request)
        await another_ones(bench)

    with_bench(tmp_path, body)


def test_a_secret_whose_number_took_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret does not get into an app that came meanwhile."""

    async def body(bench: Bench) -> None:
        await prepared(bench)
        when_numbers_are_taken(bench, monkeypatch, "secret/web", lambda: replaced(bench))
        with pytest.raises(NotFoundError):
            await bench.control.secrets.update("web", {"A": "1"})
        await another_ones(bench)

    with_bench(tmp_path, body)


def test_a_release_whose_number_took_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release is not told as one of an app that came meanwhile."""

    async def body(bench: Bench) -> None:
        await prepared(bench)
        when_numbers_are_taken(bench, monkeypatch, "release/web", lambda: replaced(bench))
        with pytest.raises(NotFoundError):
            await bench.control.releases.create(
                "web", strategy="rolling", image="x", user="me", config={}
            )
        await another_ones(bench)

    with_bench(tmp_path, body)


@pytest.mark.parametrize("org", ["personal", "third"])
def test_an_address_whose_number_took_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, org: str
) -> None:
    """An address, on the own network or granted elsewhere, does not lead to an app that came
    meanwhile.
    """

    async def body(bench: Bench) -> None:
        await prepared(bench)
        await bench.control.orgs.create("third")
        network = await bench.control.networks.ensure(org, "")
        when_numbers_are_taken(bench, monkeypatch, f"flycast/{network.id}", lambda: replaced(bench))
        request = AddressRequest(org=org)
        control = bench.control
        work: Coroutine[None, None, object] = (
            control.addresses.allocate("web", request)
            if org == "personal"
            else control.grants.give("web", request, actor="both")
        )
        with pytest.raises(NotFoundError):
            await work
        assert bench.store.count(Address) == bench.store.count(Grant) == 0
        await another_ones(bench)

    with_bench(tmp_path, body)


def test_an_app_begins_with_nothing(tmp_path: Path) -> None:
    """What was written under the name in the flush in which an earlier app went is not taken over
    by the next one.
    """

    async def body(bench: Bench) -> None:
        machine = await bench.machine()
        await bench.control.secrets.update("web", {"A": "1"})
        await bench.control.releases.create(
            "web", strategy="rolling", image="x", user="me", config={}
        )
        left = [
            Put(stored.record)
            for kind in (Machine, Secret, Release)
            for stored in bench.store.find(kind, "app", "web")
        ]
        assert len(left) == 3
        await bench.store.commit(Put(Org(slug="other", name="Other", created_at=0)))
        await bench.control.apps.destroy("web")
        await bench.store.commit(*left)
        await bench.control.apps.create("web", org="other")
        await another_ones(bench)
        assert bench.store.get(Machine, machine.id) is None

    with_bench(tmp_path, body)
