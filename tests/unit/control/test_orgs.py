"""Organizations and their networks: made, looked up, ended, and bound to their numbers for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost.control.address_request import AddressRequest
from roost.errors import ConflictError, InvalidError, NotFoundError, PreconditionError
from roost.model.access import Token, TokenKind
from roost.model.grants import GrantState
from roost.model.records import App
from roost.store.base import Put
from tests.support.control_bench import Bench, with_bench


@pytest.mark.parametrize(
    ("name", "slug"),
    [("Acme", "acme"), ("Acme, Inc.", "acme-inc"), ("  two  words ", "two-words"), ("4x4", "4x4")],
)
def test_a_slug_is_made_from_the_name(tmp_path: Path, name: str, slug: str) -> None:
    """Lower case, and a dash for whatever is no letter or digit."""

    async def body(bench: Bench) -> None:
        made = await bench.control.orgs.create(name)
        assert (slug, " ".join(name.split())) == (made.slug, made.name)
        assert made == bench.control.orgs.get(slug)

    with_bench(tmp_path, body)


@pytest.mark.parametrize("name", ["", " ", "—", "x" * 65])
def test_a_name_without_a_slug_is_refused(tmp_path: Path, name: str) -> None:
    """Nothing is made of a name that gives no slug or is too long."""

    async def body(bench: Bench) -> None:
        with pytest.raises(InvalidError):
            await bench.control.orgs.create(name)
        assert ["personal"] == [org.slug for org in bench.control.orgs.list()]

    with_bench(tmp_path, body)


def test_a_slug_is_given_once(tmp_path: Path) -> None:
    """The second organization of a slug is refused as a taken name."""

    async def body(bench: Bench) -> None:
        await bench.control.orgs.create("Acme")
        with pytest.raises(ConflictError) as refused:
            await bench.control.orgs.create("acme!")
        assert "name_taken" == refused.value.code

    with_bench(tmp_path, body)


def test_a_network_outlives_its_apps_and_its_organization(tmp_path: Path) -> None:
    """The id of (organization, name) stays the same, and nobody else ever gets it."""

    async def body(bench: Bench) -> None:
        control = bench.control
        await control.orgs.create("acme")
        await control.apps.create("web", org="acme", network="prod")
        first = control.networks.get("acme", "prod")
        await control.apps.destroy("web")
        assert first == control.networks.get("acme", "prod")
        await control.org_ending.delete("acme", actor="a")
        await control.orgs.create("other")
        await control.apps.create("api", org="other", network="prod")
        assert control.networks.get("other", "prod").id != first.id
        await control.orgs.create("acme")
        await control.apps.create("web", org="acme", network="prod")
        assert first.id == control.networks.get("acme", "prod").id

    with_bench(tmp_path, body)


def test_one_name_in_two_organizations_is_two_networks(tmp_path: Path) -> None:
    """Networks are told apart by organization."""

    async def body(bench: Bench) -> None:
        control = bench.control
        await control.orgs.create("acme")
        await control.apps.create("web", org="acme", network="prod")
        await control.apps.create("api", network="prod")
        one, other = control.networks.get("acme", "prod"), control.networks.get("personal", "PROD")
        assert one.id != other.id

    with_bench(tmp_path, body)


def test_an_organization_with_apps_stays(tmp_path: Path) -> None:
    """The refusal names them, and afterwards the organization is open as before."""

    async def body(bench: Bench) -> None:
        control = bench.control
        await control.orgs.create("acme")
        await control.apps.create("web", org="acme")
        with pytest.raises(PreconditionError, match=r"still owns 1 app.*web"):
            await control.org_ending.delete("acme", actor="a")
        await control.apps.create("api", org="acme")

    with_bench(tmp_path, body)


def test_the_personal_organization_stays(tmp_path: Path) -> None:
    """Every Roost has it."""

    async def body(bench: Bench) -> None:
        with pytest.raises(PreconditionError, match="personal"):
            await bench.control.org_ending.delete("personal", actor="a")
        with pytest.raises(NotFoundError):
            await bench.control.org_ending.delete("acme", actor="a")

    with_bench(tmp_path, body)


def test_what_was_let_into_an_organization_ends_with_it(tmp_path: Path) -> None:
    """Addresses of others' apps on its networks, requests that wait, and its tokens are gone."""

    async def body(bench: Bench) -> None:
        control = bench.control
        await control.orgs.create("acme")
        await control.networks.ensure("acme", "")
        await control.apps.create("web")
        request = AddressRequest(org="acme")
        given = [await control.grants.give("web", request, actor="both") for _ in range(2)]
        asked = await control.grants.ask("web", request, actor="web's")
        token = Token(id="t", name="n", grade=TokenKind.ORG, org="acme", sha256="00", created_at=1)
        await bench.store.commit(Put(token))
        await control.org_ending.delete("acme", actor="acme's")
        assert [] == control.addresses.list("web")
        states = {one.id: one.state for one in control.grants.of_app("web")}
        assert {GrantState.RELEASED} == {states[one.id] for one in given}
        assert GrantState.REJECTED is states[asked.id]
        assert bench.store.get(Token, "t") is None

    with_bench(tmp_path, body)


def test_consoles_do_not_keep_an_organization(tmp_path: Path) -> None:
    """Roost's own apps on its networks go with it."""

    async def body(bench: Bench) -> None:
        control = bench.control
        await control.orgs.create("acme")
        await control.apps.create("roost-console-9", org="acme", internal=True)
        await control.org_ending.delete("acme", actor="a")
        assert bench.store.get(App, "roost-console-9") is None

    with_bench(tmp_path, body)
