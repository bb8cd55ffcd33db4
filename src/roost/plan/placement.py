"""Where Machines go: with one host, the region of that host.

Pure. Also what the API's `platform/regions` and `platform/placements` answer from.
"""

from __future__ import annotations

from dataclasses import dataclass

from roost.errors import InvalidError

ANYWHERE = frozenset({"", "any"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionInfo:
    """A region as the API lists it."""

    code: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """`count` Machines in a region that has room for `concurrency` more."""

    region: str
    count: int
    concurrency: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """A region, and what to tell the user when it is not the one asked for."""

    region: str
    warning: str | None = None


def regions(host_region: str) -> list[RegionInfo]:
    """All regions of this Roost."""
    return [RegionInfo(code=host_region, name=f"{host_region} (this host)")]


def placements(host_region: str, asked: str, count: int) -> list[Placement]:
    """Where `count` Machines may go. Raises InvalidError for a region that does not exist."""
    if asked not in ANYWHERE and asked != host_region:
        raise InvalidError(
            f"region {asked!r} does not exist here", hint=f"use {host_region!r} or 'any'"
        )
    if count < 1:
        raise InvalidError(f"{count} Machines cannot be placed", hint="ask for at least 1")
    return [Placement(region=host_region, count=count, concurrency=count)]


def choose_region(host_region: str, primary_region: str | None) -> Chosen:
    """The region of an app's new Machines; a primary region of elsewhere is no error, because a
    fly.toml written for another place should deploy here as it is.
    """
    if primary_region is None or primary_region == host_region:
        return Chosen(region=host_region)
    return Chosen(
        region=host_region,
        warning=f"region {primary_region!r} does not exist here, so Machines go to "
        f"{host_region!r}; set primary_region = {host_region!r} to silence this",
    )
