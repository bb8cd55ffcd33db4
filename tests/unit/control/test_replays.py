"""What an organization lets replays do."""

from __future__ import annotations

from pathlib import Path

import pytest

from roost.control.replays import MAX_SOURCES
from roost.errors import InvalidError, NotFoundError
from roost.model.ids import PERSONAL_ORG
from tests.support.control_bench import Bench, with_bench


def test_nothing_crosses_until_somebody_opens_it(tmp_path: Path) -> None:
    """A new organization lets no replay over its networks and none in from others."""

    async def body(bench: Bench) -> None:
        org = bench.control.orgs.get(PERSONAL_ORG)
        assert (org.cross_network_replays, org.replay_sources) == (False, ())
        await bench.control.replays.set_cross_network(PERSONAL_ORG, True)
        assert bench.control.orgs.get(PERSONAL_ORG).cross_network_replays

    with_bench(tmp_path, body)


def test_sources_are_added_and_removed(tmp_path: Path) -> None:
    """Each is there once, in order; adding what is there and removing what is not is fine."""

    async def body(bench: Bench) -> None:
        for slug in ("acme", "beta"):
            await bench.control.orgs.create(slug)
        replays = bench.control.replays
        await replays.change_sources(PERSONAL_ORG, add=["beta", "acme", "acme"])
        changed = await replays.change_sources(PERSONAL_ORG, add=["acme"], remove=["none"])
        assert changed.replay_sources == ("acme", "beta")
        changed = await replays.change_sources(PERSONAL_ORG, remove=["acme"])
        assert changed == bench.control.orgs.get(PERSONAL_ORG)
        assert changed.replay_sources == ("beta",)

    with_bench(tmp_path, body)


def test_what_cannot_be_a_source(tmp_path: Path) -> None:
    """Neither itself, nor one that does not exist, nor more than there is room for."""

    async def body(bench: Bench) -> None:
        replays, orgs = bench.control.replays, bench.control.orgs
        with pytest.raises(InvalidError, match="of its own"):
            await replays.change_sources(PERSONAL_ORG, add=[PERSONAL_ORG])
        with pytest.raises(NotFoundError, match="ghost"):
            await replays.change_sources(PERSONAL_ORG, add=["ghost"])
        slugs = [f"o{number}" for number in range(MAX_SOURCES + 1)]
        for slug in slugs:
            await orgs.create(slug)
        with pytest.raises(InvalidError, match="at most"):
            await replays.change_sources(PERSONAL_ORG, add=slugs)
        assert orgs.get(PERSONAL_ORG).replay_sources == ()

    with_bench(tmp_path, body)


def test_a_deleted_organization_is_no_source(tmp_path: Path) -> None:
    """Who makes an organization of the same slug later has no right that the earlier one had."""

    async def body(bench: Bench) -> None:
        await bench.control.orgs.create("acme")
        await bench.control.replays.change_sources(PERSONAL_ORG, add=["acme"])
        await bench.control.org_ending.delete("acme", actor="operator")
        await bench.control.orgs.create("acme")
        assert bench.control.orgs.get(PERSONAL_ORG).replay_sources == ()

    with_bench(tmp_path, body)
